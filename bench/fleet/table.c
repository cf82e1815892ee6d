// SPDX-License-Identifier: Apache-2.0
// The table for people; Markdown, so that it can be kept.
#include "results.h"

void table_head(FILE *f, const struct results *r) {
    const struct options *o = r->o;
    const struct model *m = &o->model;
    fprintf(f, "%zu requests in %.0f s, %.0f blocks of %llu tokens each: %s", r->requests,
            r->seconds, r->blocks, (unsigned long long)o->block_size, r->load);
    if (o->seeds > 1) fprintf(f, "; means of %llu seeds", (unsigned long long)o->seeds);
    fputc('\n', f);
    fprintf(f,
            "%llu engines like %s: caches of %llu blocks, %u tokens a step at most; a step takes\n"
            "%.2f ms + %.2f us a prompt token + %.1f us a request + %.4f us a KV token\n",
            (unsigned long long)o->workers, m->what, (unsigned long long)o->blocks, m->budget,
            m->fixed * 1e3, m->prefill * 1e6, m->decode * 1e6, m->kv * 1e6);
    fprintf(f,
            "hop %.2f ms, cache events after %.0f ms, decisions of others after %.0f ms, metrics "
            "every %.0f ms\n\n",
            o->hop * 1e3, o->delay * 1e3, o->sync * 1e3, o->age * 1e3);
}

void table_columns(FILE *f) {
    fprintf(f,
            "| %-28s | TTFT mean |   p50 |   p99 | TBT mean |   p99 | E2E p50 |   p99 | goodput | "
            "in SLO |  hits | imbalance |  work |\n",
            "routers");
    fprintf(f, "|%s|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|\n",
            "------------------------------");
}

void table_row(FILE *f, const struct row *row) {
    const struct figures *x = &row->figures;
    fprintf(f,
            "| %-28s | %9.3f | %5.3f | %5.2f | %8.2f | %5.1f | %7.2f | %5.1f | %7.2f | %5.1f%% | "
            "%4.1f%% | %9.3f | %4.1f%% |\n",
            row->name, x->ttft_mean, x->ttft_p50, x->ttft_p99, x->tbt_mean * 1e3, x->tbt_p99 * 1e3,
            x->e2e_p50, x->e2e_p99, x->goodput, x->kept * 100, x->hit * 100, x->imbalance,
            x->work * 100);
    fflush(f);
}

void table_foot(FILE *f, const struct results *r) {
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
