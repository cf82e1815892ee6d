// SPDX-License-Identifier: Apache-2.0
// Traces in Mooncake's form: JSON lines of timestamp (ms), input_length and output_length (tokens) and
// hash_ids, one id for each 512 tokens of the prompt, equal ids for equal prefixes. With a session_id
// (text or number) it is known whose a request is, else it is guessed; all but the first of a session may
// then have a delay (ms after the end of the one before) in place of the timestamp.
//
// A trace has no tokens, so each id stands for 512 made-up ones that depend on it alone; these are cut
// into blocks and chained as hash.h says. The last id of a prompt covers a part only: of it as many
// blocks are made as input_length fills. What was generated has no ids, so it is in no later prompt.
#ifndef BENCH_TRACE_H
#define BENCH_TRACE_H

#include "bench_workload.h"

// Reads at most so many requests (0: all). block_size divides 512. Ends the program with a message if it
// can't.
void bench_trace_read(struct bench_workload *w, const char *path, unsigned block_size,
                      size_t at_most);

#endif
