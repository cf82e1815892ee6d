// SPDX-License-Identifier: Apache-2.0
// A saved pool in memory: its chunks as they were written, to load, to spoil and to seal again.
#ifndef KVR_TEST_SAVED_H
#define KVR_TEST_SAVED_H

#include "module/core/pool.h"

enum { SAVED_CHECK = 8 }; // bytes at the end of a chunk: see the core's format.h

struct saved {
    uint8_t *bytes;
    size_t n, room;
    size_t *ends; // of the chunks
    size_t n_ends, ends_room;
};

enum kvr_err saved_write(struct kvr_pool *p, struct saved *s); // s: empty; to be freed either way
void saved_add(struct saved *s, const void *chunk, size_t n);
// Makes every chunk's check right again, so that what was spoiled gets past it.
void saved_seal(struct saved *s);
// NULL, and why in *err: KVR_CORRUPT also when the last chunk isn't the last.
struct kvr_pool *saved_load(const struct saved *s, const struct kvr_alloc *a, enum kvr_err *err);
void saved_free(struct saved *s); // and empty again

#endif
