// SPDX-License-Identifier: Apache-2.0
// The KV blocks of one rank, as paged attention keeps them: a fixed number, each free, or used by
// one or more requests; with content that can be found, or none.
//
//   head → [no content] [c2] [b3] [b2] [b1] … [a1] ← tail        the free ones, next to be taken first
//
// A block keeps its content while it is free, until it is taken for something else. Whoever lets go of
// a sequence lets go of its last block first, so what goes first is a leaf. Nothing is merged: two
// requests that computed the same at the same time leave two blocks of one content, and both are
// evicted some day, as in vLLM.
#ifndef MOCK_BLOCKS_H
#define MOCK_BLOCKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct blocks;

enum { NO_BLOCK = 0 };

struct blocks_count {
    size_t capacity, used; // in use by requests; the others are free
    size_t cached;         // with content, used or free
};

struct blocks *blocks_new(size_t capacity); // >= 1
void blocks_free(struct blocks *b);
struct blocks_count blocks_count(const struct blocks *b);
// A block with this content, the oldest of several, or NO_BLOCK.
uint32_t blocks_find(const struct blocks *b, uint64_t hash);
bool blocks_idle(const struct blocks *b, uint32_t block); // used by nobody
void blocks_use(struct blocks *b, uint32_t block);
// Takes a free block for new content; there must be one. True: *evicted is what it contained.
bool blocks_take(struct blocks *b, uint32_t *block, uint64_t *evicted);
void blocks_name(struct blocks *b, uint32_t block, uint64_t hash); // its content is complete
void blocks_leave(struct blocks *b, uint32_t block);
void blocks_clear(struct blocks *b); // all content is forgotten; what is used stays used
// Every content once, in ascending order; returns how many. out has room for `cached`.
size_t blocks_list(const struct blocks *b, uint64_t *out);
const char *blocks_validate(const struct blocks *b); // NULL, or what is wrong

#endif
