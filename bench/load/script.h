// SPDX-License-Identifier: Apache-2.0
// What real routers and engines are given to do: requests with their times and their texts, and the same
// as a workload for the simulator.
//
// Either conversations of some turns, each under one of a few system prompts that are chosen unequally; the
// prompt of a turn is the whole conversation so far, answers included. Or a trace: texts that have as much
// in common as the trace says.
//
// Answers of a mock engine are a function of the prompt, so what it will say is in the script
// beforehand, and the tokens and blocks of the workload are those that the engine will make of the text.
//
// Words of the prompts have three letters: with the space before them four bytes a token, which is what
// routers that see only text take a token to be. Words of answers are longer: such a router takes a prompt
// to have more tokens than it has.
#ifndef BENCH_SCRIPT_H
#define BENCH_SCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/common/bench_workload.h"

// What conversations are like: tokens, of questions and answers a mean. The next question comes `think`
// seconds, a mean, after an answer.
struct bench_script_chats {
    unsigned system_prompts, system_min, system_max, question, answer, turns;
    double think;
};

struct bench_script_plan {
    unsigned block_size;  // tokens
    double rate, seconds; // requests a second, and for how long
    uint64_t seed;
    struct bench_script_chats chats;
};

struct bench_script_text {
    size_t at, n; // in script.bytes
};

struct bench_script {
    struct bench_workload load;
    struct bench_workload
        text; // the same requests, cut into blocks as by a router that sees only the text
    struct bench_script_text
        *prompts; // by request; those of one conversation share their beginning
    char *bytes;  // printable, nothing that JSON would have to escape
    size_t n_bytes;
};

void bench_script_chat(struct bench_script *s, const struct bench_script_plan *plan);
// An open workload, as a script.
void bench_script_trace(struct bench_script *s, const struct bench_workload *trace);
void bench_script_free(struct bench_script *s);

static inline const char *bench_script_prompt(const struct bench_script *s, size_t request) {
    return s->bytes + s->prompts[request].at;
}

#endif
