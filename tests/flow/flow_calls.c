// SPDX-License-Identifier: Apache-2.0
// Calls that check their replies; see flow_harness.h.
#include <criterion/criterion.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/random.h"
#include "flow_harness.h"

static void send_format(struct flow_conn *c, const char *format, va_list ap) {
    char *bytes;
    int n = redisvFormatCommand(&bytes, format, ap);
    cr_assert(n > 0, "a bad format: %s", format);
    bool sent = flow_conn_write(c, bytes, (size_t)n);
    redisFreeCommand(bytes);
    cr_assert(sent, "the server is gone before: %s", format);
}

static const struct flow_reply *read_reply(struct flow_conn *c, const char *what) {
    const struct flow_reply *r = flow_conn_read(c, FLOW_PATIENCE_MS);
    cr_assert(r, "no reply to: %s", what);
    return r;
}

static const struct flow_reply *vcall(struct flow_conn *c, const char *format, va_list ap) {
    send_format(c, format, ap);
    return read_reply(c, format);
}

static const char *text_of(const struct flow_reply *r) {
    return r->bytes ? r->bytes : "";
}

static void check_kind(const struct flow_reply *r, enum flow_reply_kind kind, const char *what) {
    cr_assert(r->kind == kind, "%s: a reply of kind '%c' (%s) instead of '%c'", what, r->kind,
              text_of(r), kind);
}

const struct flow_reply *flow_call(struct flow_conn *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct flow_reply *r = vcall(c, format, ap);
    va_end(ap);
    return r;
}

const struct flow_reply *flow_call_args(struct flow_conn *c, const struct flow_args *a) {
    cr_assert(flow_conn_write_args(c, a), "the server is gone before: %s", a->v[0]);
    return read_reply(c, a->v[0]);
}

const struct flow_reply *flow_call_words(struct flow_conn *c, const char *head, const char *tail) {
    struct flow_args a = {0};
    flow_args_words(&a, head);
    flow_args_words(&a, tail);
    const struct flow_reply *r = flow_call_args(c, &a);
    flow_args_clear(&a);
    return r;
}

const struct flow_reply *flow_call_kind(struct flow_conn *c, enum flow_reply_kind kind,
                                        const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct flow_reply *r = vcall(c, format, ap);
    va_end(ap);
    check_kind(r, kind, format);
    return r;
}

void flow_call_ok(struct flow_conn *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct flow_reply *r = vcall(c, format, ap);
    va_end(ap);
    check_kind(r, FLOW_REPLY_STATUS, format);
    cr_assert_str_eq(r->bytes, "OK", "%s: %s", format, r->bytes);
}

int64_t flow_call_int(struct flow_conn *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct flow_reply *r = vcall(c, format, ap);
    va_end(ap);
    check_kind(r, FLOW_REPLY_INTEGER, format);
    return r->integer;
}

void flow_expect_int(struct flow_conn *c, int64_t want, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct flow_reply *r = vcall(c, format, ap);
    va_end(ap);
    check_kind(r, FLOW_REPLY_INTEGER, format);
    cr_assert(r->integer == want, "%s: %" PRId64 " instead of %" PRId64, format, r->integer, want);
}

void flow_expect_bulk(struct flow_conn *c, const char *want, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct flow_reply *r = vcall(c, format, ap);
    va_end(ap);
    check_kind(r, FLOW_REPLY_BULK, format);
    cr_assert_str_eq(r->bytes, want, "%s: %s instead of %s", format, r->bytes, want);
}

void flow_expect_null(struct flow_conn *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct flow_reply *r = vcall(c, format, ap);
    va_end(ap);
    check_kind(r, FLOW_REPLY_NULL, format);
}

void flow_expect_version(struct flow_conn *c, const char *key, int64_t want) {
    int64_t got = flow_pool_info(c, key, "version");
    cr_assert(got == want, "version %" PRId64 " instead of %" PRId64, got, want);
}

