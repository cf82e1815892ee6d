// SPDX-License-Identifier: Apache-2.0
// The processes; see bench_fleet.h.
#include "bench_fleet.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/support_home.h"
#include "tests/support/support_http.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { FLEET_PATIENCE_MS = 60000, FLEET_ANSWER_MS = 5000 };
static const char pool[] = "fleet";

static void command(struct bench_fleet *f, const char *words) {
    redisReply *r = support_redis_words(&f->redis, words);
    if (!r) support_fail("refused: %s", words);
    freeReplyObject(r);
}

static void start_pool(struct bench_fleet *f) {
    char words[400];
    if (!support_redis_start(&f->redis)) exit(1);
    snprintf(words, sizeof words, "KVROUTE.CREATE %s %s", pool, f->plan.pool);
    command(f, words);
    for (const char *const *at = f->plan.setup; at && *at; at++)
        command(f, *at);
}

static void start_engines(struct bench_fleet *f) {
    for (size_t i = 0; i < f->plan.engines; i++) {
        struct bench_engine *e = &f->engines[i];
        *e = (struct bench_engine){.ranks = 1};
        snprintf(e->options, sizeof e->options, "--model=mock --no-events %s", f->plan.engine);
        if (!bench_engine_start(e, support_setting("KVROUTE_MOCK_ENGINE", KVROUTE_MOCK_ENGINE)))
            exit(1);
    }
}

static void start_router(struct bench_fleet *f, size_t i) {
    char path[256], log[256];
    support_path(path, sizeof path, "router-%zu.conf", i);
    support_path(log, sizeof log, "router-%zu.log", i);
    f->ports[i] = support_port();
    FILE *out = fopen(path, "w");
    if (!out) support_fail("can't write %s", path);
    fprintf(out, "[router]\nredis = redis://127.0.0.1:%d\nlisten = 127.0.0.1:%d\n%s[pool %s]\n",
            f->redis.port, f->ports[i], f->plan.settings, pool);
    for (size_t k = 0; k < f->plan.engines; k++)
        fprintf(out, "[engine http://127.0.0.1:%d]\npool = %s\n", f->engines[k].http, pool);
    if (fclose(out)) support_fail("can't write %s", path);
    const char *argv[] = {support_setting("KVROUTE_ROUTER", KVROUTE_ROUTER), "--config", path,
                          NULL};
    f->routers[i] = support_start(argv, log);
}

// A router is ready with its first worker; all of them count.
static bool is_ready(const struct bench_fleet *f, int port) {
    char workers[40];
    snprintf(workers, sizeof workers, "\"workers\":%zu", f->plan.engines);
    struct support_response r = support_http(port, "GET", "/readyz", NULL, NULL, FLEET_ANSWER_MS);
    bool ready = r.status == 200 && strstr(r.body, workers);
    support_response_free(&r);
    if (!ready) return false;
    r = support_http(port, "GET", "/v1/models", NULL, NULL, FLEET_ANSWER_MS);
    ready = r.status == 200 && strstr(r.body, "\"mock\"");
    support_response_free(&r);
    return ready;
}

static bool are_ready(void *ctx) {
    struct bench_fleet *f = ctx;
    for (size_t i = 0; i < f->plan.routers; i++)
        if (!is_ready(f, f->ports[i])) return false;
    return true;
}

void bench_fleet_start(struct bench_fleet *f, const struct bench_fleet_plan *plan) {
    *f = (struct bench_fleet){.plan = *plan};
    start_pool(f);
    start_engines(f);
    for (size_t i = 0; i < plan->routers; i++)
        start_router(f, i);
    if (!support_wait(are_ready, f, FLEET_PATIENCE_MS)) support_fail("the routers don't get ready");
}

void bench_fleet_end(struct bench_fleet *f) {
    for (size_t i = 0; i < f->plan.routers; i++)
        support_end(&f->routers[i], SIGKILL);
    for (size_t i = 0; i < f->plan.engines; i++)
        support_end(&f->engines[i].pid, SIGKILL);
    support_redis_end(&f->redis, SIGKILL);
    support_redis_forget(&f->redis, false);
}

double bench_fleet_step_seconds(struct bench_fleet *f) {
    static const char name[] = "\nmock:step_seconds_total{";
    double sum = 0;
    for (size_t i = 0; i < f->plan.engines; i++) {
        struct support_response r =
            support_http(f->engines[i].http, "GET", "/metrics", NULL, NULL, FLEET_ANSWER_MS);
        const char *at = r.status == 200 ? strstr(r.body, name) : NULL;
        at = at ? strchr(at, '}') : NULL;
        if (!at) support_fail("an engine doesn't say what it has done");
        sum += strtod(at + 1, NULL);
        support_response_free(&r);
    }
    return sum;
}
