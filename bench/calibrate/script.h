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
#ifndef CALIBRATE_SCRIPT_H
#define CALIBRATE_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/common/workload.h"

struct script_plan {
    unsigned block_size;  // tokens
    double rate, seconds; // requests a second, and for how long
    uint64_t seed;
};

struct script_text {
    size_t at, n; // in script.bytes
};

struct script {
    struct workload load;
    struct workload
        text; // the same requests, cut into blocks as by a router that sees only the text
    struct script_text *prompts; // by request; those of one conversation share their beginning
    char *bytes;                 // printable, nothing that JSON would have to escape
    size_t n_bytes;
};

void script_make(struct script *s, const struct script_plan *plan);
void script_free(struct script *s);

static inline const char *script_prompt(const struct script *s, size_t request) {
    return s->bytes + s->prompts[request].at;
}

#endif
