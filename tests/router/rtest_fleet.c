// SPDX-License-Identifier: Apache-2.0
// See rtest_fleet.h.
#define _GNU_SOURCE // asprintf
#include "rtest_fleet.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "tests/support/support_process.h"

void rtest_fleet_down(void) {
    rtest_clients_close();
    for (int i = 0; i < RTEST_ROUTERS; i++) {
        if (!rtest_fleet.routers[i].pid) continue;
        kill(rtest_fleet.routers[i].pid, SIGTERM);
        int status = rtest_wait(&rtest_fleet.routers[i]);
        cr_assert_eq(status, 0, "router %d ends with %d", i, status);
    }
    rtest_cluster_down();
}

void rtest_await_workers(int router, int engines) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; rtest_clients_run(5)) {
        json_t *all = rtest_json(rtest_get(rtest_fleet.routers[router].port, "/readyz"), 200), *p;
        json_int_t n = 0;
        size_t i;
        json_array_foreach(json_object_get(all, "pools"), i, p) n +=
            json_integer_value(json_object_get(p, "workers"));
        json_decref(all);
        if (n >= engines) return;
        cr_assert(kvr_clock_ms() < end, "the router knows %d of %d engines", (int)n, engines);
    }
}

void rtest_await_asked(int router, int engines) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;
         support_log_count(rtest_fleet.logs[router], " serves ") < (size_t)engines;
         rtest_clients_run(10))
        cr_assert(kvr_clock_ms() < end, "the router doesn't know its engines");
}

// Whether routers with these options ask engines what they serve.
static bool asks(const char *const *more) {
    for (; more && *more; more++)
        if (!strcmp(*more, "--learn")) return strcmp(more[1], "0") != 0;
    return true;
}

void rtest_fleet_routers(int engines, int routers, const char *const *more) {
    char urls[RTEST_ENGINES][60];
    const char *flags[40];
    size_t n = 0;
    for (int i = 0; i < engines; i++) {
        snprintf(urls[i], sizeof urls[i], "http://127.0.0.1:%d", rtest_fleet.engines[i].port);
        flags[n++] = "--engine";
        flags[n++] = urls[i];
    }
    for (size_t i = 0; more && more[i]; i++)
        flags[n++] = more[i];
    flags[n] = NULL;
    for (int i = 0; i < routers; i++)
        rtest_router(i, flags);
    for (int i = 0; i < routers; i++)
        rtest_await_ready(i);
    for (int i = 0; i < routers; i++) {
        rtest_await_workers(i, engines);
        if (asks(more)) rtest_await_asked(i, engines);
    }
}

void rtest_fleet_up(int engines, const char *engine_options, int routers, const char *const *more) {
    char options[600];
    rtest_clients_open();
    if (!rtest_fleet.redis.pid) rtest_redis();
    snprintf(options, sizeof options, "--no-events %s", engine_options);
    for (int i = 0; i < engines; i++)
        rtest_engine(i, options);
    if (engines <= RTEST_REFERENCE)
        rtest_engine(RTEST_REFERENCE,
                     "--no-events --time-scale 0 --blocks 40000 --max-model-len 40000 "
                     "--max-running 1000");
    rtest_fleet_routers(engines, routers, more);
}

void rtest_fault(int engine, const char *query) {
    char path[200];
    snprintf(path, sizeof path, "/mock/fault?%s", query);
    struct support_response r = rtest_post(rtest_fleet.engines[engine].port, path, "");
    cr_assert(r.status == 200, "%s", query);
    support_response_free(&r);
}

int rtest_engine_metric(int engine, const char *name) {
    struct support_response r = rtest_get(rtest_fleet.engines[engine].port, "/metrics");
    char line[200];
    snprintf(line, sizeof line, "\nvllm:%s{engine=\"0\",", name);
    const char *at = r.status == 200 ? strstr(r.body, line) : NULL;
    at = at ? strchr(at, '}') : NULL;
    int value = at ? (int)strtod(at + 1, NULL) : -1;
    support_response_free(&r);
    return value;
}

void rtest_await(bool (*holds)(void), const char *what) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !holds(); rtest_clients_run(10))
        cr_assert(kvr_clock_ms() < end, "%s", what);
}

