// SPDX-License-Identifier: Apache-2.0
// Tables for people; see bench_commands_report.h.
#include "bench_commands_report.h"

#include <stdio.h>

void bench_report_pool(const struct bench_pool *s, const struct bench_footprint *m) {
    printf("\n== %zu workers, %zu blocks held ==\n", s->workers, m->blocks);
    printf("bytes a block: pool %.1f (by its own count %.1f), (a) a hash each %.1f, "
           "(b, c) a string each %.1f\n",
           m->pool, m->own, m->hashes, m->strings);
}

void bench_report_results(const struct bench_result *cells, size_t n) {
    const struct bench_result *c = cells;
    printf("\n%s, %s", c->tcp ? "TCP" : "unix socket",
           c->pipelined ? "pipelined" : "one at a time");
    if (c->op->by_length) printf(", %zu blocks", bench_lengths[c->length]);
    printf("\n  %-20s %10s %9s %9s %9s %9s  %s\n", "", "units/s", "p50 us", "p99 us", "p99.9 us",
           "CPU us", "usec_per_call");
    for (size_t i = 0; i < n; i++) {
        c = &cells[i];
        printf("  %-20s %10.0f %9.1f %9.1f %9.1f %9.2f  %.2f", c->op->name, bench_result_rate(c),
               c->p50, c->p99, c->p999, bench_result_cpu(c), c->usec[0]);
        if (c->op->commands[1]) printf(" + %.2f", c->usec[1]);
        putchar('\n');
    }
    fflush(stdout);
}

static void report_durable(const struct bench_durability *d) {
    printf("\n== What keeping it costs: 512 blocks, 64 workers, unix socket, pipelined ==\n");
    printf("  %-28s %12s %9s %12s %9s %7s\n", "", "SELECT+REL/s", "CPU us", "SET+SET/s", "CPU us",
           "ratio");
    for (size_t i = 0; i < BENCH_DURABILITIES; i++)
        printf("  %-28s %12.0f %9.2f %12.0f %9.2f %7.2f\n", d->names[i],
               bench_result_rate(&d->select[i]), bench_result_cpu(&d->select[i]),
               bench_result_rate(&d->set[i]), bench_result_cpu(&d->set[i]),
               bench_rate_ratio(&d->select[i], &d->set[i]));
    printf(
        "  bytes in the replication stream: SELECT %.0f, RELEASE %.0f, SET of the payload %.0f\n",
        d->wire_select, d->wire_release, d->wire_set);
    printf(
        "  bytes in the append-only file:   SELECT %.0f, RELEASE %.0f, SET of the payload %.0f\n",
        d->file_select, d->file_release, d->file_set);
}

static void report_mixed(const struct bench_mixed *m, const char *together) {
    printf("\n== Mixed load: %zu workers, %zu routers select at %.0f a second, 512 blocks ==\n",
           m->workers, m->routers, m->due);
    printf("  %-44s %9s %9s %9s\n", "us from when it was due", "p50", "p99", "p99.9");
    printf("  %-44s %9.0f %9.0f %9.0f\n", "alone", m->alone[0], m->alone[1], m->alone[2]);
    printf("  %-44s %9.0f %9.0f %9.0f\n", together, m->together[0], m->together[1], m->together[2]);
    printf("  %zu publishers then had %.0f events/s", m->publishers, m->events);
    if (m->events_due > 0) printf(" of %.0f due", m->events_due);
    printf(", %.2f M blocks/s stored and removed; %.0f selects a second answered; server busy "
           "%.0f %%\n",
           m->published / 1e6, m->done, m->busy * 100);
}

void bench_report_experiments(const struct bench_report *r) {
    const struct bench_many_holders *c = &r->many_holders;
    printf("\n== A prompt of 512 blocks that everybody holds ==\n");
    printf("  %-44s %10s %10s %8s\n", "", "10 workers", "1,000", "ratio");
    printf("  %-44s %10.2f %10.2f %8.2f\n", "SELECT, usec_per_call", c->few, c->many,
           c->many / c->few);
    printf("  %-44s %10.2f %10.2f %8.2f\n", "SELECT + RELEASE pipelined, server CPU us",
           c->few_pair, c->many_pair, c->many_pair / c->few_pair);
    printf("  %-44s %10.1f %10.1f %8.2f\n", "SELECT one at a time, p50 us", c->few_p50, c->many_p50,
           c->many_p50 / c->few_p50);
    report_mixed(&r->mixed, "while publishers send at full speed");
    report_mixed(&r->fleet_load, "while publishers send at a fixed rate");
    report_durable(&r->durable);
}

// ---- Goals ---------------------------------------------------------------------------------------

static const struct bench_result *find(const struct bench_report *r, const struct bench_pool *s,
                                       enum bench_op_number op, size_t length, bool pipelined) {
    for (size_t i = 0; i < r->n; i++) {
        const struct bench_result *c = &r->cells[i];
        if (c->op == &bench_ops[op] && c->workers == s->workers && c->held == s->blocks &&
            !c->tcp && c->pipelined == pipelined && (!c->op->by_length || c->length == length))
            return c;
    }
    return NULL;
}

static void goal(const char *what, double value, const char *unit, double wanted, bool at_least) {
    bool ok = at_least ? value >= wanted : value <= wanted;
    printf("  %-5s %-62s %8.2f %-10s %s %g\n", ok ? "ok" : "SHORT", what, value, unit,
           at_least ? ">=" : "<=", wanted);
}

void bench_report_goals(const struct bench_report *r, const struct bench_options *o) {
    const struct bench_pool *s = &o->pools[o->main];
    char line[120];
    printf("\n== Goals: %zu workers, %zu blocks, unix socket, pipelined ==\n", s->workers,
           s->blocks);
    const struct bench_result *select = find(r, s, BENCH_OP_SELECT, BENCH_LENGTH_512, true);
    const struct bench_result *set = find(r, s, BENCH_OP_SET, BENCH_LENGTH_512, true);
    if (select && set)
        goal("SELECT + RELEASE by SET + SET, 512 blocks", bench_rate_ratio(select, set), "", 0.5,
             true);
    select = find(r, s, BENCH_OP_SELECT, 3, true);
    const struct bench_result *script = find(r, s, BENCH_OP_SCRIPT, 3, true);
    if (select && script)
        goal("SELECT + RELEASE by (c), 1,000 blocks", bench_rate_ratio(select, script), "", 5,
             true);
    goal("SELECT + RELEASE, 1,000 holders by 10, server CPU",
         r->many_holders.many_pair / r->many_holders.few_pair, "", 3, false);
    const struct bench_result *stored = find(r, s, BENCH_OP_STORED, 0, true);
    if (stored) {
        goal("EVENT, 64 new blocks each", bench_result_rate(stored) * BENCH_EVENT_BLOCKS / 1e6,
             "M blocks/s", 4, true);
        goal("the same, by the server's CPU", BENCH_EVENT_BLOCKS / bench_result_cpu(stored),
             "M blocks/s", 4, true);
    }
    goal("memory of the pool, 4 holders, runs of 32", r->memory[o->main].own, "B/block", 20, false);
    goal("the same as the server's heap counts it", r->memory[o->main].pool, "B/block", 20, false);
    snprintf(line, sizeof line, "SELECT's p99 under publishing, us (alone %.0f)",
             r->mixed.alone[1]);
    printf("  %-5s %-62s %8.0f\n", "", line, r->mixed.together[1]);
    goal("SELECT's p99, 2,000 workers, 10,000 EVENT/s, 5,000 SELECT/s",
         r->fleet_load.together[1] / 1e3, "ms", 2, false);
}
