// SPDX-License-Identifier: Apache-2.0
// See btest_bridge.h.
#include "btest_bridge.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

void btest_bridge_redis(struct btest_bridge *b) {
    bool again = b->redis.port != 0;
    bool good = again ? support_redis_restart(&b->redis) : support_redis_start(&b->redis);
    cr_assert(good, "no server");
}

void btest_bridge_start(struct btest_bridge *b, const char *const *more) {
    char url[60], listen[40];
    const char *argv[40] = {KVROUTE_BRIDGE, "--redis", url,   "--pool",   "pool", "--create",
                            BTEST_CREATE,   "--ttl",   "900", "--listen", listen};
    size_t n = 11;
    if (!b->metrics) b->metrics = support_port();
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", b->redis.port);
    snprintf(listen, sizeof listen, "127.0.0.1:%d", b->metrics);
    while (*more && n < 39)
        argv[n++] = *more++;
    support_path(b->log, sizeof b->log, "bridge.log");
    b->pid = support_start(argv, b->log);
}

void btest_bridge_stop(struct btest_bridge *b) {
    support_end(&b->pid, SIGKILL);
    support_redis_end(&b->redis, SIGKILL);
}

// ---- The pool ------------------------------------------------------------------------------------

static redisReply *ask(struct btest_bridge *b, const char *format, ...) {
    va_list args;
    va_start(args, format);
    redisReply *r = support_redis_ask(&b->redis, format, args);
    va_end(args);
    return r;
}

static const redisReply *field(const redisReply *map, const char *name) {
    for (size_t i = 0; map && i + 1 < map->elements; i += 2)
        if (!strcmp(map->element[i]->str, name)) return map->element[i + 1];
    return NULL;
}

long long btest_bridge_overlap(struct btest_bridge *b, const uint64_t *hashes, size_t n) {
    redisReply *r = ask(b, "KVROUTE.SCORE pool HASHES %b AMONG 1 w", hashes, n * 8);
    const redisReply *v =
        r && r->type == REDIS_REPLY_ARRAY && r->elements ? field(r->element[0], "overlap") : NULL;
    long long overlap = v ? v->integer : -1;
    if (r) freeReplyObject(r);
    return overlap;
}

long long btest_bridge_held(struct btest_bridge *b, const char *tier_field) {
    redisReply *r = ask(b, "KVROUTE.WORKER GET pool w");
    const redisReply *ranks = r && r->type == REDIS_REPLY_ARRAY ? field(r, "ranks") : NULL;
    const redisReply *v = ranks && ranks->elements ? field(ranks->element[0], tier_field) : NULL;
    long long held = v ? v->integer : -1;
    if (r) freeReplyObject(r);
    return held;
}
