// SPDX-License-Identifier: Apache-2.0
// Engines at full speed, while bridges, engines and Redis are killed by chance, again and again, and
// engines' streams go wrong. Now and then all comes to rest, and the pool is compared with what the
// engines hold.
#ifndef BTEST_CHAOS_H
#define BTEST_CHAOS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BTEST_CHAOS_BATCHES = 50
}; // what a busy rank of an engine publishes in a second: one a step

struct btest_chaos_plan {
    double minutes; // worth of events: so many times 60 · BTEST_CHAOS_BATCHES batches of each rank
    uint64_t seed;
    bool quiet;
};

struct btest_chaos_result {
    size_t ranks, batches, requests, tokens;
    size_t bridges, engines, restarts, faults; // killed; restarted in place; streams gone wrong
    size_t servers, torn, emptied; // Redis killed; of these with less, with nothing left
    size_t rests, compared;        // times of rest; blocks compared in these
    double seconds, longest_rest;  // longest until no difference was left
};

// Any difference that stays ends the program with a message.
void btest_chaos_run(const struct btest_chaos_plan *plan, struct btest_chaos_result *out);

#endif
