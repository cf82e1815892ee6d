// SPDX-License-Identifier: Apache-2.0
// The processes that a load is sent to; see processes.h.
#include "processes.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_engines.h"
#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_http.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"
#include "tests/support/support_redis.h"

enum { CALIB_PATIENCE_MS = 60000, CALIB_CALL_MS = 5000, CALIB_TRY_MS = 2000 };
#define CALIB_POOL "calibrate"

static bool fail(const char *what) {
    fprintf(stderr, "kvroute-bench-calibrate: %s\n", what);
    return false;
}

// ---- Engines -------------------------------------------------------------------------------------

static bool start_engines(struct calib_processes *r, bool events) {
    const struct sim_model *m = r->model;
    for (int i = 0; i < CALIB_ENGINES; i++) {
        struct bench_engine *e = &r->engines[i];
        *e = (struct bench_engine){.ranks = 1};
        snprintf(e->name, sizeof e->name, "e%d", i);
        snprintf(e->options, sizeof e->options,
                 "--model=mock --fingerprint=e%d --block-size=%u --blocks=%llu --max-running=%u "
                 "--max-batch-tokens=%u --prefill-speed=%.6g --decode-speed=%.6g%s",
                 i, r->block_size, (unsigned long long)(m->capacity / r->block_size), m->running,
                 m->budget, 1 / m->prefill, 1 / m->batch, events ? "" : " --no-events");
        snprintf(e->bridge, sizeof e->bridge, "capacity=%llu",
                 (unsigned long long)(m->capacity / r->block_size));
        if (!bench_engine_start(e, support_setting("KVROUTE_MOCK_ENGINE", KVROUTE_MOCK_ENGINE)))
            return false;
    }
    return true;
}

static double metric(const char *text, const char *name) {
    const char *at = strstr(text, name);
    while (at && at[strlen(name)] != '{')
        at = strstr(at + 1, name);
    at = at ? strstr(at, "} ") : NULL;
    return at ? strtod(at + 2, NULL) : 0;
}

double calib_processes_lateness(const struct calib_processes *r) {
    double planned = 0, taken = 0;
    for (int i = 0; i < CALIB_ENGINES; i++) {
        struct support_response a =
            support_http(r->engines[i].http, "GET", "/metrics", "", NULL, CALIB_CALL_MS);
        if (a.status == 200) {
            planned += metric(a.body, "\nmock:step_seconds_planned_total");
            taken += metric(a.body, "\nmock:step_seconds_total");
        }
        support_response_free(&a);
    }
    return planned > 0 ? taken / planned - 1 : 0;
}

static const char *log_path(const struct calib_processes *r, const char *what, char out[256]) {
    if (!r->logs) return NULL;
    snprintf(out, 256, "%s/%s-%s.log", r->logs, what, r->name);
    return out;
}

// ---- Routers -------------------------------------------------------------------------------------

static bool answers(void *ctx) {
    const struct calib_processes *r = ctx;
    struct support_response a =
        support_http(r->port, "POST", "/v1/completions", "Content-Type: application/json\r\n",
                     "{\"model\":\"mock\",\"prompt\":\"hello\",\"max_tokens\":1}", CALIB_TRY_MS);
    bool ok = a.status == 200;
    support_response_free(&a);
    return ok;
}

static bool start_router(struct calib_processes *r, const char *const *argv) {
    char log[256];
    r->router = support_start(argv, log_path(r, "router", log));
    return support_wait(answers, r, CALIB_PATIENCE_MS) || fail("the router doesn't answer");
}

static bool bridge_is_up(void *ctx) {
    const struct calib_processes *r = ctx;
    return bench_bridge_settled(&r->bridge);
}

static bool start_bridge(struct calib_processes *r) {
    char url[64], log[256];
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", r->server.port);
    r->bridge = (struct bench_bridge){.program = support_setting("KVROUTE_BRIDGE", KVROUTE_BRIDGE),
                                      .url = url,
                                      .pool = CALIB_POOL,
                                      .log = log_path(r, "bridge", log),
                                      .listen = support_port()};
    bench_bridge_start(&r->bridge, r->engines, CALIB_ENGINES);
    return support_wait(bridge_is_up, r, CALIB_PATIENCE_MS) || fail("the bridge doesn't settle");
}

static bool write_settings(const struct calib_processes *r, const struct calib_setup *how,
                           const char *path) {
    FILE *f = fopen(path, "w");
    if (!f) return fail("no settings can be written");
    fprintf(f,
            "[router]\nredis = redis://127.0.0.1:%d\nlisten = 127.0.0.1:%d\n"
            "[pool " CALIB_POOL "]\nblocks = %s\n",
            r->server.port, r->port, how->blocks);
    for (int i = 0; i < CALIB_ENGINES && !how->bridge; i++)
        fprintf(f, "[engine http://127.0.0.1:%d]\nname = %s\ncapacity = %llu\n", r->engines[i].http,
                r->engines[i].name,
                how->capacity ? (unsigned long long)(r->model->capacity / r->block_size) : 0);
    return fclose(f) == 0;
}

static bool make_pool(struct calib_processes *r, const char *create) {
    char words[200];
    snprintf(words, sizeof words, "KVROUTE.CREATE " CALIB_POOL " BLOCKSIZE %u %s", r->block_size,
             create);
    redisReply *reply = support_redis_words(&r->server, words);
    if (!reply) return false;
    freeReplyObject(reply);
    return true;
}

bool calib_start_ours(struct calib_processes *r, const struct calib_setup *how) {
    char path[256];
    if (!start_engines(r, how->bridge)) return false;
    if (!support_redis_start(&r->server)) return false;
    if (!make_pool(r, how->create) || (how->bridge && !start_bridge(r))) return false;
    snprintf(path, sizeof path, "%s/router.conf", r->server.dir);
    r->port = support_port();
    if (!write_settings(r, how, path)) return false;
    const char *argv[] = {support_setting("KVROUTE_ROUTER", KVROUTE_ROUTER), "--config", path,
                          NULL};
    return start_router(r, argv);
}

bool calib_start_theirs(struct calib_processes *r, const char *program, const char *verb) {
    char urls[CALIB_ENGINES][40], port[32], metrics[40];
    const char *argv[16] = {program};
    size_t n = 1;
    if (!start_engines(r, false)) return false;
    r->port = support_ports(2);
    snprintf(port, sizeof port, "--port=%d", r->port);
    snprintf(metrics, sizeof metrics, "--prometheus-port=%d", r->port + 1);
    if (verb) argv[n++] = verb;
    argv[n++] = "--host=127.0.0.1";
    argv[n++] = port;
    argv[n++] = metrics;
    argv[n++] = "--worker-urls";
    for (int i = 0; i < CALIB_ENGINES; i++) {
        snprintf(urls[i], sizeof urls[i], "http://127.0.0.1:%d", r->engines[i].http);
        argv[n++] = urls[i];
    }
    return start_router(r, argv);
}

void calib_processes_end(struct calib_processes *r) {
    support_end(&r->router, SIGKILL);
    support_end(&r->bridge.pid, SIGKILL);
    for (int i = 0; i < CALIB_ENGINES; i++)
        support_end(&r->engines[i].pid, SIGKILL);
    support_redis_end(&r->server, SIGKILL);
}
