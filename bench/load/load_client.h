// SPDX-License-Identifier: Apache-2.0
// Plays a script against servers on 127.0.0.1: each request is sent at its time, however the earlier ones
// fare, and its answer is read as a stream. There are two ways:
//
//   to the targets in turn (engines, or routers that are proxies):
//       POST /v1/completions ──▶ a target
//
//   by the advice of routers, as a frontend that keeps its own streams:
//       POST /v1/select ──▶ a router, each request asks the next one; it names an engine
//       POST /v1/completions ──▶ that engine
//       POST /v1/update (first token), /v1/update (length of the output), /v1/release ──▶ the same router
//
// A router that can't be reached or answers an error is left for the next one, until one answers.
#ifndef BENCH_LOAD_CLIENT_H
#define BENCH_LOAD_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "completion.h"
#include "script.h"

struct bench_play_count {
    size_t done;             // requests
    uint64_t prompt, cached; // tokens of these
};

struct bench_play_plan {
    const struct bench_script *script;
    double speed;       // seconds of the script in one of real time
    const int *targets; // ports; of no use if there are routers
    size_t n_targets;
    const int *routers; // ports; none: no advice
    size_t n_routers;
    // Now and then; may be NULL.
    void (*watch)(void *ctx, const struct bench_play_count *so_far);
    void *ctx;
};

// What became of a request. Times in seconds since the first was due; negative: never.
struct bench_outcome {
    double sent;        // when it went out; that it was late is in the other times, too
    double chosen;      // when a router had named an engine; without routers: sent
    double first, last; // when its first and last token came
    uint32_t tokens;
    int64_t cached; // tokens of the prompt; -1: it wasn't said
    int port;       // that its stream came from
    bool repeat;    // the choice was one that had been booked before, and its answer lost
    bool degraded;  // a router chose without the pool
    char engine[BENCH_MAX_ENGINE];
    char why[BENCH_MAX_WHY]; // "": all is well
};

// out has room for each request.
void bench_play(const struct bench_play_plan *plan, struct bench_outcome *out);

#endif
