// SPDX-License-Identifier: Apache-2.0
// Calls that check their replies; see harness.h.
#include <criterion/criterion.h>
#include <hiredis/hiredis.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "harness.h"

static void send_format(struct conn *c, const char *format, va_list ap) {
    char *bytes;
    int n = redisvFormatCommand(&bytes, format, ap);
    cr_assert(n > 0, "a bad format: %s", format);
    bool sent = conn_write(c, bytes, (size_t)n);
    redisFreeCommand(bytes);
    cr_assert(sent, "the server is gone before: %s", format);
}

static const struct reply *read_reply(struct conn *c, const char *what) {
    const struct reply *r = conn_read(c, PATIENCE_MS);
    cr_assert(r, "no reply to: %s", what);
    return r;
}

static const struct reply *vcall(struct conn *c, const char *format, va_list ap) {
    send_format(c, format, ap);
    return read_reply(c, format);
}

static const char *text_of(const struct reply *r) {
    return r->bytes ? r->bytes : "";
}

static void check_kind(const struct reply *r, enum reply_kind kind, const char *what) {
    cr_assert(r->kind == kind, "%s: a reply of kind '%c' (%s) instead of '%c'", what, r->kind,
              text_of(r), kind);
}

const struct reply *call(struct conn *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct reply *r = vcall(c, format, ap);
    va_end(ap);
    return r;
}

const struct reply *call_args(struct conn *c, const struct args *a) {
    cr_assert(conn_write_args(c, a), "the server is gone before: %s", a->v[0]);
    return read_reply(c, a->v[0]);
}

const struct reply *call_kind(struct conn *c, enum reply_kind kind, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct reply *r = vcall(c, format, ap);
    va_end(ap);
    check_kind(r, kind, format);
    return r;
}

void call_ok(struct conn *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct reply *r = vcall(c, format, ap);
    va_end(ap);
    check_kind(r, REPLY_STATUS, format);
    cr_assert_str_eq(r->bytes, "OK", "%s: %s", format, r->bytes);
}

int64_t call_int(struct conn *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct reply *r = vcall(c, format, ap);
    va_end(ap);
    check_kind(r, REPLY_INTEGER, format);
    return r->integer;
}

void expect_int(struct conn *c, int64_t want, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct reply *r = vcall(c, format, ap);
    va_end(ap);
    check_kind(r, REPLY_INTEGER, format);
    cr_assert(r->integer == want, "%s: %" PRId64 " instead of %" PRId64, format, r->integer, want);
}

void expect_bulk(struct conn *c, const char *want, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct reply *r = vcall(c, format, ap);
    va_end(ap);
    check_kind(r, REPLY_BULK, format);
    cr_assert_str_eq(r->bytes, want, "%s: %s instead of %s", format, r->bytes, want);
}

void expect_null(struct conn *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct reply *r = vcall(c, format, ap);
    va_end(ap);
    check_kind(r, REPLY_NULL, format);
}

void expect_version(struct conn *c, const char *key, int64_t want) {
    int64_t got = pool_info(c, key, "version");
    cr_assert(got == want, "version %" PRId64 " instead of %" PRId64, got, want);
}

bool is_error(const struct reply *r, const char *code) {
    size_t n = strlen(code);
    return r->kind == REPLY_ERROR && strncmp(r->bytes, code, n) == 0 &&
           (r->bytes[n] == ' ' || r->bytes[n] == 0);
}

void expect_error(struct conn *c, const char *code, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    const struct reply *r = vcall(c, format, ap);
    va_end(ap);
    cr_assert(is_error(r, code), "%s: a reply of kind '%c' (%s) instead of %s", format, r->kind,
              text_of(r), code);
}

void post(struct conn *c, const char *format, ...) {
    va_list ap;
    va_start(ap, format);
    send_format(c, format, ap);
    va_end(ap);
}

const struct reply *collect(struct conn *c) {
    return read_reply(c, "a posted command");
}

// ---- Maps ----------------------------------------------------------------------------------------

static const struct reply *find(const struct reply *map, const char *field) {
    cr_assert(map->kind == REPLY_MAP || map->kind == REPLY_ARRAY, "no map but '%c' (%s)", map->kind,
              text_of(map));
    cr_assert(map->count % 2 == 0, "a map of %zu halves", map->count);
    for (size_t i = 0; i < map->count; i += 2) {
        const struct reply *name = &map->items[i];
        if (name->bytes && strcmp(name->bytes, field) == 0) return &map->items[i + 1];
    }
    return NULL;
}

bool map_has(const struct reply *map, const char *field) {
    return find(map, field) != NULL;
}

const struct reply *map_get(const struct reply *map, const char *field) {
    const struct reply *r = find(map, field);
    cr_assert(r, "no field %s in the map", field);
    return r;
}

int64_t map_int(const struct reply *map, const char *field) {
    const struct reply *r = map_get(map, field);
    check_kind(r, REPLY_INTEGER, field);
    return r->integer;
}

const char *map_str(const struct reply *map, const char *field) {
    const struct reply *r = map_get(map, field);
    cr_assert(r->kind == REPLY_BULK || r->kind == REPLY_STATUS, "%s is a '%c'", field, r->kind);
    return r->bytes;
}

double real_of(const struct reply *r) {
    if (r->kind == REPLY_DOUBLE) return r->real;
    check_kind(r, REPLY_BULK, "a double");
    char *end;
    double v = strtod(r->bytes, &end);
    cr_assert(r->n > 0 && *end == 0, "no number: %s", r->bytes);
    return v;
}

double map_real(const struct reply *map, const char *field) {
    return real_of(map_get(map, field));
}

