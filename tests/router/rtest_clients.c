// SPDX-License-Identifier: Apache-2.0
// See rtest_clients.h.
#define _GNU_SOURCE // strcasestr
#include "rtest_clients.h"

#include <criterion/criterion.h>
#include <event2/event.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"

struct rtest_clients rtest_callers;

enum { CLIENTS_WAIT_MS = 180000 };

void rtest_clients_open(void) {
    static const struct h1_client_options o = {.connect_ms = 10000,
                                               .head_ms = CLIENTS_WAIT_MS,
                                               .idle_ms = CLIENTS_WAIT_MS,
                                               .keep_ms = 0,
                                               .keep_most = 0};
    rtest_callers = (struct rtest_clients){.base = event_base_new()};
    rtest_callers.upstream = h1_client_new(rtest_callers.base, &o);
    cr_assert(rtest_callers.upstream);
}

void rtest_clients_close(void) {
    h1_client_free(rtest_callers.upstream);
    h1_loop_free(rtest_callers.base);
}

static void copy(char *out, size_t size, const struct h1_head *r, const char *name) {
    const char *value = h1_find_header(r, name);
    snprintf(out, size, "%s", value ? value : "");
}

static void on_head(void *ctx, const struct h1_head *r) {
    struct rtest_client *who = ctx;
    who->status = r->status;
    copy(who->worker, sizeof who->worker, r, "X-Kvroute-Worker");
    copy(who->prefill, sizeof who->prefill, r, "X-Kvroute-Prefill-Worker");
    copy(who->overlap, sizeof who->overlap, r, "X-Kvroute-Overlap");
    copy(who->expected, sizeof who->expected, r, "X-Kvroute-Expected");
    copy(who->waited, sizeof who->waited, r, "X-Kvroute-Waited");
    copy(who->kept, sizeof who->kept, r, "X-Kvroute-Protected");
    copy(who->retry_after, sizeof who->retry_after, r, "Retry-After");
    copy(who->id, sizeof who->id, r, "X-Request-Id");
    copy(who->type, sizeof who->type, r, "Content-Type");
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct rtest_client *who = ctx;
    if (!who->heard) rtest_callers.talking++;
    who->heard = true;
    evbuffer_add_buffer(who->answer, bytes);
}

static void over(struct rtest_client *who) {
    who->call = NULL;
    rtest_callers.open--;
    rtest_callers.talking -= who->heard;
    if (!rtest_callers.open) event_base_loopbreak(rtest_callers.base);
}

static void on_end(void *ctx) {
    struct rtest_client *who = ctx;
    who->complete = true;
    over(who);
}

static void on_failed(void *ctx, enum h1_failure why) {
    (void)why;
    over(ctx);
}

void rtest_client_start(struct rtest_client *who, int port, const char *path, const char *headers,
                        const char *body) {
    static const struct h1_callbacks callbacks = {on_head, on_data, on_end, on_failed};
    char address[60], lines[4096];
    struct evbuffer *bytes = body ? evbuffer_new() : NULL;
    snprintf(address, sizeof address, "http://127.0.0.1:%d", port);
    if (body) evbuffer_add(bytes, body, strlen(body));
    bool typed = !body || (headers && strcasestr(headers, "content-type:"));
    snprintf(lines, sizeof lines, "%s%s", typed ? "" : "Content-Type: application/json\r\n",
             headers ? headers : "");
    struct h1_request r = {.address = address,
                           .method = body ? "POST" : "GET",
                           .path = path,
                           .headers = lines,
                           .body = bytes,
                           .fresh = true};
    *who = (struct rtest_client){.answer = evbuffer_new()};
    who->call = h1_call_start(rtest_callers.upstream, &r, &callbacks, who, NULL);
    cr_assert(who->call);
    if (bytes) evbuffer_free(bytes);
    rtest_callers.open++;
}

void rtest_clients_run(int ms) {
    struct timeval t = {ms / 1000, ms % 1000 * 1000};
    if (!rtest_callers.base) {
        support_sleep_ms(ms);
        return;
    }
    event_base_loopexit(rtest_callers.base, &t);
    event_base_dispatch(rtest_callers.base);
}

void rtest_clients_finish(void) {
    for (int64_t end = kvr_clock_ms() + CLIENTS_WAIT_MS; rtest_callers.open; rtest_clients_run(50))
        cr_assert(kvr_clock_ms() < end, "%zu requests have no end", rtest_callers.open);
}

void rtest_client_leave(struct rtest_client *who) {
    if (!who->call) return;
    h1_call_cancel(who->call);
    over(who);
}

char *rtest_client_text(struct rtest_client *who) {
    size_t n = evbuffer_get_length(who->answer);
    char *text = calloc(1, n + 1);
    evbuffer_copyout(who->answer, text, n);
    return text;
}

void rtest_client_free(struct rtest_client *who) {
    if (who->answer) evbuffer_free(who->answer);
    who->answer = NULL;
}

struct rtest_client rtest_client_call(int port, const char *path, const char *headers,
                                      const char *body) {
    struct rtest_client who;
    rtest_client_start(&who, port, path, headers, body);
    for (int64_t end = kvr_clock_ms() + CLIENTS_WAIT_MS; who.call; rtest_clients_run(2))
        cr_assert(kvr_clock_ms() < end, "no answer");
    return who;
}

struct awaited_answer {
    int fd;
    bool head_only;
    atomic_bool is_here;
    struct support_response response;
};

static void *await_answer(void *ctx) {
    struct awaited_answer *a = ctx;
    a->response = support_http_response(a->fd, a->head_only, CLIENTS_WAIT_MS);
    a->is_here = true;
    return NULL;
}

struct support_response rtest_clients_answer(int fd, bool head_only) {
    struct awaited_answer a = {.fd = fd, .head_only = head_only};
    pthread_t reader;
    cr_assert(!pthread_create(&reader, NULL, await_answer, &a));
    while (!a.is_here)
        rtest_clients_run(1);
    pthread_join(reader, NULL);
    return a.response;
}