bool flow_is_error(const struct flow_reply *r, const char *code) {
    size_t n = strlen(code);
    return r->kind == FLOW_REPLY_ERROR && strncmp(r->bytes, code, n) == 0 &&
           (r->bytes[n] == ' ' || r->bytes[n] == 0);
}

void flow_expect_error(struct flow_conn *c, const char *code, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct flow_reply *r = vcall(c, format, ap);
    va_end(ap);
    cr_assert(flow_is_error(r, code), "%s: a reply of kind '%c' (%s) instead of %s", format,
              r->kind, text_of(r), code);
}

void flow_expect_refused(struct flow_conn *c, const char *head, const char *tails) {
    char tail[100];
    for (const char *p = tails;; p++) {
        size_t n = strcspn(p, "|");
        snprintf(tail, sizeof tail, "%.*s", (int)n, p);
        const struct flow_reply *r = flow_call_words(c, head, tail);
        cr_expect(flow_is_error(r, "ERR"), "%s %s: '%c' %s", head, tail, r->kind, text_of(r));
        p += n;
        if (!*p) return;
    }
}

void flow_post(struct flow_conn *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    send_format(c, format, ap);
    va_end(ap);
}

const struct flow_reply *flow_collect(struct flow_conn *c) {
    return read_reply(c, "a posted command");
}

// ---- Maps ----------------------------------------------------------------------------------------

const struct flow_reply *flow_map_get(const struct flow_reply *map, const char *field) {
    cr_assert(map->kind == FLOW_REPLY_MAP || map->kind == FLOW_REPLY_ARRAY, "no map but '%c' (%s)",
              map->kind, text_of(map));
    cr_assert(map->count % 2 == 0, "a map of %zu halves", map->count);
    for (size_t i = 0; i < map->count; i += 2) {
        const struct flow_reply *name = &map->items[i];
        if (name->bytes && strcmp(name->bytes, field) == 0) return &map->items[i + 1];
    }
    cr_assert_fail("no field %s in the map", field);
    return NULL;
}

int64_t flow_map_int(const struct flow_reply *map, const char *field) {
    const struct flow_reply *r = flow_map_get(map, field);
    check_kind(r, FLOW_REPLY_INTEGER, field);
    return r->integer;
}

const char *flow_map_str(const struct flow_reply *map, const char *field) {
    const struct flow_reply *r = flow_map_get(map, field);
    cr_assert(r->kind == FLOW_REPLY_BULK || r->kind == FLOW_REPLY_STATUS, "%s is a '%c'", field,
              r->kind);
    return r->bytes;
}

double flow_real_of(const struct flow_reply *r) {
    if (r->kind == FLOW_REPLY_DOUBLE) return r->real;
    check_kind(r, FLOW_REPLY_BULK, "a double");
    char *end;
    double v = strtod(r->bytes, &end);
    cr_assert(r->n > 0 && *end == 0, "no number: %s", r->bytes);
    return v;
}

double flow_map_real(const struct flow_reply *map, const char *field) {
    return flow_real_of(flow_map_get(map, field));
}

void flow_expect_fields(const struct flow_reply *map, const char *names) {
    struct flow_args a = {0};
    flow_args_words(&a, names);
    cr_assert(map->kind == FLOW_REPLY_ARRAY || map->kind == FLOW_REPLY_MAP);
    cr_assert(map->count == 2 * a.n, "%d fields instead of %d", (int)map->count / 2, (int)a.n);
    for (size_t i = 0; i < a.n; i++)
        cr_expect_str_eq(map->items[2 * i].bytes, a.v[i]);
    flow_args_clear(&a);
}

const struct flow_reply *flow_row_of(const struct flow_reply *rows, const char *worker,
                                     int64_t rank) {
    check_kind(rows, FLOW_REPLY_ARRAY, "rows");
    for (size_t i = 0; i < rows->count; i++) {
        const struct flow_reply *row = &rows->items[i];
        if (strcmp(flow_map_str(row, "worker"), worker) == 0 && flow_map_int(row, "rank") == rank)
            return row;
    }
    return NULL;
}

