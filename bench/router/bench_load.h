// SPDX-License-Identifier: Apache-2.0
// HTTP requests in a closed loop: each connection sends one, reads its answer, and sends the next.
//
// A client made for measuring: it understands just what a correct server may answer to a request without
// surprises (Content-Length or chunks), and counts everything else as a failure. client/http1 would be less
// code here, but a client on an event loop takes some 50 us a request more, as much as what is measured.
#ifndef BENCH_LOAD_H
#define BENCH_LOAD_H

#include <stddef.h>
#include <stdint.h>

enum { BENCH_MAX_REQUEST = 16384 };

struct bench_load_plan {
    int port; // of 127.0.0.1; connection i goes to port + i % ports if ports are given
    const int *ports;
    size_t n_ports;
    size_t connections;
    // Writes a whole request, head and body; returns its length, at most BENCH_MAX_REQUEST.
    size_t (*request)(void *ctx, uint64_t serial, char *out);
    void *ctx;
    double seconds; // how long; 0: one request a connection
    // Once, when the answer of every connection has begun; may be NULL.
    void (*all_begun)(void *ctx);
};

struct bench_load_result {
    uint64_t answers, failures;
    double rate;           // answers a second
    double p50_us, p99_us; // from the request to the end of its answer
    double first_p99_us;   // to the first byte of its body
    double gap_p99_ms;     // between two reads of one body
    char why[120];         // the first failure
};

// 0, or -1 if no connection can be made.
int bench_load_run(const struct bench_load_plan *plan, struct bench_load_result *r);

#endif
