// SPDX-License-Identifier: Apache-2.0
// What is held while the commands are measured, and putting it into a server: as a pool, and in the two
// layouts that a user of plain Redis would choose.
//
// Prompts of five lengths have an equal share of the blocks. Every block has four holders: two workers
// hold the whole prompt, two others every second stretch of 32 blocks, so that a stretch and its
// neighbour never have the same holders. In the pool each stretch is a run of its own then, the
// least favourable form.
#ifndef COMMANDS_HELD_H
#define COMMANDS_HELD_H

#include <stddef.h>
#include <stdint.h>

#include "wire.h"

enum { LENGTHS = 5, STRETCH = 32, HOLDERS = 4, NAME_ROOM = 16 };
extern const size_t lengths[LENGTHS]; // blocks of a prompt

struct held {
    size_t workers;
    size_t blocks;            // of all prompts
    size_t prompts[LENGTHS];  // how many of each length
    uint64_t *first[LENGTHS]; // their hashes, one prompt after the other
    uint64_t *seq;            // by worker: its last event
};

void held_make(struct held *h, size_t workers, size_t blocks); // about so many blocks
void held_free(struct held *h);
// The prompt of a length (its index) that the draw falls on.
const uint64_t *held_prompt(const struct held *h, size_t length, uint64_t draw);

void worker_name(char out[NAME_ROOM], size_t worker);
size_t worker_number(const char *name, size_t n); // the inverse

// The key of the pool, and those of a block in the plain layouts: a letter and 8 raw bytes.
extern const char pool_key[];
enum { KEY_BYTES = 9 };
void block_key(char out[KEY_BYTES], char letter, uint64_t hash);

void fill_workers(struct wire *w, struct held *h); // a new pool with its workers, who hold nothing
void fill_pool(struct wire *w, struct held *h);    // the same with all that is held
void fill_hashes(struct wire *w, struct held *h);  // 'h': a hash, a field for each worker
void fill_strings(struct wire *w, struct held *h); // 's': the workers' numbers, 2 bytes each

// Begins the EVENT of a worker with one op; the hashes follow as the last word.
void put_event(struct wire *w, struct held *h, size_t worker, const char *op,
               const uint64_t *parent, const uint64_t *hashes, size_t n);

#endif
