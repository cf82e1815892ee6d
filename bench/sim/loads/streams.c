// SPDX-License-Identifier: Apache-2.0
// Streams in closed loop; see streams.h.
#include "streams.h"

#include "client/common/random.h"
#include "sequence.h"

static void add_request(struct bench_workload *w, const struct sim_streams *s, uint64_t *rng,
                        struct bench_request *r) {
    r->isl = sim_draw_length(rng, s->isl);
    r->osl = sim_draw_length(rng, s->osl);
    r->blocks = r->isl / w->block_size;
    r->known = (r->isl + r->osl) / w->block_size;
    r->first = w->n_hashes;
    uint64_t *to = bench_workload_more_hashes(w, r->known);
    for (uint32_t i = 0; i < r->known; i++)
        to[i] = kvr_random(rng);
    w->n_hashes += r->known;
    bench_workload_add(w, r);
}

void sim_streams_add(struct bench_workload *w, const struct sim_streams *s) {
    uint64_t rng = kvr_random_mix(s->seed * 31 + s->service_class * 7 + s->flow);
    w->closed = true;
    for (unsigned i = 0; i < s->n; i++) {
        struct bench_request r = {
            .at = s->from + s->ramp * i / s->n,
            .after = BENCH_NO_REQUEST,
            .session = w->sessions++,
            .service_class = s->service_class,
            .flow = s->flow,
        };
        while (r.at < s->until) {
            add_request(w, s, &rng, &r);
            r.after = (uint32_t)(w->n - 1);
            r.at += r.osl * s->pace;
        }
    }
    bench_workload_sort(w);
}
