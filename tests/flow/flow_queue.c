// SPDX-License-Identifier: Apache-2.0
#include "flow_queue.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct flow_conn *flow_queue_start(const char *options) {
    char words[400];
    snprintf(words, sizeof words, "BLOCKSIZE 1 %s", options);
    struct flow_conn *c = flow_start_pool(words);
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    return c;
}

static const struct flow_reply *call(struct flow_conn *c, const char *format, va_list ap) {
    char command[600];
    vsnprintf(command, sizeof command, format, ap);
    const struct flow_reply *r = flow_call_words(c, command, "");
    cr_assert(r->kind == FLOW_REPLY_ARRAY || r->kind == FLOW_REPLY_MAP, "%s: %s", command,
              r->bytes ? r->bytes : "null");
    return r;
}

static bool has_field(const struct flow_reply *map, const char *field) {
    return map->count > 0 && strcmp(map->items[0].bytes, field) == 0;
}

const struct flow_reply *flow_expect_booked(struct flow_conn *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct flow_reply *r = call(c, format, ap);
    va_end(ap);
    cr_assert(has_field(r, "worker"), "%s isn't booked", format);
    return r;
}

const struct flow_reply *flow_expect_waiting(struct flow_conn *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct flow_reply *r = call(c, format, ap);
    va_end(ap);
    cr_assert(has_field(r, "waiting") && flow_map_int(r, "waiting") == 1, "%s doesn't wait",
              format);
    return r;
}

int64_t flow_retry_of(const struct flow_reply *r, const char *code) {
    cr_assert(r->kind == FLOW_REPLY_ERROR && flow_is_error(r, code), "%s: %s", code,
              r->bytes ? r->bytes : "no error");
    char *text;
    int64_t ms = strtoll(r->bytes + strlen(code) + 1, &text, 10);
    cr_assert(ms >= 1 && *text == ' ' && text[1], "%s", r->bytes);
    return ms;
}

int64_t flow_expect_refusal(struct flow_conn *c, const char *code, const char *format, ...) {
    char command[600];
    va_list ap;
    va_start(ap, format);
    vsnprintf(command, sizeof command, format, ap);
    va_end(ap);
    return flow_retry_of(flow_call_words(c, command, ""), code);
}

int64_t flow_waiting(struct flow_conn *c) {
    return flow_pool_info(c, "p", "waiting");
}

struct flow_wait_for {
    struct flow_conn *c;
    int64_t n;
    const char *id;
};

static bool so_many_wait(void *ctx) {
    const struct flow_wait_for *w = ctx;
    return flow_waiting(w->c) == w->n;
}

void flow_wait_waiting(struct flow_conn *c, int64_t n) {
    struct flow_wait_for w = {c, n, NULL};
    flow_wait_until(so_many_wait, &w, "so many wait");
}

bool flow_is_live(struct flow_conn *c, const char *id) {
    return flow_call(c, "KVROUTE.REQUEST GET p %s", id)->kind != FLOW_REPLY_NULL;
}

static bool it_is_live(void *ctx) {
    const struct flow_wait_for *w = ctx;
    return flow_is_live(w->c, w->id);
}

void flow_wait_live(struct flow_conn *c, const char *id) {
    struct flow_wait_for w = {c, 0, id};
    flow_wait_until(it_is_live, &w, id);
}

const char *flow_queue_id(struct flow_conn *c, size_t i) {
    const struct flow_reply *first =
        flow_map_get(flow_call(c, "KVROUTE.QUEUE p COUNT 100"), "first");
    cr_assert(i < first->count, "only %d wait", (int)first->count);
    return flow_map_str(&first->items[i], "id");
}

const struct flow_reply *flow_transaction(struct flow_conn *c, const char *const *commands,
                                          size_t n) {
    flow_call_ok(c, "MULTI");
    for (size_t i = 0; i < n; i++)
        flow_call_kind(c, FLOW_REPLY_STATUS, commands[i]);
    const struct flow_reply *r = flow_call_kind(c, FLOW_REPLY_ARRAY, "EXEC");
    cr_assert(r->count == n);
    return r;
}
