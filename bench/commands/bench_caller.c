// SPDX-License-Identifier: Apache-2.0
#include "bench_caller.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/common/bench_memory.h"

void bench_caller_open(struct bench_caller *c, struct bench_holdings *h, uint64_t serial,
                       uint64_t callers) {
    c->held = h;
    c->serial = serial;
    c->callers = callers;
    c->unit = c->stored = c->removed = 0;
    c->load = bench_calloc(h->workers, sizeof *c->load);
    c->depth = bench_calloc(h->workers, sizeof *c->depth);
}

void bench_caller_close(struct bench_caller *c) {
    bench_wire_close(&c->wire);
    free(c->load);
    free(c->depth);
}

size_t bench_unit_id(const struct bench_caller *c, uint64_t unit, char out[BENCH_ID_ROOM]) {
    return (size_t)snprintf(out, BENCH_ID_ROOM, "request-%02x-%010llx", (unsigned)c->serial & 0xff,
                            (unsigned long long)unit & 0xffffffffff);
}
