// SPDX-License-Identifier: Apache-2.0
// All figures as JSON. Nothing in it depends on real time or on the machine.
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <string.h>

#include "bench/sim/routers/routers.h"
#include "results.h"

// In the order of struct sim_figures; the last one isn't known of every run.
static const char *const figure_names[SIM_FIGURES] = {"requests",
                                                      "ttft_mean",
                                                      "ttft_p50",
                                                      "ttft_p99",
                                                      "tbt_mean",
                                                      "tbt_p99",
                                                      "e2e_p50",
                                                      "e2e_p99",
                                                      "goodput",
                                                      "in_slo",
                                                      "hits",
                                                      "imbalance",
                                                      "work",
                                                      "retried",
                                                      "loaded",
                                                      "preempted",
                                                      "ttft_prediction_error"};

static json_t *figures(const struct sim_figures *x) {
    json_t *j = json_object();
    for (size_t i = 0; i < SIM_FIGURES; i++) {
        double v = ((const double *)x)[i];
        if (!isnan(v)) json_object_set_new(j, figure_names[i], json_real(v));
    }
    return j;
}

static json_t *stretches(const struct sim_row *row, size_t n) {
    json_t *all = json_array();
    for (size_t i = 0; i < n; i++) {
        const struct sim_stretch *x = &row->stretches[i];
        json_array_append_new(
            all,
            json_pack("{s:i, s:f, s:f, s:i}", "requests", (int)x->requests, "ttft_mean",
                      x->requests ? x->ttft / (double)x->requests : 0, "hits",
                      x->blocks ? (double)x->hits / (double)x->blocks : 0, "late", (int)x->late));
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
        json_pack("{s:s, s:s, s:s, s:i, s:f, s:o}", "series", names[row->series], "name", row->name,
                  "router", row->spec.kind->name, "routers", (int)row->spec.routers, "load_factor",
                  row->factor, "figures", figures(&row->figures));
    if (row->spec.kind == sim_router_find("fixed")) {
        const struct sim_fixed *f = &row->fixed;
        json_object_set_new(j, "constants",
                            json_pack("[f, f, f, f, f, f]", f->a, f->b, f->c, f->d, f->e, f->bits));
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
    json_t *j =
        json_pack("{s:s, s:i, s:f, s:i, s:i, s:i, s:s, s:i, s:i, s:i, s:f, s:f, s:f, s:f, s:f, "
                  "s:f, s:f, s:s, s:s, s:b, s:b, s:b, s:i, s:i, s:f, s:f}",
                  "load", r->load, "requests", (int)r->requests, "seconds", r->seconds,
                  "block_size", (int)o->block_size, "seed", (int)o->seed, "seeds", (int)o->seeds,
                  "model", o->models, "workers", (int)o->workers, "blocks", (int)o->plan.blocks,
                  "budget", (int)o->plan.model->budget, "hop", o->plan.hop, "delay", o->plan.delay,
                  "sync", o->plan.sync, "age", o->plan.age, "notice", o->plan.notice, "slo_ttft",
                  o->slo.ttft, "slo_tbt", o->slo.tbt, "weights", o->plan.words, "speeds", o->speeds,
                  "preempt", (int)o->preempt, "attention", (int)o->attention, "session_names",
                  (int)o->plan.named, "host_blocks", (int)o->plan.host, "sessions", (int)o->users,
                  "warmup", o->warmup, "duration", o->duration);
    if (o->plan.pairs && j) {
        json_object_set_new(j, "roles", json_string(o->roles));
        json_object_set_new(j, "transfer_tokens", json_real(o->plan.transfer));
        json_object_set_new(j, "local_prefill", json_integer((json_int_t)o->plan.local_prefill));
    }
    return j;
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
