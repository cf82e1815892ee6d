// SPDX-License-Identifier: Apache-2.0
// What is held while the commands are measured, and putting it into a server: as a pool, and in the two
// layouts that a user of plain Redis would choose.
//
// Prompts of five bench_lengths have an equal share of the blocks. Every block has four holders: two workers
// hold the whole prompt, two others every second stretch of 32 blocks, so that a stretch and its
// neighbour never have the same holders. In the pool each stretch is a run of its own then, the
// least favourable form.
#ifndef BENCH_HOLDINGS_H
#define BENCH_HOLDINGS_H

#include <stddef.h>
#include <stdint.h>

#include "bench_wire.h"

enum { BENCH_LENGTHS = 5, BENCH_STRETCH = 32, BENCH_HOLDERS = 4, BENCH_NAME_ROOM = 16 };
extern const size_t bench_lengths[BENCH_LENGTHS]; // blocks of a prompt

struct bench_holdings {
    size_t workers;
    size_t blocks;                  // of all prompts
    size_t prompts[BENCH_LENGTHS];  // how many of each length
    uint64_t *first[BENCH_LENGTHS]; // their hashes, one prompt after the other
    uint64_t *seq;                  // by worker: its last event
};

// About so many blocks.
void bench_holdings_make(struct bench_holdings *h, size_t workers, size_t blocks);
void bench_holdings_free(struct bench_holdings *h);
// The prompt of a length (its index) that the draw falls on.
const uint64_t *bench_prompt(const struct bench_holdings *h, size_t length, uint64_t draw);

size_t bench_worker_number(const char *name, size_t n); // of a worker by its name

// The key of the pool, and those of a block in the plain layouts: a letter and 8 raw bytes.
extern const char bench_pool_key[];
enum { BENCH_KEY_BYTES = 9 };
void bench_block_key(char out[BENCH_KEY_BYTES], char letter, uint64_t hash);

// A new pool with its workers, who hold nothing; the same with all that is held.
void bench_fill_workers(struct bench_wire *w, struct bench_holdings *h);
void bench_fill_pool(struct bench_wire *w, struct bench_holdings *h);
// 'h': a hash a block, a field for each worker; 's': a string, the workers' numbers, 2 bytes each.
void bench_fill_hashes(struct bench_wire *w, struct bench_holdings *h);
void bench_fill_strings(struct bench_wire *w, struct bench_holdings *h);

// Begins the EVENT of a worker with one op; the hashes follow as the last word.
void bench_put_event(struct bench_wire *w, struct bench_holdings *h, size_t worker, const char *op,
                     const uint64_t *parent, const uint64_t *hashes, size_t n);

#endif
