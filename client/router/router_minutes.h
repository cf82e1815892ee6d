// SPDX-License-Identifier: Apache-2.0
// What this router did in the last ten minutes, in steps of five seconds: a ring of fixed size, for the
// page's charts. Prometheus keeps more and for longer; this is for who has none at hand.
//
// Times are monotonic µs and come in as arguments. A step is begun by the first thing that is counted
// in it; steps in which nothing happened are there all the same when the ring is read.
//
// The first token's times are counted in classes an eighth of an octave wide, so a percentile is off by
// 6 % at most.
#ifndef ROUTER_MINUTES_H
#define ROUTER_MINUTES_H

#include <stddef.h>
#include <stdint.h>

enum {
    ROUTER_MINUTES_STEP_MS = 5000,
    ROUTER_MINUTES_STEPS = 120, // whole ones; the ring has one more, which is under way
    ROUTER_MINUTES_CLASSES = 20 * 8
};

struct router_minutes_step {
    int64_t number; // time ÷ the step's length, so a stale one is known
    uint64_t requests, failed, output, prompt, cached;
    uint32_t first[ROUTER_MINUTES_CLASSES]; // by class of the time to the first token
};

struct router_minutes {
    struct router_minutes_step ring[ROUTER_MINUTES_STEPS + 1]; // by number, modulo
};

// A step as it is told. Times are ms, −1 where no first token came.
struct router_minutes_figures {
    uint64_t requests, failed, output, prompt, cached;
    double p50, p95;
};

// A request has ended. failed: by no fault of the client's.
void router_minutes_request(struct router_minutes *m, int64_t now_us, int failed);
// Tokens of a prompt that was placed, and how many of them were cached there.
void router_minutes_prompt(struct router_minutes *m, int64_t now_us, int64_t tokens,
                           int64_t cached);
void router_minutes_first(struct router_minutes *m, int64_t now_us, int64_t first_us);
void router_minutes_output(struct router_minutes *m, int64_t now_us, int64_t tokens);

// Adds what another process did in the same steps.
void router_minutes_add(struct router_minutes *to, const struct router_minutes *m);

// The whole steps since `began_us`, at most ROUTER_MINUTES_STEPS, the oldest first. Returns how many.
size_t router_minutes_read(const struct router_minutes *m, int64_t began_us, int64_t now_us,
                           struct router_minutes_figures out[ROUTER_MINUTES_STEPS]);

#endif
