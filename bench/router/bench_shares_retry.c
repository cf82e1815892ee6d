// SPDX-License-Identifier: Apache-2.0
// Coming back when told to; see bench_shares.h.
//
// Bursts of clients, each at the same moment and of twice as many as there is room for, at a mean load below what there
// is: at equal distances, as timers make them, or at random ones, so that some come while those before are still
// there. Nobody may wait, so who finds no room is refused, and comes back when Retry-After says. It is in whole
// seconds, rounded up, as HTTP has it.
#include "bench_shares.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/common/bench_memory.h"
#include "bench_drive.h"
#include "bench_fleet.h"
#include "client/common/clock.h"
#include "client/common/random.h"

enum {
    RETRY_ENGINES = 4,
    RETRY_EACH = 8,        // requests of an engine
    RETRY_OUTPUT_MIN = 20, // tokens, 20 ms each
    RETRY_OUTPUT_MAX = 130,
    RETRY_PLACES = RETRY_ENGINES * RETRY_EACH,
    RETRY_BURST = 2 * RETRY_PLACES, // clients
    RETRY_MAX_TRIES = 8,
};

struct retry_run {
    struct bench_fleet fleet;
    size_t admitted[RETRY_MAX_TRIES + 1]; // by the number of the try; the last: later
    size_t first_refused, failed;
    double busy; // seconds of all answers
    double span; // seconds in which they came
};

struct retry_client {
    struct retry_run *run;
    int port, tries;
    size_t output;
};

static struct retry_client make_client(struct retry_run *r, size_t number) {
    static uint64_t state = 3;
    size_t output =
        RETRY_OUTPUT_MIN + kvr_random(&state) % (RETRY_OUTPUT_MAX - RETRY_OUTPUT_MIN + 1);
    return (struct retry_client){r, r->fleet.ports[number % r->fleet.plan.routers], 0, output};
}

static void ask(struct bench_drive *d, struct retry_client *c, int64_t at);

static void told(struct bench_drive *d, void *ctx, const struct bench_told *t) {
    struct retry_client *c = ctx;
    struct retry_run *r = c->run;
    c->tries++;
    if (t->whole) {
        r->busy += (double)(t->end - t->sent) / 1e9;
        r->admitted[c->tries < RETRY_MAX_TRIES ? c->tries : RETRY_MAX_TRIES]++;
    } else if (t->status == 503 && t->retry_after > 0) {
        r->first_refused += c->tries == 1;
        ask(d, c, t->end + t->retry_after * INT64_C(1000000000));
    } else {
        r->failed++;
    }
}

static void ask(struct bench_drive *d, struct retry_client *c, int64_t at) {
    struct bench_ask a = {.at = at, .port = c->port, .told = told, .ctx = c};
    a.text = bench_drive_completion(64, c->output, "", &a.n);
    bench_drive_add(d, &a);
}

// Seconds that one request keeps its place, the way through the router included.
static double service_time(struct retry_run *r) {
    enum { CALIBRATION_ROUNDS = 3 };
    struct bench_drive *d = bench_drive_new();
    struct retry_client all[RETRY_PLACES];
    for (int k = 0; k < CALIBRATION_ROUNDS; k++) {
        for (size_t i = 0; i < RETRY_PLACES; i++) {
            all[i] = make_client(r, i);
            ask(d, &all[i], 0);
        }
        bench_drive_run(d, INT64_MAX);
    }
    bench_drive_free(d);
    return r->busy / (CALIBRATION_ROUNDS * RETRY_PLACES);
}

static void play(struct retry_run *r, double load, bool regular, size_t n, uint64_t seed) {
    struct bench_drive *d = bench_drive_new();
    struct retry_client *all = bench_calloc(n, sizeof *all);
    double distance = RETRY_BURST / (load * RETRY_PLACES / service_time(r)) * 1e9;
    *r = (struct retry_run){.fleet = r->fleet};
    double begin = (double)kvr_clock_ns(CLOCK_MONOTONIC), at = begin;
    for (size_t i = 0; i < n;) {
        for (size_t burst = RETRY_BURST; burst && i < n; burst--, i++) {
            all[i] = make_client(r, i);
            ask(d, &all[i], (int64_t)at);
        }
        double draw = (double)(kvr_random(&seed) >> 11) * 0x1p-53;
        at += regular ? distance : -log(1 - draw) * distance;
    }
    r->span = (at - begin) / 1e9;
    bench_drive_run(d, INT64_MAX);
    bench_drive_free(d);
    free(all);
}

static void report(const struct retry_run *r, const char *name) {
    double back = r->first_refused ? (double)r->admitted[2] / (double)r->first_refused * 100 : 100;
    printf("%-20s %6.2f %9zu %9zu %12.1f %%%s  ", name, r->busy / r->span / RETRY_PLACES,
           r->admitted[1], r->first_refused, back, back >= 90 ? "      " : " SHORT");
    for (int i = 1; i <= RETRY_MAX_TRIES; i++)
        printf(" %zu", r->admitted[i]);
    putchar('\n');
    if (r->failed) printf("  %zu failed\n", r->failed);
    fflush(stdout);
}

void bench_shares_retry(const struct bench_shares_options *o) {
    size_t n = o->quick ? 300 : 1000;
    const struct bench_fleet_plan plan = {
        .engines = RETRY_ENGINES,
        .routers = 4,
        .engine = "--max-running=64 --blocks=65536",
        .pool = "BLOCKSIZE 16 MAXREQUESTS 8",
        .settings = "",
    };
    printf(
        "\n== Retry-After: %zu clients in bursts of %d at a load of 0.9, %d places, 4 routers ==\n",
        n, RETRY_BURST, RETRY_PLACES);
    printf("%-20s %6s %9s %9s %14s %7s %s\n", "bursts", "load", "at once", "told", "let in then",
           "", "let in at try 1, 2, ...");
    for (int regular = 1; regular >= 0; regular--) {
        static struct retry_run r;
        r = (struct retry_run){0};
        bench_fleet_start(&r.fleet, &plan);
        play(&r, 0.9, regular, n, o->seed);
        bench_fleet_end(&r.fleet);
        report(&r, regular ? "at equal distances" : "at random");
    }
}
