// SPDX-License-Identifier: Apache-2.0
// Many small cases that spend their time waiting, shared by a dozen threads.
#ifndef CLIENT_CROWD_H
#define CLIENT_CROWD_H

#include <stddef.h>
#include <stdint.h>

enum { CROWD_TEXT = 8000 };

struct crowd {
    void *ctx;
    size_t n; // cases
    // Runs case i and writes what was wrong, or leaves it empty. Criterion's assertions must not be
    // used in it: they end the wrong thread.
    void (*run)(void *ctx, size_t i, char wrong[CROWD_TEXT]);
    void (*name)(void *ctx, size_t i, char name[CROWD_TEXT]);
};

// Returns how many cases were wrong; the first of them are told on stderr. A case that hangs ends
// the process, with its name.
size_t crowd_run(const struct crowd *c);

// For tests that draw their cases: KVROUTE_SEED repeats a run.
uint64_t crowd_seed(void);
uint64_t crowd_draw(uint64_t *state);

#endif
