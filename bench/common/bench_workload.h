// SPDX-License-Identifier: Apache-2.0
// What is replayed: requests with the prefix hashes of their blocks.
//
// A load is open or closed. In an open one each request arrives at its own time, whatever became of those
// before it. In a closed one that holds for the first request of a session; each other arrives some
// time after another one has ended, as a user or an agent sends the next prompt when the answer is there.
#ifndef BENCH_WORKLOAD_H
#define BENCH_WORKLOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BENCH_NO_REQUEST UINT32_MAX

struct bench_request {
    double at;    // seconds of virtual time; of one that waits for another, the earliest possible
    double delay; // seconds from the end of `after` to this one's arrival
    uint32_t
        after; // the request that it waits for, before it in workload.requests; or BENCH_NO_REQUEST
    uint32_t session;  // whose it is; a request that belongs to nobody's has one of its own
    uint32_t isl, osl; // tokens of the prompt and of the output
    uint32_t service_class, flow; // where requests wait: which class, and whose it is (0: nobody's)
    uint32_t blocks;              // full blocks of the prompt
    uint32_t known; // the same with the output's, where a later prompt will contain them
    size_t first;   // place of the first in workload.hashes
    size_t text;    // the caller's own
};

struct bench_workload {
    struct bench_request *requests; // in order of `at`
    size_t n, room;
    uint32_t sessions; // requests have ids below that
    bool closed;       // some wait for others
    uint64_t *hashes;  // requests that continue one another share them
    size_t n_hashes, room_hashes;
    unsigned block_size; // tokens
    char what[160];      // one line for people
};

// Appends a request.
void bench_workload_add(struct bench_workload *w, const struct bench_request *r);
// Room for n hashes behind those that are there; the caller writes them and adds to n_hashes.
uint64_t *bench_workload_more_hashes(struct bench_workload *w, size_t n);
// Appends the hashes of a sequence's full blocks, of which the first `hashed` were appended last. Returns how
// many it has now. n: tokens of the sequence so far.
size_t bench_workload_hash(struct bench_workload *w, const uint32_t *tokens, size_t n,
                           size_t hashed);
// Puts the requests in order of `at`, those of the same time in the order in which they were.
void bench_workload_sort(struct bench_workload *w);
// Guesses whose the requests are (in order of time) when nobody has said it. A prompt continues the one that it
// contains whole: what is known of it, in pieces of so many blocks, is all that a session's prompt had, to
// its last piece, and that piece was in no other session's before. So what all prompts begin with makes no
// session of them.
void bench_workload_guess_sessions(struct bench_workload *w, uint32_t piece);
void bench_workload_free(struct bench_workload *w);

static inline const uint64_t *bench_request_hashes(const struct bench_workload *w, size_t request) {
    return w->hashes + w->requests[request].first;
}

#endif
