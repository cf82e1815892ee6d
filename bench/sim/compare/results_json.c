// SPDX-License-Identifier: Apache-2.0
// All figures as JSON. Nothing in it depends on real time or on the machine.
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "bench/sim/routers/routers.h"
#include "results.h"

static json_t *real(double v) {
    return json_real(v);
}

static json_t *figures(const struct sim_figures *x) {
    json_t *j = json_pack(
        "{s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}",
        "requests", real(x->requests), "ttft_mean", real(x->ttft_mean), "ttft_p50",
        real(x->ttft_p50), "ttft_p99", real(x->ttft_p99), "tbt_mean", real(x->tbt_mean), "tbt_p99",
        real(x->tbt_p99), "e2e_p50", real(x->e2e_p50), "e2e_p99", real(x->e2e_p99), "goodput",
        real(x->goodput), "in_slo", real(x->kept), "hits", real(x->hit), "imbalance",
        real(x->imbalance), "work", real(x->work), "retried", real(x->retried), "loaded",
        real(x->loaded), "preempted", real(x->preempted));
    if (!isnan(x->error)) json_object_set_new(j, "ttft_prediction_error", real(x->error));
    return j;
}

static json_t *stretches(const struct sim_row *row, size_t n) {
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct sim_stretch *x = &row->stretches[i];
        json_array_append_new(
            all, json_pack("{s:i, s:o, s:o, s:i}", "requests", (int)x->requests, "ttft_mean",
                           real(x->requests ? x->ttft / (double)x->requests : 0), "hits",
                           real(x->blocks ? (double)x->hits / (double)x->blocks : 0), "late",
                           (int)x->late));
    }
    return all;
}

static json_t *left_out(unsigned terms) {
    json_t *all = json_array();
    for (unsigned i = 0; i < SIM_TERMS; i++)
        if (terms & 1u << i) json_array_append_new(all, json_string(sim_term_names[i]));
    return all;
}

static json_t *run(const struct sim_results *r, const struct sim_row *row) {
    static const char *const names[SIM_SERIES] = {"compared", "swept", "scaled"};
    json_t *j =
        json_pack("{s:s, s:s, s:s, s:i, s:o, s:o}", "series", names[row->series], "name", row->name,
                  "router", row->spec.kind->name, "routers", (int)row->spec.routers, "load_factor",
                  real(row->factor), "figures", figures(&row->figures));
    if (row->spec.kind == sim_router_find("fixed")) {
        const struct sim_fixed *f = &row->fixed;
        json_object_set_new(j, "constants",
                            json_pack("[o, o, o, o, o, o]", real(f->a), real(f->b), real(f->c),
                                      real(f->d), real(f->e), real(f->bits)));
    }
    if (row->spec.together) json_object_set_new(j, "balancer", json_string("conversation"));
    if (row->spec.kind->scores)
        json_object_set_new(j, "policy", json_string(kvr_policies[row->spec.policy].name));
    if (row->spec.without) json_object_set_new(j, "without", left_out(row->spec.without));
    if (row->stretches) json_object_set_new(j, "stretches", stretches(row, r->o->stretches));
    return j;
}

static json_t *setup(const struct sim_results *r) {
    const struct sim_options *o = r->o;
    return json_pack("{s:s, s:i, s:o, s:i, s:i, s:i, s:s, s:i, s:i, s:i, s:o, s:o, s:o, s:o, s:o, "
                     "s:o, s:o, s:s, s:s, s:b, s:b, s:b, s:i, s:i, s:o, s:o}",
                     "load", r->load, "requests", (int)r->requests, "seconds", real(r->seconds),
                     "block_size", (int)o->block_size, "seed", (int)o->seed, "seeds", (int)o->seeds,
                     "model", o->models, "workers", (int)o->workers, "blocks", (int)o->plan.blocks,
                     "budget", (int)o->plan.model->budget, "hop", real(o->plan.hop), "delay",
                     real(o->plan.delay), "sync", real(o->plan.sync), "age", real(o->plan.age),
                     "notice", real(o->plan.notice), "slo_ttft", real(o->slo.ttft), "slo_tbt",
                     real(o->slo.tbt), "weights", o->plan.words, "speeds", o->speeds, "preempt",
                     (int)o->preempt, "attention", (int)o->attention, "session_names",
                     (int)o->plan.named, "host_blocks", (int)o->plan.host, "sessions",
                     (int)o->users, "warmup", real(o->warmup), "duration", real(o->duration));
}

bool sim_results_json(const struct sim_results *r, const char *path) {
    json_t *runs = json_array();
    for (size_t i = 0; i < r->n; i++)
        json_array_append_new(runs, run(r, &r->rows[i]));
    json_t *all = json_pack("{s:o, s:o}", "setup", setup(r), "runs", runs);
    bool ok = all && json_dump_file(all, path, JSON_INDENT(1) | JSON_REAL_PRECISION(12)) == 0;
    if (!ok) fprintf(stderr, "kvroute-sim: can't write %s: %s\n", path, strerror(errno));
    json_decref(all);
    return ok;
}
