// SPDX-License-Identifier: Apache-2.0
// The load of a calibration: requests with their times and their texts, for real routers and engines,
// and the same as a workload for the simulator.
//
// Conversations of some turns, each under one of a few system prompts that are chosen unequally; the
// prompt of a turn is the whole conversation so far, answers included. Answers of a mock engine are a
// function of the prompt, so what it will say is in the script beforehand, and the tokens and blocks of
// the workload are those that the engine will make of the text.
//
// Words of the prompts have three letters: with the space before them four bytes a token, which is what
// routers that see only text take a token to be. Words of answers are longer: such a router takes a prompt
// to have more tokens than it has.
#ifndef CALIB_SCRIPT_H
#define CALIB_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/common/bench_workload.h"

struct calib_load_plan {
    unsigned block_size;  // tokens
    double rate, seconds; // requests a second, and for how long
    uint64_t seed;
};

struct calib_text {
    size_t at, n; // in script.bytes
};

struct calib_load {
    struct bench_workload load;
    struct bench_workload
        text; // the same requests, cut into blocks as by a router that sees only the text
    struct calib_text *prompts; // by request; those of one conversation share their beginning
    char *bytes;                // printable, nothing that JSON would have to escape
    size_t n_bytes;
};

void calib_load_make(struct calib_load *s, const struct calib_load_plan *plan);
void calib_load_free(struct calib_load *s);

static inline const char *calib_load_prompt(const struct calib_load *s, size_t request) {
    return s->bytes + s->prompts[request].at;
}

#endif
