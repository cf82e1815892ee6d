// SPDX-License-Identifier: Apache-2.0
// The same figures for programs, as JSON, and a chart; see bench_commands_report.h.
#define _GNU_SOURCE // program_invocation_short_name
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "bench/common/chart.h"
#include "bench_commands_report.h"

static void put(json_t *o, const char *name, double v) {
    json_object_set_new(o, name, json_real(v));
}

static json_t *of_cell(const struct bench_result *c) {
    json_t *o = json_object(), *rounds = json_array();
    json_object_set_new(o, "way", json_string(c->op->id));
    json_object_set_new(o, "workers", json_integer((json_int_t)c->workers));
    json_object_set_new(o, "held", json_integer((json_int_t)c->held));
    json_object_set_new(o, "transport", json_string(c->tcp ? "tcp" : "unix"));
    json_object_set_new(o, "pipelined", json_boolean(c->pipelined));
    if (c->op->by_length)
        json_object_set_new(o, "blocks", json_integer((json_int_t)bench_lengths[c->length]));
    put(o, "rate", bench_result_rate(c));
    put(o, "p50_us", c->p50);
    put(o, "p99_us", c->p99);
    put(o, "p999_us", c->p999);
    put(o, "server_cpu_us", bench_result_cpu(c));
    for (size_t i = 0; i < 2 && c->op->commands[i]; i++) {
        char name[64];
        snprintf(name, sizeof name, "usec_per_call %s", c->op->commands[i]);
        put(o, name, c->usec[i]);
    }
    for (size_t i = 0; i < c->rounds; i++)
        json_array_append_new(rounds, json_real(c->rate[i]));
    json_object_set_new(o, "rates", rounds);
    return o;
}

static json_t *of_memory(const struct bench_footprint *m) {
    json_t *o = json_object();
    put(o, "workers", (double)m->workers);
    put(o, "blocks", (double)m->blocks);
    put(o, "pool", m->pool);
    put(o, "pool_own_count", m->own);
    put(o, "hashes", m->hashes);
    put(o, "strings", m->strings);
    return o;
}

static json_t *of_durable(const struct bench_durability *d) {
    json_t *o = json_object(), *kept = json_array();
    for (size_t i = 0; i < BENCH_DURABILITIES; i++) {
        json_t *k = json_object();
        json_object_set_new(k, "kept", json_string(d->names[i]));
        put(k, "select_rate", bench_result_rate(&d->select[i]));
        put(k, "select_cpu_us", bench_result_cpu(&d->select[i]));
        put(k, "set_rate", bench_result_rate(&d->set[i]));
        put(k, "set_cpu_us", bench_result_cpu(&d->set[i]));
        put(k, "ratio", bench_rate_ratio(&d->select[i], &d->set[i]));
        json_array_append_new(kept, k);
    }
    json_object_set_new(o, "kept", kept);
    put(o, "stream_bytes_select", d->wire_select);
    put(o, "stream_bytes_release", d->wire_release);
    put(o, "stream_bytes_set", d->wire_set);
    put(o, "file_bytes_select", d->file_select);
    put(o, "file_bytes_release", d->file_release);
    put(o, "file_bytes_set", d->file_set);
    return o;
}

static json_t *of_experiments(const struct bench_report *r) {
    static const char *const quantiles[] = {"p50", "p99", "p999"};
    json_t *o = json_object(), *crowd = json_object(), *mixed = json_object();
    put(crowd, "usec_per_call_10", r->many_holders.few);
    put(crowd, "usec_per_call_1000", r->many_holders.many);
    put(crowd, "pair_cpu_us_10", r->many_holders.few_pair);
    put(crowd, "pair_cpu_us_1000", r->many_holders.many_pair);
    put(crowd, "p50_us_10", r->many_holders.few_p50);
    put(crowd, "p50_us_1000", r->many_holders.many_p50);
    put(mixed, "selects_due", r->mixed.due);
    put(mixed, "selects_answered", r->mixed.done);
    put(mixed, "published_blocks", r->mixed.published);
    for (size_t i = 0; i < 3; i++) {
        char name[32];
        snprintf(name, sizeof name, "alone_%s_us", quantiles[i]);
        put(mixed, name, r->mixed.alone[i]);
        snprintf(name, sizeof name, "publishing_%s_us", quantiles[i]);
        put(mixed, name, r->mixed.together[i]);
    }
    json_object_set_new(o, "crowd", crowd);
    json_object_set_new(o, "mixed", mixed);
    json_object_set_new(o, "durable", of_durable(&r->durable));
    return o;
}

// Choices a second by each operation, against the length of the request.
static bool draw(const struct bench_report *r, const struct bench_options *o, const char *path) {
    static const int drawn[] = {BENCH_OP_SET, BENCH_OP_SELECT, BENCH_OP_HASHES, BENCH_OP_STRINGS,
                                BENCH_OP_SCRIPT};
    enum { LINES = sizeof drawn / sizeof *drawn };
    static const char *const names[LINES] = {"SET + SET", "SELECT + RELEASE",
                                             "(a) HKEYS, client scores", "(b) MGET, client scores",
                                             "(c) script on the server"};
    const struct bench_pool *s = &o->pools[o->main];
    double x[LINES][BENCH_LENGTHS], y[LINES][BENCH_LENGTHS];
    struct bench_chart_line lines[LINES];
    for (size_t i = 0; i < LINES; i++) {
        lines[i] = (struct bench_chart_line){names[i], x[i], y[i], 0, drawn[i] == BENCH_OP_SET};
        for (size_t k = 0; k < r->n; k++) {
            const struct bench_result *c = &r->cells[k];
            if (c->op != &bench_ops[drawn[i]] || c->tcp || !c->pipelined || c->held != s->blocks ||
                c->workers != s->workers)
                continue;
            x[i][lines[i].n] = (double)bench_lengths[c->length];
            y[i][lines[i].n++] = bench_result_rate(c);
        }
    }
    char note[120];
    snprintf(note, sizeof note,
             "%zu workers, %zu blocks held, 4 holders each; unix socket, pipelined", s->workers,
             s->blocks);
    struct bench_chart chart = {.title = note,
                                .x_label = "blocks of the request",
                                .y_label = "a second",
                                .log_x = true,
                                .log_y = true,
                                .lines = lines,
                                .n_lines = LINES};
    return bench_chart_write(path, "Choices a second, one server core", &chart, 1);
}

bool bench_report_files(const struct bench_report *r, const struct bench_options *o) {
    char path[4096];
    mkdir(o->out, 0777); // if it can't be made, writing says so
    json_t *all = of_experiments(r), *cells = json_array(), *memory = json_array();
    for (size_t i = 0; i < r->n; i++)
        json_array_append_new(cells, of_cell(&r->cells[i]));
    for (size_t i = 0; i < o->n_pools; i++)
        json_array_append_new(memory, of_memory(&r->memory[i]));
    json_object_set_new(all, "memory_bytes_per_block", memory);
    json_object_set_new(all, "cells", cells);
    snprintf(path, sizeof path, "%s/commands.json", o->out);
    bool ok = !json_dump_file(all, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    if (!ok)
        fprintf(stderr, "%s: can't write %s: %s\n", program_invocation_short_name, path,
                strerror(errno));
    json_decref(all);
    snprintf(path, sizeof path, "%s/commands", o->out);
    return draw(r, o, path) && ok;
}
