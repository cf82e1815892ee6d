// SPDX-License-Identifier: Apache-2.0
// The runs that were made, and the table of them for people: Markdown, so that it can be kept. See results.h.
#include "results.h"

#include <math.h>
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "bench/sim/fleet/transfers.h"

struct sim_row *sim_results_add(struct sim_results *r) {
    r->rows = bench_grow(r->rows, &r->room, r->n + 1, sizeof *r->rows);
    struct sim_row *row = &r->rows[r->n++];
    *row = (struct sim_row){0};
    return row;
}

void sim_results_free(struct sim_results *r) {
    for (size_t i = 0; i < r->n; i++)
        free(r->rows[i].stretches);
    free(r->rows);
    *r = (struct sim_results){0};
}

// ---- The table -----------------------------------------------------------------------------------

static bool alike(const struct sim_engine_plan *a, const struct sim_engine_plan *b) {
    return a->model.name == b->model.name && a->speed == b->speed;
}

static void engines(FILE *f, const struct sim_engine_plan *e, size_t n) {
    const struct sim_model *m = &e->model;
    fprintf(f,
            "%zu engine%s like %s: caches of %zu blocks, %u tokens a step at most; a step takes\n"
            "%.2f ms + %.2f us a prompt token + %.1f us a request + %.4f us a KV token",
            n, n == 1 ? "" : "s", m->what, e->blocks, m->budget, m->fixed * 1e3, m->prefill * 1e6,
            m->decode * 1e6, m->kv * 1e6);
    if (m->attention > 0) fprintf(f, " + %.2f ns a pair of tokens", m->attention * 1e9);
    if (e->speed != 1) fprintf(f, ", divided by %g", e->speed);
    fputc('\n', f);
}

void sim_table_head(FILE *f, const struct sim_results *r) {
    const struct sim_options *o = r->o;
    fprintf(f, "%zu requests in %.0f s, %.0f blocks of %llu tokens each: %s", r->requests,
            r->seconds, r->blocks, (unsigned long long)o->block_size, r->load);
    if (o->seeds > 1) fprintf(f, "; means of %llu seeds", (unsigned long long)o->seeds);
    fputc('\n', f);
    for (size_t w = 0, n; w < o->workers; w += n) {
        const struct sim_engine_plan *e = &o->engines[w];
        for (n = 1; w + n < o->workers && alike(e, &o->engines[w + n]);)
            n++;
        engines(f, e, n);
    }
    if (o->plan.pairs)
        fprintf(f,
                "roles %s; %.0f GB/s a port%s, %.1f ms a transfer: a token's KV cache in %.1f us; "
                "up to %llu tokens "
                "are computed where the answer is\n",
                o->roles, o->plan.network.rate / 1e9,
                o->plan.network.racks > 1 ? ", a tenth of it between racks" : "",
                o->plan.network.fixed * 1e3,
                sim_transfer_token(&o->plan.network, o->plan.model, o->plan.model, false) * 1e6,
                (unsigned long long)o->plan.local_prefill);
    if (o->preempt) fprintf(f, "preemption: output gets blocks as it comes\n");
    if (o->plan.host)
        fprintf(f, "second tier of %llu blocks; a token's KV cache comes back in %.1f us\n",
                (unsigned long long)o->plan.host, o->plan.model->transfer * 1e6);
    fprintf(f,
            "hop %.2f ms, cache events after %.0f ms, decisions of others after %.0f ms, metrics "
            "every %.0f ms\n\n",
            o->plan.hop * 1e3, o->plan.delay * 1e3, o->plan.sync * 1e3, o->plan.age * 1e3);
}

void sim_table_columns(FILE *f) {
    fprintf(f,
            "| %-28s | TTFT mean |   p50 |   p99 | TBT mean |   p99 | E2E p50 |   p99 | goodput | "
            "in SLO |  hits | imbalance |  work |\n",
            "routers");
    fprintf(f, "|%s|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
            "------------------------------");
}

void sim_table_row(FILE *f, const struct sim_row *row) {
    const struct sim_figures *x = &row->figures;
    fprintf(f,
            "| %-28s | %9.3f | %5.3f | %5.2f | %8.2f | %5.1f | %7.2f | %5.1f | %7.2f | %5.1f%% | "
            "%4.1f%% | %9.3f | %4.1f%% |\n",
            row->name, x->ttft_mean, x->ttft_p50, x->ttft_p99, x->tbt_mean * 1e3, x->tbt_p99 * 1e3,
            x->e2e_p50, x->e2e_p99, x->goodput, x->kept * 100, x->hit * 100, x->imbalance,
            x->work * 100);
    fflush(f);
}

void sim_table_errors(FILE *f, const struct sim_results *r, size_t first) {
    const char *before = "\npredicted TTFT, median error: ";
    for (size_t i = first; i < r->n; i++) {
        if (isnan(r->rows[i].figures.error)) continue;
        fprintf(f, "%s%s %.1f%%", before, r->rows[i].name, r->rows[i].figures.error * 100);
        before = "; ";
    }
    if (*before == ';') fputc('\n', f);
    fflush(f);
}

void sim_table_foot(FILE *f, const struct sim_results *r) {
    static const char text[] = "\nTTFT, E2E: seconds from arrival to the first and the last token. "
                               "TBT: milliseconds between\n"
                               "tokens. Goodput: requests a second whose TTFT is at most %g s and "
                               "whose mean TBT is at most\n"
                               "%g ms; in SLO: their share. Hits: blocks of prompts that the "
                               "engine had cached. Work: time of\n"
                               "engines beyond what every step takes; imbalance: that of the one "
                               "with most, over the mean.\n";
    fprintf(f, text, r->o->slo.ttft, r->o->slo.tbt * 1e3);
}
