// SPDX-License-Identifier: Apache-2.0
// A saved pool in memory: its chunks as they were written, to load, to spoil and to seal again.
#ifndef UNIT_SAVED_H
#define UNIT_SAVED_H

#include "module/core/pool.h"

enum { UNIT_SAVED_CHECK = 8 }; // bytes at the end of a chunk: see the core's snapshot_format.h

struct unit_saved {
    uint8_t *bytes;
    size_t n, room;
    size_t *ends; // of the chunks
    size_t n_ends, ends_room;
};

enum kvr_err unit_saved_write(struct kvr_pool *p,
                              struct unit_saved *s); // s: empty; to be freed either way
void unit_saved_add(struct unit_saved *s, const void *chunk, size_t n);
// Makes every chunk's check right again, so that what was spoiled gets past it.
void unit_saved_seal(struct unit_saved *s);
// NULL, and why in *err: KVR_CORRUPT also when the last chunk isn't the last.
struct kvr_pool *unit_saved_load(const struct unit_saved *s, const struct kvr_alloc *a,
                                 enum kvr_err *err);
// What was written, loaded; NULL, and why in *err.
struct kvr_pool *unit_saved_copy(struct kvr_pool *p, const struct kvr_alloc *a, enum kvr_err *err);
// Whether it may be loaded: if so, a valid pool that can be used, saved again and freed. Anything else ends the
// program; so does memory that is left.
bool unit_saved_any(const struct unit_saved *s);
// Writes x at a place of it and says whether that may be loaded; it is as before afterwards.
bool unit_saved_with(struct unit_saved *s, uint8_t *at, const void *x, size_t n);
// Saves p with every bit, and every byte at the ends of what it can be, spoiled in turn: each is refused, or a pool that
// can be used. How many could be loaded.
size_t unit_saved_spoil(struct kvr_pool *p);
void unit_saved_free(struct unit_saved *s); // and empty again

#endif