void check_bulk(const struct reply *r, const char *want) {
    check_kind(r, REPLY_BULK, want);
    cr_assert_str_eq(r->bytes, want, "%s instead of %s", r->bytes, want);
}

const struct reply *row_of(const struct reply *rows, const char *worker, int64_t rank) {
    check_kind(rows, REPLY_ARRAY, "rows");
    for (size_t i = 0; i < rows->count; i++) {
        const struct reply *row = &rows->items[i];
        if (strcmp(map_str(row, "worker"), worker) == 0 && map_int(row, "rank") == rank) return row;
    }
    return NULL;
}

// ---- Pools ---------------------------------------------------------------------------------------

struct digest pool_digest(struct conn *c, const char *key) {
    struct digest d = {"", ""};
    const struct reply *r = call_kind(c, REPLY_BULK, "KVROUTE.DIGEST %s", key);
    cr_assert(r->n == 40 && strspn(r->bytes, "0123456789abcdef") == 40, "a digest: %s", r->bytes);
    memcpy(d.hex, r->bytes, 40);
    r = call_kind(c, REPLY_BULK, "KVROUTE.DIGEST %s LEARNT", key);
    cr_assert(r->n == 40 && strspn(r->bytes, "0123456789abcdef") == 40, "a digest: %s", r->bytes);
    memcpy(d.learnt, r->bytes, 40);
    return d;
}

struct digest debug_digest(struct conn *c, const char *key) {
    struct digest d = {"", ""};
    const struct reply *r = call_kind(c, REPLY_ARRAY, "DEBUG DIGEST-VALUE %s", key);
    cr_assert(r->count == 1 && r->items[0].n == 40);
    memcpy(d.hex, r->items[0].bytes, 40);
    return d;
}

bool same_digest(struct digest a, struct digest b) {
    return same_state(a, b) && (!a.learnt[0] || !b.learnt[0] || strcmp(a.learnt, b.learnt) == 0);
}

bool same_state(struct digest a, struct digest b) {
    return strcmp(a.hex, b.hex) == 0;
}

int64_t pool_info(struct conn *c, const char *key, const char *field) {
    return map_int(call(c, "KVROUTE.INFO %s", key), field);
}

void server_info_text(struct conn *c, const char *section, const char *name, char *out, size_t n) {
    const struct reply *r = call(c, "INFO %s", section);
    cr_assert(r->kind == REPLY_BULK || r->kind == REPLY_VERBATIM);
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

int64_t server_info(struct conn *c, const char *section, const char *name) {
    char text[64];
    server_info_text(c, section, name, text, sizeof text);
    cr_assert(text[0], "INFO %s has no %s", section, name);
    return strtoll(text, NULL, 10);
}

struct hex prefix_of(struct conn *c, int block_size, const char *blocks) {
    struct args a = {0};
    args_words(&a, "KVROUTE.HASH");
    args_int(&a, block_size);
    args_words(&a, blocks);
    const struct reply *r = call_args(c, &a);
    args_clear(&a);
    check_kind(r, REPLY_ARRAY, "KVROUTE.HASH");
    cr_assert(r->count > 0 && r->items[r->count - 1].n == 16);
    struct hex h = {""};
    memcpy(h.digits, r->items[r->count - 1].bytes, 16);
    return h;
}

struct conn *start_pool(const char *options) {
    struct server *s = server_start(NULL);
    struct args a = {0};
    args_words(&a, "KVROUTE.CREATE p");
    args_words(&a, options);
    const struct reply *r = call_args(s->conn, &a);
    args_clear(&a);
    check_kind(r, REPLY_STATUS, "KVROUTE.CREATE p");
    return s->conn;
}

struct copies {
    struct server *primary, *replica;
    const char *key;
};

static bool are_equal(void *ctx) {
    struct copies *p = ctx;
    const struct reply *r = call(p->replica->conn, "EXISTS %s", p->key);
    if (r->kind != REPLY_INTEGER || !r->integer) return false;
    struct digest there = pool_digest(p->replica->conn, p->key);
    int64_t version = pool_info(p->replica->conn, p->key, "version");
    static const char *const counts[] = {"workers",   "instances", "blocks",  "holdings",
                                         "predicted", "requests",  "sessions"};
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (pool_info(p->primary->conn, p->key, counts[i]) !=
            pool_info(p->replica->conn, p->key, counts[i]))
            return false;
    return same_digest(there, pool_digest(p->primary->conn, p->key)) &&
           version == pool_info(p->primary->conn, p->key, "version") &&
           same_digest(debug_digest(p->primary->conn, p->key),
                       debug_digest(p->replica->conn, p->key));
}

// Copies that have parted never meet again, so it is enough to see them meet.
void expect_equal(struct server *primary, struct server *replica, const char *key) {
    struct copies p = {primary, replica, key};
    wait_until(are_equal, &p, "primary and replica are equal");
}

// ---- Chance --------------------------------------------------------------------------------------

uint64_t test_seed(void) {
    static uint64_t seed;
    if (!seed) {
        const char *given = getenv("KVROUTE_SEED");
        seed =
            given ? strtoull(given, NULL, 0) : (uint64_t)clock_ms() * 1000003u ^ (uint64_t)getpid();
        fprintf(stderr, "%s: KVROUTE_SEED=%" PRIu64 "\n", criterion_current_test->name, seed);
    }
    return seed;
}

uint64_t rng_next(struct rng *r) { // splitmix64
    uint64_t z = r->state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

uint64_t rng_below(struct rng *r, uint64_t n) {
    return rng_next(r) % n;
}
