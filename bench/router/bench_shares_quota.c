// SPDX-License-Identifier: Apache-2.0
// A quota over many routers; see bench_shares.h.
//
// A tenant may use so many tokens a second, and asks for more than twice of it: with requests that may wait, and
// with such that may not and come back when they are told to. What it gets is counted as the quota counts it. The
// overshoot is the most that it got in any span of time beyond what the quota allows for in that span: its rate, and
// one burst. Answers are counted when they begin, some ms after the admission, so a request or two of it are noise.
#include "bench_shares.h"

#include <stdio.h>
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "bench_drive.h"
#include "bench_fleet.h"
#include "client/common/clock.h"

enum {
    QUOTA_RATE = 100000,
    QUOTA_TOKENS = 2000, // of a request
    QUOTA_ROUTERS = 8,
    QUOTA_CLIENTS = 128,
};

struct quota_run {
    struct bench_fleet fleet;
    int64_t begin, end;
    int64_t *admitted; // when each answer began
    size_t n, room, refused, failed;
};

struct quota_client {
    struct quota_run *run;
    int port;
};

static void ask(struct bench_drive *d, struct quota_client *c, int64_t at);

static void told(struct bench_drive *d, void *ctx, const struct bench_told *t) {
    struct quota_client *c = ctx;
    struct quota_run *r = c->run;
    int64_t again = t->end;
    if (t->whole) {
        r->admitted = bench_grow(r->admitted, &r->room, r->n + 1, sizeof *r->admitted);
        r->admitted[r->n++] = t->first;
    } else if (t->status == 429) {
        r->refused++;
        again += t->retry_after * INT64_C(1000000000);
    } else {
        r->failed++;
    }
    if (again < r->end) ask(d, c, again);
}

static void ask(struct bench_drive *d, struct quota_client *c, int64_t at) {
    struct bench_ask a = {.at = at, .port = c->port, .told = told, .ctx = c};
    a.text = bench_drive_completion(QUOTA_TOKENS, 1, "X-Tenant: acme\r\n", &a.n);
    bench_drive_add(d, &a);
}

static int in_time(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// The most tokens in a span beyond rate · span + burst: the largest rise of what came less what might have come.
static double overshoot(const struct quota_run *r) {
    double least = 0, most = 0;
    for (size_t i = 0; i < r->n; i++) {
        double may = (double)(r->admitted[i] - r->begin) / 1e9 * QUOTA_RATE;
        double before = (double)i * QUOTA_TOKENS - may, after = before + QUOTA_TOKENS;
        if (i == 0 || before < least) least = before;
        if (after - least > most) most = after - least;
    }
    return most > QUOTA_RATE ? most - QUOTA_RATE : 0;
}

static void run(const char *name, const char *settings, double seconds) {
    static const char *const setup[] = {"KVROUTE.FLOW SET fleet acme RATE 100000", NULL};
    const struct bench_fleet_plan plan = {
        .engines = 2,
        .routers = QUOTA_ROUTERS,
        .engine = "--max-running=1000 --blocks=262144 --max-batch-tokens=1000000 "
                  "--prefill-speed=10000000 --decode-speed=1000",
        .pool = "BLOCKSIZE 16",
        .settings = settings,
        .setup = setup,
    };
    static struct quota_client clients[QUOTA_CLIENTS];
    static struct quota_run r;
    r = (struct quota_run){0};
    bench_fleet_start(&r.fleet, &plan);
    struct bench_drive *d = bench_drive_new();
    r.begin = kvr_clock_ns(CLOCK_MONOTONIC);
    r.end = r.begin + (int64_t)(seconds * 1e9);
    for (size_t i = 0; i < QUOTA_CLIENTS; i++) {
        clients[i] = (struct quota_client){.run = &r, .port = r.fleet.ports[i % QUOTA_ROUTERS]};
        ask(d, &clients[i], 0);
    }
    // Whoever waits at the end is left alone: he isn't a part of it.
    bench_drive_run(d, r.end);
    bench_drive_free(d);
    bench_fleet_end(&r.fleet);
    qsort(r.admitted, r.n, sizeof *r.admitted, in_time);
    double tokens = (double)r.n * QUOTA_TOKENS, burst = QUOTA_RATE;
    double use = (tokens - burst) / (seconds * QUOTA_RATE), over = overshoot(&r);
    printf("%-28s %9.0f %10.1f %% %13.2f %10zu%s%s\n", name, tokens / seconds, use * 100,
           over / burst, r.refused, use >= 0.98 ? "" : "  SHORT of use",
           over <= burst ? "" : "  too MUCH");
    if (r.failed) printf("  %zu failed\n", r.failed);
    fflush(stdout);
    free(r.admitted);
}

void bench_shares_quota(const struct bench_shares_options *o) {
    double seconds = o->quick ? 10 : 30;
    printf(
        "\n== A quota of 100,000 tokens a second over %d routers; requests of 2,000, %d clients, "
        "%.0f s ==\n",
        QUOTA_ROUTERS, QUOTA_CLIENTS, seconds);
    printf("%-28s %9s %12s %13s %10s\n%-28s %9s %12s %13s\n", "", "tokens/s", "use without",
           "overshoot,", "refused", "", "", "first burst", "in bursts");
    run("requests that wait", "wait = 600000\nflow_header = X-Tenant\n", seconds);
    run("refused ones come back", "flow_header = X-Tenant\n", seconds);
}
