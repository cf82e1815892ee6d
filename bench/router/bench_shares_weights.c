// SPDX-License-Identifier: Apache-2.0
// Weights of 4:1; see bench_shares.h.
//
// Both sides have clients who send their next request as soon as the last one is answered, more of them than the
// engines have room for: so both always wait, and what each gets is up to the queue alone. What counts is
// prompt tokens of the requests whose answer began in a window, which begins when all are under way.
#include "bench_shares.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench_drive.h"
#include "bench_fleet.h"
#include "client/common/clock.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"

enum {
    WEIGHTS_SIDES = 2,
    WEIGHTS_CLIENTS = 48, // of each side
    WEIGHTS_OUTPUT = 8,
    WEIGHTS_MIN = 64, // tokens of a prompt
    WEIGHTS_MAX = 255,
    WEIGHTS_HEAVY = 4,
};

enum ingress { INGRESS_EVEN, INGRESS_TEN, INGRESS_APART, INGRESSES };
static const char *const ingress_names[INGRESSES] = {
    "all routers alike", "10 : 1, each side at another", "one has all of the lighter side"};

struct weights_run {
    struct bench_fleet fleet;
    enum ingress ingress;
    bool flows;
    int64_t from, to; // the window
    uint64_t tokens[WEIGHTS_SIDES], requests[WEIGHTS_SIDES], failed, state;
    int status; // of the first that failed
};

struct weights_client {
    struct weights_run *run;
    int side, port;
    size_t tokens;
};

// Which router a client has.
static size_t router_of(const struct weights_run *r, int side, size_t client) {
    size_t n = r->fleet.plan.routers, own = side ? n - 1 : 0;
    if (r->ingress == INGRESS_EVEN || n == 1) return client % n;
    if (r->ingress == INGRESS_APART) return side ? own : client % (n - 1);
    return client % 11 ? own : client / 11 % n;
}

static void ask(struct bench_drive *d, struct weights_client *c);

static void told(struct bench_drive *d, void *ctx, const struct bench_told *t) {
    struct weights_client *c = ctx;
    struct weights_run *r = c->run;
    if (!t->whole && !r->failed++) r->status = t->status;
    if (t->whole && t->first >= r->from && t->first < r->to) {
        r->tokens[c->side] += c->tokens;
        r->requests[c->side]++;
    }
    if (t->end < r->to) ask(d, c);
}

static void ask(struct bench_drive *d, struct weights_client *c) {
    struct weights_run *r = c->run;
    char headers[80];
    snprintf(headers, sizeof headers, "%s: %s\r\n", r->flows ? "X-Tenant" : "X-Kvroute-Class",
             c->side ? "light" : "heavy");
    c->tokens = WEIGHTS_MIN + kvr_random(&r->state) % (WEIGHTS_MAX - WEIGHTS_MIN + 1);
    struct bench_ask a = {.port = c->port, .told = told, .ctx = c};
    a.text = bench_drive_completion(c->tokens, WEIGHTS_OUTPUT, headers, &a.n);
    bench_drive_add(d, &a);
}

static void play(struct weights_run *r, double seconds) {
    enum { WARM_UP_S = 2 };
    static struct weights_client clients[WEIGHTS_SIDES * WEIGHTS_CLIENTS];
    struct bench_drive *d = bench_drive_new();
    r->from = kvr_clock_ns(CLOCK_MONOTONIC) + WARM_UP_S * INT64_C(1000000000);
    r->to = r->from + (int64_t)(seconds * 1e9);
    for (size_t i = 0; i < WEIGHTS_SIDES * WEIGHTS_CLIENTS; i++) {
        int side = (int)(i % WEIGHTS_SIDES);
        size_t router = router_of(r, side, i / WEIGHTS_SIDES);
        clients[i] =
            (struct weights_client){.run = r, .side = side, .port = r->fleet.ports[router]};
        ask(d, &clients[i]);
    }
    bench_drive_run(d, INT64_MAX);
    bench_drive_free(d);
}

static void report(const struct weights_run *r) {
    double heavy = (double)r->tokens[0], light = (double)r->tokens[1], all = heavy + light;
    double off = (light / all * (WEIGHTS_HEAVY + 1) - 1) * 100;
    printf("%-8s %7zu  %-34s %8llu %8llu %9.2f : 1 %7.1f %% %8.1f %%%s\n",
           r->flows ? "tenants" : "classes", r->fleet.plan.routers, ingress_names[r->ingress],
           (unsigned long long)r->requests[0], (unsigned long long)r->requests[1], heavy / light,
           light / all * 100, off, fabs(off) <= 2 ? "" : "  SHORT");
    if (r->failed)
        printf("  %llu failed, the first with status %d\n", (unsigned long long)r->failed,
               r->status);
    fflush(stdout);
}

void bench_shares_weights(const struct bench_shares_options *o) {
    static const char *const setup[] = {
        "KVROUTE.CLASS SET fleet heavy WEIGHT 4", "KVROUTE.CLASS SET fleet light WEIGHT 1",
        "KVROUTE.FLOW SET fleet heavy WEIGHT 4", "KVROUTE.FLOW SET fleet light WEIGHT 1", NULL};
    static const size_t routers[] = {1, 4, 16};
    struct bench_fleet_plan plan = {
        .engines = 4,
        .engine = "--max-running=64 --blocks=65536 --prefill-speed=20000",
        .pool = "BLOCKSIZE 16 MAXREQUESTS 8",
        .settings = "wait = 600000\nflow_header = X-Tenant\n",
        .setup = setup,
    };
    printf("\n== Weights of 4 : 1; 4 engines, 8 requests each, %d clients a side ==\n",
           WEIGHTS_CLIENTS);
    printf("%-8s %7s  %-34s %8s %8s %13s %9s %10s\n", "", "routers", "ingress", "heavy", "light",
           "tokens", "light has", "of 20 %");
    for (size_t k = 0; k < sizeof routers / sizeof *routers; k++) {
        plan.routers = routers[k];
        for (int ingress = 0; ingress < (routers[k] == 1 ? 1 : INGRESSES); ingress++)
            for (int flows = 0; flows < 2; flows++) {
                struct weights_run r = {
                    .ingress = (enum ingress)ingress, .flows = flows, .state = o->seed};
                bench_fleet_start(&r.fleet, &plan);
                play(&r, o->quick ? 5 : 15);
                bench_fleet_end(&r.fleet);
                report(&r);
            }
    }
}
