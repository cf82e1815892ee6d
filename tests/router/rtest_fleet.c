// SPDX-License-Identifier: Apache-2.0
// See rtest_fleet.h.
#define _GNU_SOURCE // asprintf
#include "rtest_fleet.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/support/home.h"

struct stand rtest_fleet;
struct crowd rtest_crowd;

void rtest_fleet_down(void) {
    crowd_close(&rtest_crowd);
    for (int i = 0; i < STAND_ROUTERS; i++) {
        if (!rtest_fleet.routers[i].pid) continue;
        kill(rtest_fleet.routers[i].pid, SIGTERM);
        int status = stand_wait(&rtest_fleet.routers[i]);
        cr_assert_eq(status, 0, "router %d ends with %d", i, status);
    }
    stand_down(&rtest_fleet);
}

void rtest_fleet_routers(int engines, int routers, const char *const *more) {
    char urls[STAND_ENGINES][60];
    const char *flags[40];
    size_t n = 0;
    for (int i = 0; i < engines; i++) {
        snprintf(urls[i], sizeof urls[i], "http://127.0.0.1:%d", rtest_fleet.engines[i].port);
        flags[n++] = "--engine";
        flags[n++] = urls[i];
    }
    while (more && *more)
        flags[n++] = *more++;
    flags[n] = NULL;
    for (int i = 0; i < routers; i++)
        stand_router(&rtest_fleet, i, flags);
    for (int i = 0; i < routers; i++)
        stand_await_ready(&rtest_fleet, i);
}

void rtest_fleet_up(int engines, const char *engine_options, int routers, const char *const *more) {
    char options[600];
    crowd_open(&rtest_crowd);
    if (!rtest_fleet.redis.pid) stand_redis(&rtest_fleet);
    snprintf(options, sizeof options, "--no-events %s", engine_options);
    for (int i = 0; i < engines; i++)
        stand_engine(&rtest_fleet, i, options);
    if (engines <= RTEST_REFERENCE)
        stand_engine(&rtest_fleet, RTEST_REFERENCE,
                     "--no-events --time-scale 0 --blocks 40000 --max-model-len 40000 "
                     "--max-running 1000");
    rtest_fleet_routers(engines, routers, more);
}

void rtest_fault(int engine, const char *query) {
    char path[200];
    snprintf(path, sizeof path, "/mock/fault?%s", query);
    struct response r = http_post(rtest_fleet.engines[engine].port, path, "");
    cr_assert(r.status == 200, "%s", query);
    response_free(&r);
}

int rtest_engine_metric(int engine, const char *name) {
    struct response r = http_get(rtest_fleet.engines[engine].port, "/metrics");
    char line[200];
    snprintf(line, sizeof line, "\nvllm:%s{engine=\"0\",", name);
    const char *at = r.status == 200 ? strstr(r.body, line) : NULL;
    at = at ? strchr(at, '}') : NULL;
    int value = at ? (int)strtod(at + 1, NULL) : -1;
    response_free(&r);
    return value;
}

void rtest_await(bool (*holds)(void), const char *what) {
    for (int64_t end = now_ms() + PATIENCE_MS; !holds(); crowd_run(&rtest_crowd, 10))
        cr_assert(now_ms() < end, "%s", what);
}

bool rtest_nothing_booked(void) {
    return stand_info(&rtest_fleet, "kvroute", "requests") == 0;
}

char *rtest_chat(const char *text, int tokens, bool stream) {
    char *body;
    cr_assert(asprintf(&body,
                       "{\"model\":\"mock\",\"messages\":[{\"role\":\"user\",\"content\":\"%s\"}],"
                       "\"max_tokens\":%d,\"stream\":%s}",
                       text, tokens, stream ? "true" : "false") > 0);
    return body;
}

struct caller rtest_ask(int router, const char *text, int tokens, bool stream) {
    char *body = rtest_chat(text, tokens, stream);
    struct caller who = call_once(&rtest_crowd, rtest_fleet.routers[router].port,
                                  "/v1/chat/completions", NULL, body);
    free(body);
    return who;
}

bool rtest_same_answer(struct caller *a, struct caller *b) {
    char *x = caller_text(a), *y = caller_text(b);
    bool same = evbuffer_get_length(a->answer) == evbuffer_get_length(b->answer) &&
                !memcmp(x, y, evbuffer_get_length(a->answer));
    free(x);
    free(y);
    return same;
}

void rtest_check_answers(struct caller *who, char **bodies, int n, int left_out) {
    struct caller *want = calloc((size_t)n, sizeof *want);
    for (int i = 0; i < n; i++)
        crowd_start(&rtest_crowd, &want[i], rtest_fleet.engines[RTEST_REFERENCE].port,
                    "/v1/chat/completions", NULL, bodies[i]);
    crowd_finish(&rtest_crowd);
    for (int i = 0; i < n; i++) {
        bool good = who[i].complete && want[i].complete && who[i].status == want[i].status &&
                    !strcmp(who[i].type, want[i].type) && rtest_same_answer(&who[i], &want[i]);
        cr_assert(good == (left_out < 0 || i % 3 != left_out), "%d", i);
        caller_free(&who[i]);
        caller_free(&want[i]);
        free(bodies[i]);
    }
    free(want);
}

bool rtest_answer_has(struct caller *who, const char *text) {
    char *all = caller_text(who);
    bool found = strstr(all, text) != NULL;
    free(all);
    return found;
}

bool rtest_answer_ends(struct caller *who, const char *text) {
    char *all = caller_text(who);
    size_t n = evbuffer_get_length(who->answer), m = strlen(text);
    bool found = n >= m && !memcmp(all + n - m, text, m);
    free(all);
    return found;
}

void rtest_slow_streams(struct caller *who, size_t n, char **bodies, int routers, int tokens) {
    char text[60];
    for (size_t i = 0; i < n; i++) {
        snprintf(text, sizeof text, "slow question number %zu", i);
        bodies[i] = rtest_chat(text, tokens, true);
        crowd_start(&rtest_crowd, &who[i], rtest_fleet.routers[i % (size_t)routers].port,
                    "/v1/chat/completions", NULL, bodies[i]);
    }
    for (int64_t end = now_ms() + PATIENCE_MS; rtest_crowd.talking < n; crowd_run(&rtest_crowd, 10))
        cr_assert(now_ms() < end && rtest_crowd.open == n, "%zu of %zu", rtest_crowd.talking,
                  rtest_crowd.open);
}

double rtest_router_metric(int router, const char *name) {
    struct response r = http_get(rtest_fleet.routers[router].port, "/metrics");
    char line[100];
    snprintf(line, sizeof line, "\nkvroute_router_%s ", name);
    const char *at = r.body ? strstr(r.body, line) : NULL;
    double value = at ? atof(at + strlen(line)) : -1;
    response_free(&r);
    return value;
}

int rtest_failed_tries(int router) {
    struct response r = http_get(rtest_fleet.routers[router].port, "/metrics");
    int tries = 0;
    for (const char *at = r.body; (at = strstr(at, "outcome=\"failed\"}"));)
        tries += atoi(at += 17);
    response_free(&r);
    return tries;
}
