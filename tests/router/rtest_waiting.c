// SPDX-License-Identifier: Apache-2.0
// See rtest_waiting.h.
#define _GNU_SOURCE // strcasestr
#include "rtest_waiting.h"

#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "rtest_scripted_server.h"

enum { WAITING_MAX_HELD = 64, WAITING_MAX_SEEN = 256, WAITING_ID_SIZE = 40 };

static struct server engines[RTEST_HOLDERS];
static struct held {
    char id[WAITING_ID_SIZE];
    struct server *engine;
    struct bufferevent *to; // NULL: a free place
} held[WAITING_MAX_HELD];
static char seen[WAITING_MAX_SEEN][WAITING_ID_SIZE];
static size_t n_seen;

static void hold(struct server *e, size_t n, struct bufferevent *to) {
    (void)n;
    char id[WAITING_ID_SIZE] = "";
    const char *line = strcasestr(e->head, "\r\nX-Request-Id: ");
    if (!strncmp(e->head, "GET ", 4)) { // a probe
        server_say(to, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        return;
    }
    cr_assert(line && sscanf(line + 16, "%39[^\r]", id) == 1);
    size_t i = 0;
    while (held[i].to)
        cr_assert(++i < WAITING_MAX_HELD);
    held[i] = (struct held){.engine = e, .to = to};
    memcpy(held[i].id, id, sizeof id);
    cr_assert(n_seen < WAITING_MAX_SEEN);
    memcpy(seen[n_seen++], id, sizeof id);
}

// The connection may have gone with its client.
static bool is_open(const struct held *h) {
    for (size_t i = 0; i < SERVER_STREAMS; i++)
        if (h->engine->streams[i] == h->to) return true;
    return false;
}

static struct held *held_of(const char *id) {
    for (size_t i = 0; i < WAITING_MAX_HELD; i++) {
        if (held[i].to && !is_open(&held[i])) held[i].to = NULL;
        if (held[i].to && !strcmp(held[i].id, id)) return &held[i];
    }
    return NULL;
}

void rtest_waiting_say(const char *format, ...) {
    char line[600];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    redisReply *r = rtest_command(line);
    cr_assert(r && r->type != REDIS_REPLY_ERROR, "%s: %s", line, r ? r->str : "no server");
    freeReplyObject(r);
}

void rtest_waiting_worker(int engine) {
    rtest_waiting_say("KVROUTE.WORKER SET kvroute w%d ADDR %s", engine, engines[engine].address);
}

// The pool's word may take its time on a slow machine: nobody is to choose without it.
void rtest_waiting_router(int i, const char *const *more) {
    const char *flags[40] = {"--pool",     "kvroute blocks=tokens",
                             "--learn",    "0",
                             "--deadline", "30000",
                             "--refresh",  "50",
                             "--check",    "0"};
    size_t n = 10;
    while (more && *more)
        flags[n++] = *more++;
    flags[n] = NULL;
    rtest_router(i, flags);
    rtest_await_ready(i);
}

void rtest_waiting_up(int n_engines, int routers, const char *const *more) {
    memset(held, 0, sizeof held);
    n_seen = 0;
    rtest_clients_open();
    if (!rtest_fleet.redis.pid) rtest_redis();
    rtest_waiting_say("KVROUTE.CREATE kvroute BLOCKSIZE 16 MAXREQUESTS 1");
    for (int i = 0; i < RTEST_HOLDERS; i++)
        server_open(&engines[i], rtest_callers.base, hold);
    for (int i = 0; i < n_engines; i++)
        rtest_waiting_worker(i);
    for (int i = 0; i < routers; i++)
        rtest_waiting_router(i, more);
}

void rtest_waiting_down(void) {
    for (int i = 0; i < RTEST_HOLDERS; i++)
        server_close(&engines[i]);
    rtest_fleet_down();
}

void rtest_waiting_start_body(struct rtest_client *who, int router, const char *id,
                              const char *headers, const char *body) {
    char lines[600];
    snprintf(lines, sizeof lines, "X-Request-Id: %s\r\n%s", id, headers ? headers : "");
    rtest_client_start(who, rtest_fleet.routers[router].port, "/v1/completions", lines, body);
}

void rtest_waiting_start(struct rtest_client *who, int router, const char *id,
                         const char *headers) {
    rtest_waiting_start_body(who, router, id, headers, "{\"prompt\":[1,2,3]}");
}

bool rtest_waiting_is_held(const char *id) {
    return held_of(id) != NULL;
}

void rtest_waiting_await_held(const char *id) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !held_of(id); rtest_clients_run(5))
        cr_assert(kvr_clock_ms() < end, "no engine gets %s", id);
}

void rtest_waiting_await_waiting(long long n) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; rtest_pool_info("kvroute", "waiting") != n;
         rtest_clients_run(5))
        cr_assert(kvr_clock_ms() < end, "%lld wait, not %lld",
                  rtest_pool_info("kvroute", "waiting"), n);
}

void rtest_waiting_answer(const char *id) {
    struct held *h = held_of(id);
    cr_assert(h, "no engine has %s", id);
    server_say(h->to, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                      "Content-Length: 14\r\n\r\n{\"choices\":[]}");
    h->to = NULL;
}

void rtest_waiting_break(const char *id) {
    struct held *h = held_of(id);
    cr_assert(h, "no engine has %s", id);
    server_end(h->to, true);
    h->to = NULL;
}

size_t rtest_waiting_seen(const char *id) {
    size_t n = 0;
    for (size_t i = 0; i < n_seen; i++)
        n += !strcmp(seen[i], id);
    return n;
}

void rtest_waiting_expect(struct rtest_client *who, int status, const char *code) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; who->call; rtest_clients_run(5))
        cr_assert(kvr_clock_ms() < end, "no answer");
    char *text = rtest_client_text(who);
    cr_assert(who->complete && who->status == status, "%d instead of %d: %s", who->status, status,
              text);
    if (code) {
        char want[60];
        snprintf(want, sizeof want, "\"code\":\"%s\"", code);
        cr_assert(strstr(text, want), "%s instead of %s", text, code);
    }
    free(text);
    rtest_client_free(who);
}
