// SPDX-License-Identifier: Apache-2.0
// What is replayed: requests in the order in which they arrive, with the prefix hashes of their
// blocks.
#ifndef COMMON_WORKLOAD_H
#define COMMON_WORKLOAD_H

#include <stddef.h>
#include <stdint.h>

struct request {
    double at;         // seconds of virtual time
    uint32_t isl, osl; // tokens of the prompt and of the output
    uint32_t blocks;   // full blocks of the prompt
    uint32_t known;    // the same with the output's, where a later prompt will contain them
    size_t first;      // place of the first in workload.hashes
    size_t text;       // place of the prompt's first token in workload.tokens, if these are kept
};

struct workload {
    struct request *requests; // in order of time
    size_t n;
    uint64_t *hashes; // requests that continue one another share them
    size_t n_hashes;
    uint32_t *tokens; // shared likewise; NULL: not kept
    size_t n_tokens;
    unsigned block_size; // tokens
    char what[160];      // one line for people
};

// Reads at most so many requests (0: all) of a trace in Mooncake's form. block_size divides 512. Ends
// the program with a message if it can't.
void workload_trace(struct workload *w, const char *path, unsigned block_size, size_t at_most);
void workload_free(struct workload *w);

static inline const uint64_t *request_hashes(const struct workload *w, size_t request) {
    return w->hashes + w->requests[request].first;
}

#endif
