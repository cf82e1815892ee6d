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
    json_t *rounds = json_array();
    json_t *o = json_pack("{s:s, s:I, s:I, s:s, s:b}", "way", c->op->id, "workers",
                          (json_int_t)c->workers, "held", (json_int_t)c->held, "transport",
                          c->tcp ? "tcp" : "unix", "pipelined", (int)c->pipelined);
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
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "workers", (double)m->workers, "blocks",
                     (double)m->blocks, "pool", m->pool, "pool_own_count", m->own, "hashes",
                     m->hashes, "strings", m->strings);
}

static json_t *of_durable(const struct bench_durability *d) {
    json_t *kept = json_array();
    for (size_t i = 0; i < BENCH_DURABILITIES; i++)
        json_array_append_new(kept, json_pack("{s:s, s:f, s:f, s:f, s:f, s:f}", "kept", d->names[i],
                                              "select_rate", bench_result_rate(&d->select[i]),
                                              "select_cpu_us", bench_result_cpu(&d->select[i]),
                                              "set_rate", bench_result_rate(&d->set[i]),
                                              "set_cpu_us", bench_result_cpu(&d->set[i]), "ratio",
                                              bench_rate_ratio(&d->select[i], &d->set[i])));
    return json_pack("{s:o, s:f, s:f, s:f, s:f, s:f, s:f}", "kept", kept, "stream_bytes_select",
                     d->wire_select, "stream_bytes_release", d->wire_release, "stream_bytes_set",
                     d->wire_set, "file_bytes_select", d->file_select, "file_bytes_release",
                     d->file_release, "file_bytes_set", d->file_set);
}

static json_t *of_many_holders(const struct bench_many_holders *c) {
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f}", "usec_per_call_10", c->few,
                     "usec_per_call_1000", c->many, "pair_cpu_us_10", c->few_pair,
                     "pair_cpu_us_1000", c->many_pair, "p50_us_10", c->few_p50, "p50_us_1000",
                     c->many_p50);
}

static json_t *of_mixed(const struct bench_mixed *m) {
    return json_pack("{s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "selects_due",
                     m->due, "selects_answered", m->done, "events", m->events, "server_busy",
                     m->busy, "published_blocks", m->published, "alone_p50_us", m->alone[0],
                     "publishing_p50_us", m->together[0], "alone_p99_us", m->alone[1],
                     "publishing_p99_us", m->together[1], "alone_p999_us", m->alone[2],
                     "publishing_p999_us", m->together[2]);
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
    json_t *cells = json_array(), *memory = json_array();
    for (size_t i = 0; i < r->n; i++)
        json_array_append_new(cells, of_cell(&r->cells[i]));
    for (size_t i = 0; i < o->n_pools; i++)
        json_array_append_new(memory, of_memory(&r->memory[i]));
    json_t *all =
        json_pack("{s:o, s:o, s:o, s:o, s:o, s:o}", "crowd", of_many_holders(&r->many_holders),
                  "mixed", of_mixed(&r->mixed), "fleet_load", of_mixed(&r->fleet_load), "durable",
                  of_durable(&r->durable), "memory_bytes_per_block", memory, "cells", cells);
    snprintf(path, sizeof path, "%s/commands.json", o->out);
    bool ok = !json_dump_file(all, path, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
    if (!ok)
        fprintf(stderr, "%s: can't write %s: %s\n", program_invocation_short_name, path,
                strerror(errno));
    json_decref(all);
    snprintf(path, sizeof path, "%s/commands", o->out);
    return draw(r, o, path) && ok;
}
