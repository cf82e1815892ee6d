// SPDX-License-Identifier: Apache-2.0
// Payloads as engines of all versions send them, and such as must be refused.
#ifndef BRIDGE_VECTORS_H
#define BRIDGE_VECTORS_H

#include <stddef.h>
#include <stdint.h>

struct vector {
    const char *name, *hex;
    const char *events; // what they are, see tell(); NULL: the batch is refused
};

extern const struct vector accepted[], rejected[], half_bad[];
extern const size_t n_accepted, n_rejected, n_half_bad;

enum { VECTOR_MOST = 1024 };
size_t vector_bytes(const struct vector *v, uint8_t out[VECTOR_MOST]);

#endif