bool rtest_nothing_booked(void) {
    return rtest_pool_info("kvroute", "requests") == 0;
}

char *rtest_chat(const char *text, int tokens, bool stream) {
    char *body;
    cr_assert(asprintf(&body,
                       "{\"model\":\"mock\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],"
                       "\"max_tokens\":%d,\"stream\":%s}",
                       text, tokens, stream ? "true" : "false") > 0);
    return body;
}

struct rtest_client rtest_ask(int router, const char *text, int tokens, bool stream) {
    char *body = rtest_chat(text, tokens, stream);
    struct rtest_client who =
        rtest_client_call(rtest_fleet.routers[router].port, "/v1/chat/completions", NULL, body);
    free(body);
    return who;
}

void rtest_ask_well(int router, const char *text, int tokens, bool stream) {
    struct rtest_client who = rtest_ask(router, text, tokens, stream);
    cr_assert(who.status == 200 && who.complete, "%s: %d", text, who.status);
    rtest_client_free(&who);
}

bool rtest_same_answer(struct rtest_client *a, struct rtest_client *b) {
    char *x = rtest_client_text(a), *y = rtest_client_text(b);
    bool same = evbuffer_get_length(a->answer) == evbuffer_get_length(b->answer) &&
                !memcmp(x, y, evbuffer_get_length(a->answer));
    free(x);
    free(y);
    return same;
}

void rtest_check_answers(struct rtest_client *who, char **bodies, int n, int left_out) {
    struct rtest_client *want = calloc((size_t)n, sizeof *want);
    for (int i = 0; i < n; i++)
        rtest_client_start(&want[i], rtest_fleet.engines[RTEST_REFERENCE].port,
                           "/v1/chat/completions", NULL, bodies[i]);
    rtest_clients_finish();
    for (int i = 0; i < n; i++) {
        bool good = who[i].complete && want[i].complete && who[i].status == want[i].status &&
                    !strcmp(who[i].type, want[i].type) && rtest_same_answer(&who[i], &want[i]);
        cr_assert(good == (left_out < 0 || i % 3 != left_out), "%d", i);
        rtest_client_free(&who[i]);
        rtest_client_free(&want[i]);
        free(bodies[i]);
    }
    free(want);
}

bool rtest_answer_has(struct rtest_client *who, const char *text) {
    char *all = rtest_client_text(who);
    bool found = strstr(all, text) != NULL;
    free(all);
    return found;
}

bool rtest_answer_ends(struct rtest_client *who, const char *text) {
    char *all = rtest_client_text(who);
    size_t n = evbuffer_get_length(who->answer), m = strlen(text);
    bool found = n >= m && !memcmp(all + n - m, text, m);
    free(all);
    return found;
}

void rtest_slow_streams(struct rtest_client *who, size_t n, char **bodies, int routers,
                        int tokens) {
    char text[60];
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "slow question number %zu", i);
        bodies[i] = rtest_chat(text, tokens, true);
        rtest_client_start(&who[i], rtest_fleet.routers[i % (size_t)routers].port,
                           "/v1/chat/completions", NULL, bodies[i]);
    }
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_callers.talking < n;
         rtest_clients_run(10))
        cr_assert(kvr_clock_ms() < end && rtest_callers.open == n, "%zu of %zu",
                  rtest_callers.talking, rtest_callers.open);
}

double rtest_router_metric(int router, const char *name) {
    struct support_response r = rtest_get(rtest_fleet.routers[router].port, "/metrics");
    char line[100];
    snprintf(line, sizeof line, "\nkvroute_router_%s ", name);
    const char *at = r.body ? strstr(r.body, line) : NULL;
    double value = at ? atof(at + strlen(line)) : -1;
    support_response_free(&r);
    return value;
}

int rtest_failed_tries(int router) {
    struct support_response r = rtest_get(rtest_fleet.routers[router].port, "/metrics");
    int tries = 0;
    for (const char *at = r.body; (at = strstr(at, "outcome=\"failed\"}"));)
        tries += atoi(at += 17);
    support_response_free(&r);
    return tries;
}
