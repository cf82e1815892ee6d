// SPDX-License-Identifier: Apache-2.0
// A prompt that everybody holds: SELECT with 1,000 holders beside SELECT with 10.
#include "bench_experiments.h"
#include "bench_setup.h"

enum { FEW_HOLDERS = 10, MANY_HOLDERS = 1000, MANY_HOLDERS_BLOCKS = 40000 };

static void hold_all(struct bench_wire *w, struct bench_holdings *h) {
    for (size_t i = 0; i < h->prompts[BENCH_LENGTH_512]; i++) {
        const uint64_t *prompt = h->first[BENCH_LENGTH_512] + i * bench_lengths[BENCH_LENGTH_512];
        for (size_t k = 0; k < h->workers; k++)
            bench_put_event(w, h, k, "STORED", NULL, prompt, bench_lengths[BENCH_LENGTH_512]);
        bench_wire_send(w);
        for (size_t k = 0; k < h->workers; k++)
            bench_wire_skip(w);
    }
}

static void measure(const struct bench_options *o, size_t workers, double *call, double *pair,
                    double *p50) {
    struct bench_setup s;
    bench_setup_begin(&s, o, workers, MANY_HOLDERS_BLOCKS);
    bench_fill_workers(&s.caller.wire, &s.held);
    hold_all(&s.caller.wire, &s.held);
    struct bench_result cells[2] = {
        {.op = &bench_ops[BENCH_OP_SELECT], .length = BENCH_LENGTH_512, .pipelined = true},
        {.op = &bench_ops[BENCH_OP_SELECT], .length = BENCH_LENGTH_512},
    };
    bench_measure(&s.redis, &s.caller, &o->plan, cells, 2);
    *call = cells[0].usec[0];
    *pair = bench_result_cpu(&cells[0]);
    *p50 = cells[1].p50;
    bench_setup_end(&s);
}

void bench_measure_many_holders(const struct bench_options *o, struct bench_many_holders *out) {
    measure(o, FEW_HOLDERS, &out->few, &out->few_pair, &out->few_p50);
    measure(o, MANY_HOLDERS, &out->many, &out->many_pair, &out->many_p50);
}
