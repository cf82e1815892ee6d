// SPDX-License-Identifier: Apache-2.0
// Streams in closed loop, and the figures of one class.
#include <criterion/criterion.h>
#include <math.h>

#include "bench/common/hashmap.h"
#include "bench/sim/loads/streams.h"
#include "bench/sim/queue/class_figures.h"
#include "stest.h"

static struct bench_workload make_streams(uint64_t seed) {
    struct bench_workload w = {.block_size = 16};
    sim_streams_add(&w, &(struct sim_streams){.n = 5,
                                              .isl = 200,
                                              .osl = 50,
                                              .from = 100,
                                              .ramp = 10,
                                              .until = 200,
                                              .pace = 0.1,
                                              .service_class = 1,
                                              .flow = 3,
                                              .seed = seed});
    return w;
}

Test(streams, each_waits_for_its_own_before) {
    struct bench_workload w = make_streams(1);
    unsigned first = 0;
    cr_assert(w.closed && w.sessions == 5);
    for (size_t i = 0; i < w.n; i++) {
        const struct bench_request *r = &w.requests[i];
        cr_assert(r->service_class == 1 && r->flow == 3 && r->delay == 0);
        cr_assert(r->at >= (i ? w.requests[i - 1].at : 100) && r->at < 200);
        cr_assert(r->blocks == r->isl / 16 && r->known == (r->isl + r->osl) / 16);
        if (r->after == BENCH_NO_REQUEST) {
            cr_assert(r->at < 110);
            first++;
            continue;
        }
        const struct bench_request *before = &w.requests[r->after];
        cr_assert(r->after < i && before->session == r->session);
        cr_assert(fabs(r->at - before->at - before->osl * 0.1) < 1e-9, "as early as it can be");
    }
    cr_assert(first == 5);
    bench_workload_free(&w);
}

Test(streams, nothing_is_shared) {
    struct bench_workload w = make_streams(2);
    struct bench_map seen = {0};
    for (size_t i = 0; i < w.n_hashes; i++) {
        cr_assert(!bench_map_get(&seen, w.hashes[i]));
        bench_map_set(&seen, w.hashes[i], 1);
    }
    bench_map_free(&seen);
    bench_workload_free(&w);
}

Test(streams, the_same_for_a_seed) {
    struct bench_workload a = make_streams(3), b = make_streams(3), c = make_streams(4);
    cr_assert(a.n == b.n && a.n_hashes == b.n_hashes && a.hashes[0] == b.hashes[0]);
    cr_assert(a.hashes[0] != c.hashes[0]);
    bench_workload_free(&a);
    bench_workload_free(&b);
    bench_workload_free(&c);
}

// They may be added to a load that is there, which stays as it is.
Test(streams, beside_another_load) {
    struct bench_workload w = {0};
    sim_load_make(sim_load_find("chat"), &w, &(struct sim_load_plan){16, 50, 5, 1});
    double from = w.requests[0].at;
    sim_streams_add(&w, &(struct sim_streams){.n = 3,
                                              .isl = 100,
                                              .osl = 20,
                                              .from = from,
                                              .until = from + 5,
                                              .pace = 0.05,
                                              .service_class = 1,
                                              .seed = 1});
    size_t chats = 0;
    for (size_t i = 0; i < w.n; i++) {
        cr_assert(!i || w.requests[i].at >= w.requests[i - 1].at);
        if (w.requests[i].service_class) continue;
        chats++;
        cr_assert(w.requests[i].after == BENCH_NO_REQUEST);
    }
    cr_assert(chats == 50 && w.n > 53);
    bench_workload_free(&w);
}

// ---- Figures -------------------------------------------------------------------------------------

// Three requests: of class 0 that began at once, of class 1 that was refused twice, of class 0 too early.
static void make_run(struct stest_load *l, struct sim_stats *s) {
    stest_load_open(l, 4);
    stest_load_add(l, 10, 100, 11, 0);
    stest_load_add(l, 11, 200, 21, 1000);
    stest_load_add(l, 1, 400, 1, 2000);
    l->requests[1].service_class = 1;
    sim_stats_open(s, 3, 1);
    s->began = 10;
    s->until = 20;
    s->ended = 25;
    s->outcomes[0] = (struct sim_outcome){
        .arrived = 10, .chosen = 10, .first = 12, .done = 13, .cached = 40, .predicted = -1};
    s->outcomes[1] = (struct sim_outcome){
        .arrived = 11, .chosen = 15, .first = 16, .done = 22, .refused = 2, .predicted = -1};
    s->outcomes[2] = (struct sim_outcome){
        .arrived = 1, .chosen = 1, .first = 2, .done = 11, .cached = 401, .predicted = -1};
}

Test(class_figures, of_each_class) {
    static struct stest_load l;
    struct sim_stats s;
    struct sim_class_figures x;
    make_run(&l, &s);
    sim_class_figures(&s, &l.load, 0, &x);
    cr_assert(x.n == 1 && x.ttft_p50 == 2 && x.ttft_p99 == 2 && x.waited_p99 == 0);
    cr_assert(fabs(x.tbt - 0.1) < 1e-12);
    cr_assert(x.charged == 100 - 40 + 11, "only what was chosen for while it was measured");
    cr_assert(fabs(x.done - 0.2) < 1e-12 && fabs(x.tokens - (111 + 401) / 10.0) < 1e-9);
    cr_assert(x.refused == 0 && x.once == 0 && x.refusals == 0);
    sim_class_figures(&s, &l.load, 1, &x);
    cr_assert(x.n == 1 && x.waited_p99 == 4 && x.charged == 221 && x.done == 0);
    cr_assert(x.refused == 1 && x.once == 0 && x.refusals == 2);
    sim_class_figures(&s, &l.load, 2, &x);
    cr_assert(x.n == 0 && x.ttft_p99 == 0 && x.charged == 0);
    cr_assert(sim_charge(&s.outcomes[2], &l.requests[2]) == 1, "at least one token");
    sim_stats_close(&s);
}

// 401 tokens at 1, 111 at 10, 221 at 15.
Test(class_figures, ahead_of_a_rate) {
    static struct stest_load l;
    struct sim_stats s;
    double mean;
    make_run(&l, &s);
    cr_assert(sim_ahead(&s, &l.load, 1000, &mean) == 401, "each has run out before the next");
    cr_assert(fabs(mean - 33.2) < 1e-9, "what was let in while it was measured");
    cr_assert(sim_ahead(&s, &l.load, 10, &mean) == 401 - 90 + 111 - 50 + 221);
    sim_stats_close(&s);
}
