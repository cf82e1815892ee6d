// SPDX-License-Identifier: Apache-2.0
// The processes that a script is played to; see rig.h.
#include "processes.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/clock.h"
#include "bench/common/http.h"
#include "bench/common/process.h"
#include "bench/common/stop.h"
#include "bench/load/load_client.h"

enum { PATIENCE_S = 60, CALL_MS = 5000 };
#define POOL_NAME "calibrate"

static bool fail(const char *what) {
    if (!stop_asked()) fprintf(stderr, "kvroute-bench-calibrate: %s\n", what);
    return false;
}

static bool wait_until(bool (*true_of)(const struct calib_processes *),
                       const struct calib_processes *r) {
    for (int64_t end = clock_ns() + PATIENCE_S * INT64_C(1000000000);
         clock_ns() < end && !stop_asked(); clock_sleep_ms(100))
        if (true_of(r)) return true;
    return false;
}

// ---- Engines -------------------------------------------------------------------------------------

static bool start_engines(struct calib_processes *r, bool events) {
    const struct sim_model *m = r->model;
    for (int i = 0; i < CALIB_ENGINES; i++) {
        struct engine_process *e = &r->engines[i];
        *e = (struct engine_process){.ranks = 1};
        snprintf(e->name, sizeof e->name, "e%d", i);
        snprintf(e->options, sizeof e->options,
                 "--model=mock --fingerprint=e%d --block-size=%u --blocks=%llu --max-running=%u "
                 "--max-batch-tokens=%u --prefill-speed=%.6g --decode-speed=%.6g%s",
                 i, r->block_size, (unsigned long long)(m->capacity / r->block_size), m->running,
                 m->budget, 1 / m->prefill, 1 / m->batch, events ? "" : " --no-events");
        snprintf(e->bridge, sizeof e->bridge, "capacity=%llu",
                 (unsigned long long)(m->capacity / r->block_size));
        if (!engine_start(e, process_setting("KVROUTE_MOCK_ENGINE", KVROUTE_MOCK_ENGINE)))
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
        struct http_answer a = http_call(r->engines[i].http, "GET", "/metrics", "", NULL, CALL_MS);
        if (a.status == 200) {
            planned += metric(a.body, "\nmock:step_seconds_planned_total");
            taken += metric(a.body, "\nmock:step_seconds_total");
        }
        free(a.body);
    }
    return planned > 0 ? taken / planned - 1 : 0;
}

static const char *log_path(const struct calib_processes *r, const char *what, char out[256]) {
    if (!r->logs) return NULL;
    snprintf(out, 256, "%s/%s-%s.log", r->logs, what, r->name);
    return out;
}

// ---- Routers -------------------------------------------------------------------------------------

static bool answers(const struct calib_processes *r) {
    return bench_load_try(r->port);
}

static bool start_router(struct calib_processes *r, const char *const *argv) {
    char log[256];
    r->router = process_start(argv, log_path(r, "router", log), -1);
    return wait_until(answers, r) || fail("the router doesn't answer");
}

static bool bridge_is_up(const struct calib_processes *r) {
    return bridge_settled(&r->bridge);
}

static bool start_bridge(struct calib_processes *r) {
    char url[64], log[256];
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", r->server.port);
    r->bridge =
        (struct bridge_process){.program = process_setting("KVROUTE_BRIDGE", KVROUTE_BRIDGE),
                                .url = url,
                                .pool = POOL_NAME,
                                .log = log_path(r, "bridge", log),
                                .listen = process_ports(1)};
    bridge_start(&r->bridge, r->engines, CALIB_ENGINES);
    return wait_until(bridge_is_up, r) || fail("the bridge doesn't settle");
}

static bool write_settings(const struct calib_processes *r, const struct calib_setup *how,
                           const char *path) {
    FILE *f = fopen(path, "w");
    if (!f) return fail("no settings can be written");
    fprintf(f,
            "[router]\nredis = redis://127.0.0.1:%d\nlisten = 127.0.0.1:%d\n"
            "[pool " POOL_NAME "]\nblocks = %s\n",
            r->server.port, r->port, how->blocks);
    for (int i = 0; i < CALIB_ENGINES && !how->bridge; i++)
        fprintf(f, "[engine http://127.0.0.1:%d]\nname = %s\ncapacity = %llu\n", r->engines[i].http,
                r->engines[i].name,
                how->capacity ? (unsigned long long)(r->model->capacity / r->block_size) : 0);
    return fclose(f) == 0;
}

static bool make_pool(struct calib_processes *r, const char *create) {
    char words[200];
    snprintf(words, sizeof words, "KVROUTE.CREATE " POOL_NAME " BLOCKSIZE %u %s", r->block_size,
             create);
    redisReply *reply = server_words(&r->server, words);
    if (!reply) return false;
    freeReplyObject(reply);
    return true;
}

bool calib_start_ours(struct calib_processes *r, const struct calib_setup *how) {
    char path[256];
    if (!start_engines(r, how->bridge)) return false;
    if (!server_start(&r->server) || !server_open(&r->server)) return fail("no server");
    if (!make_pool(r, how->create) || (how->bridge && !start_bridge(r))) return false;
    snprintf(path, sizeof path, "%s/router.conf", r->server.dir);
    r->port = process_ports(1);
    if (!write_settings(r, how, path)) return false;
    const char *argv[] = {process_setting("KVROUTE_ROUTER", KVROUTE_ROUTER), "--config", path,
                          NULL};
    return start_router(r, argv);
}

bool calib_start_theirs(struct calib_processes *r, const char *program, const char *verb) {
    char urls[CALIB_ENGINES][40], port[32], metrics[40];
    const char *argv[16] = {program};
    size_t n = 1;
    if (!start_engines(r, false)) return false;
    r->port = process_ports(2);
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
    process_end(&r->router, SIGKILL);
    process_end(&r->bridge.pid, SIGKILL);
    for (int i = 0; i < CALIB_ENGINES; i++)
        process_end(&r->engines[i].pid, SIGKILL);
    server_remove(&r->server);
}
