// SPDX-License-Identifier: Apache-2.0
// Batch work beside those who chat; see bench_shares.h.
//
// Those who chat come at random, with long prompts and short answers, and would leave the engines idle for a part
// of the time. Batch work has short prompts and long answers, and always somebody who waits; ROOM keeps it off an
// engine's last places, and its priority is below. Both phases have the same chats at the same times.
#include "bench_shares.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "bench/common/bench_quantile.h"
#include "bench_drive.h"
#include "bench_fleet.h"
#include "client/common/clock.h"
#include "client/common/random.h"

enum {
    FILL_ENGINES = 2,
    FILL_ROUTERS = 2,
    FILL_BATCH = 48, // clients
    FILL_BATCH_PROMPT = 64,
    FILL_BATCH_OUTPUT = 200,
    FILL_PROMPT_MIN = 1000,
    FILL_PROMPT_MAX = 3000,
    FILL_OUTPUT = 16,
};
#define FILL_RATE 3.5 // chats a second

struct fill_phase {
    struct bench_fleet *fleet;
    int64_t begin, end;
    double *first; // ms to the first token, by chat; negative: it failed
    size_t n, done, failed, batch;
    double use;
    bool filled;
};

struct fill_client {
    struct fill_phase *phase;
    size_t number;
    int64_t due;
};

static void chat_told(struct bench_drive *d, void *ctx, const struct bench_told *t) {
    struct fill_client *c = ctx;
    (void)d;
    c->phase->done++;
    c->phase->failed += !t->whole;
    c->phase->first[c->number] = t->whole ? (double)(t->first - c->due) / 1e6 : 0;
}

static void ask_batch(struct bench_drive *d, struct fill_client *c);

static void batch_told(struct bench_drive *d, void *ctx, const struct bench_told *t) {
    struct fill_client *c = ctx;
    c->phase->batch += t->whole;
    c->phase->failed += !t->whole;
    if (t->end < c->phase->end) ask_batch(d, c);
}

static void ask_batch(struct bench_drive *d, struct fill_client *c) {
    struct bench_ask a = {
        .port = c->phase->fleet->ports[c->number % FILL_ROUTERS], .told = batch_told, .ctx = c};
    a.text = bench_drive_completion(FILL_BATCH_PROMPT, FILL_BATCH_OUTPUT,
                                    "X-Kvroute-Class: batch\r\n", &a.n);
    bench_drive_add(d, &a);
}

static void ask_chats(struct bench_drive *d, struct fill_phase *p, struct fill_client *clients,
                      uint64_t seed) {
    double at = (double)p->begin;
    for (size_t i = 0; i < p->n; i++) {
        double draw = (double)(kvr_random(&seed) >> 11) * 0x1p-53;
        size_t tokens =
            FILL_PROMPT_MIN + kvr_random(&seed) % (FILL_PROMPT_MAX - FILL_PROMPT_MIN + 1);
        at += -log(1 - draw) / FILL_RATE * 1e9;
        clients[i] = (struct fill_client){p, i, (int64_t)at};
        struct bench_ask a = {.at = (int64_t)at,
                              .port = p->fleet->ports[i % FILL_ROUTERS],
                              .told = chat_told,
                              .ctx = &clients[i]};
        a.text = bench_drive_completion(tokens, FILL_OUTPUT, "", &a.n);
        bench_drive_add(d, &a);
    }
    p->end = (int64_t)at;
}

static void play(struct fill_phase *p, uint64_t seed) {
    enum { LEAD_S = 8 }; // until batch work is in its stride
    struct bench_drive *d = bench_drive_new();
    struct fill_client *chats = bench_calloc(p->n, sizeof *chats);
    struct fill_client *batch = bench_calloc(FILL_BATCH, sizeof *batch);
    p->first = bench_calloc(p->n, sizeof *p->first);
    p->begin = kvr_clock_ns(CLOCK_MONOTONIC) + LEAD_S * INT64_C(1000000000);
    p->end = INT64_MAX;
    for (size_t i = 0; p->filled && i < FILL_BATCH; i++) {
        batch[i] = (struct fill_client){p, i, 0};
        ask_batch(d, &batch[i]);
    }
    bench_drive_run(d, p->begin);
    double before = bench_fleet_step_seconds(p->fleet), began = kvr_clock_ns(CLOCK_MONOTONIC);
    ask_chats(d, p, chats, seed);
    bench_drive_run(d, p->end);
    double took = ((double)kvr_clock_ns(CLOCK_MONOTONIC) - began) / 1e9;
    p->use = (bench_fleet_step_seconds(p->fleet) - before) / took / FILL_ENGINES;
    bench_drive_run(d, INT64_MAX);
    bench_drive_free(d);
    free(chats);
    free(batch);
}

static double report(const struct fill_phase *p) {
    double *sorted = bench_sorted(p->first, p->n), p99 = bench_quantile(sorted, p->n, 0.99);
    printf("%-28s %8.1f %% %9.0f %9.0f %9.0f %9zu\n",
           p->filled ? "batch work fills the rest" : "chats alone", p->use * 100,
           bench_quantile(sorted, p->n, 0.5), bench_quantile(sorted, p->n, 0.95), p99, p->batch);
    if (p->failed) printf("  %zu failed\n", p->failed);
    fflush(stdout);
    free(sorted);
    return p99;
}

void bench_shares_fill(const struct bench_shares_options *o) {
    static const char *const setup[] = {"KVROUTE.CLASS SET fleet batch PRIORITY -10 ROOM 50", NULL};
    const struct bench_fleet_plan plan = {
        .engines = FILL_ENGINES,
        .routers = FILL_ROUTERS,
        .engine = "--max-running=64 --blocks=65536",
        .pool = "BLOCKSIZE 16 MAXREQUESTS 32",
        .settings = "wait = 600000\n",
        .setup = setup,
    };
    struct bench_fleet fleet;
    double p99[2];
    bench_fleet_start(&fleet, &plan);
    printf("\n== Chats and batch work: %d engines of 32 requests; %.1f chats a second ==\n",
           FILL_ENGINES, FILL_RATE);
    printf("%-28s %10s %9s %9s %9s %9s\n", "", "in use", "TTFT p50", "p95", "p99 ms", "batch");
    for (int filled = 0; filled < 2; filled++) {
        struct fill_phase p = {.fleet = &fleet, .n = o->quick ? 100 : 600, .filled = filled};
        play(&p, o->seed);
        p99[filled] = report(&p);
        free(p.first);
    }
    printf("p99 by p99: %.2f%s\n", p99[1] / p99[0], p99[1] <= 1.1 * p99[0] ? "" : "  SHORT");
    bench_fleet_end(&fleet);
}
