// SPDX-License-Identifier: Apache-2.0
// Batches as engines of all versions send them, and such as must be refused. The mock engine writes some
// of them, the bridge reads all.
#ifndef MOCK_VECTORS_H
#define MOCK_VECTORS_H

#include <stddef.h>
#include <stdint.h>

struct mock_vector {
    const char *name, *hex;
    const char *events; // what they are, in the words of the bridge's test; NULL: it is refused
};

extern const struct mock_vector mock_vectors_accepted[], mock_vectors_rejected[],
    mock_vectors_half_bad[];
extern const size_t mock_n_accepted, mock_n_rejected, mock_n_half_bad;

enum { MOCK_VECTOR_MAX_BYTES = 1024 };
size_t mock_vector_bytes(const struct mock_vector *v, uint8_t out[MOCK_VECTOR_MAX_BYTES]);

#endif