// ---- Pools ---------------------------------------------------------------------------------------

struct flow_digest flow_pool_digest(struct flow_conn *c, const char *key) {
    struct flow_digest d = {"", ""};
    const struct flow_reply *r = flow_call_kind(c, FLOW_REPLY_BULK, "KVROUTE.DIGEST %s", key);
    cr_assert(r->n == 40 && strspn(r->bytes, "0123456789abcdef") == 40, "a digest: %s", r->bytes);
    memcpy(d.hex, r->bytes, 40);
    r = flow_call_kind(c, FLOW_REPLY_BULK, "KVROUTE.DIGEST %s LEARNT", key);
    cr_assert(r->n == 40 && strspn(r->bytes, "0123456789abcdef") == 40, "a digest: %s", r->bytes);
    memcpy(d.learnt, r->bytes, 40);
    return d;
}

struct flow_digest flow_debug_digest(struct flow_conn *c, const char *key) {
    struct flow_digest d = {"", ""};
    const struct flow_reply *r = flow_call_kind(c, FLOW_REPLY_ARRAY, "DEBUG DIGEST-VALUE %s", key);
    cr_assert(r->count == 1 && r->items[0].n == 40);
    memcpy(d.hex, r->items[0].bytes, 40);
    return d;
}

bool flow_same_digest(struct flow_digest a, struct flow_digest b) {
    return flow_same_state(a, b) &&
           (!a.learnt[0] || !b.learnt[0] || strcmp(a.learnt, b.learnt) == 0);
}

bool flow_same_state(struct flow_digest a, struct flow_digest b) {
    return strcmp(a.hex, b.hex) == 0;
}

int64_t flow_pool_info(struct flow_conn *c, const char *key, const char *field) {
    return flow_map_int(flow_call(c, "KVROUTE.INFO %s", key), field);
}

void flow_server_info_text(struct flow_conn *c, const char *section, const char *name, char *out,
                           size_t n) {
    const struct flow_reply *r = flow_call(c, "INFO %s", section);
    cr_assert(r->kind == FLOW_REPLY_BULK || r->kind == FLOW_REPLY_VERBATIM);
    size_t len = strlen(name);
    out[0] = 0;
    for (const char *p = r->bytes; p && *p; p = strchr(p, '\n') ? strchr(p, '\n') + 1 : NULL) {
        if (strncmp(p, name, len) != 0 || p[len] != ':') continue;
        p += len + 1;
        size_t size = strcspn(p, "\r\n");
        if (size >= n) size = n - 1;
        memcpy(out, p, size);
        out[size] = 0;
        return;
    }
}

int64_t flow_server_info(struct flow_conn *c, const char *section, const char *name) {
    char text[64];
    flow_server_info_text(c, section, name, text, sizeof text);
    cr_assert(text[0], "INFO %s has no %s", section, name);
    return strtoll(text, NULL, 10);
}

struct flow_hex flow_prefix_of(struct flow_conn *c, int block_size, const char *blocks) {
    struct flow_args a = {0};
    flow_args_words(&a, "KVROUTE.HASH");
    flow_args_int(&a, block_size);
    flow_args_words(&a, blocks);
    const struct flow_reply *r = flow_call_args(c, &a);
    flow_args_clear(&a);
    check_kind(r, FLOW_REPLY_ARRAY, "KVROUTE.HASH");
    cr_assert(r->count > 0 && r->items[r->count - 1].n == 16);
    struct flow_hex h = {""};
    memcpy(h.digits, r->items[r->count - 1].bytes, 16);
    return h;
}

// ---- Chance --------------------------------------------------------------------------------------

uint64_t flow_rng_next(struct flow_rng *r) {
    return kvr_random(&r->state);
}

uint64_t flow_rng_below(struct flow_rng *r, uint64_t n) {
    return flow_rng_next(r) % n;
}
