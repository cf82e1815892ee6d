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

struct mock_blocks;

enum { MOCK_NO_BLOCK = 0 };

struct mock_blocks_count {
    size_t capacity, used; // in use by requests; the others are free
    size_t cached;         // with content, used or free
};

struct mock_blocks *mock_blocks_new(size_t capacity); // >= 1
void mock_blocks_free(struct mock_blocks *b);
struct mock_blocks_count mock_blocks_counts(const struct mock_blocks *b);
// A block with this content, the oldest of several, or MOCK_NO_BLOCK.
uint32_t mock_blocks_find(const struct mock_blocks *b, uint64_t hash);
bool mock_blocks_idle(const struct mock_blocks *b, uint32_t block); // used by nobody
void mock_blocks_use(struct mock_blocks *b, uint32_t block);
// Takes a free block for new content; there must be one. True: *evicted is what it contained.
bool mock_blocks_take(struct mock_blocks *b, uint32_t *block, uint64_t *evicted);
void mock_blocks_name(struct mock_blocks *b, uint32_t block,
                      uint64_t hash); // its content is complete
void mock_blocks_leave(struct mock_blocks *b, uint32_t block);
void mock_blocks_clear(struct mock_blocks *b); // all content is forgotten; what is used stays used
// Every content once, in ascending order; returns how many. out has room for `cached`.
size_t mock_blocks_list(const struct mock_blocks *b, uint64_t *out);
const char *mock_blocks_validate(const struct mock_blocks *b); // NULL, or what is wrong

#endif
