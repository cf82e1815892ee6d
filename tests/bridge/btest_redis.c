// SPDX-License-Identifier: Apache-2.0
// See btest_redis.h.
#include "btest_redis.h"

#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/support/home.h"
#include "tests/support/program.h"
#include "tests/support/redis.h"

int btest_redis_wait(pid_t *pid) {
    int status = 0;
    cr_assert(program_ends(pid, BTEST_PATIENCE_MS, &status), "a process doesn't end");
    return status;
}

void btest_redis_start(struct btest_redis *s) {
    bool again = s->port != 0;
    for (int tries = 0; tries < 5; tries++) {
        if (!again) s->port = home_port();
        s->server = redis_start(s->port, (const char *[]){NULL});
        for (int64_t end = now_ms() + BTEST_PATIENCE_MS; now_ms() < end; sleep_ms(10)) {
            if (waitpid(s->server, NULL, WNOHANG) == s->server) break;
            if (redis_answers(&s->look, s->port)) return;
        }
    }
    cr_assert_fail("no server");
}

void btest_redis_bridge(struct btest_redis *s, const char *const *more) {
    char url[60], listen[40];
    const char *argv[40] = {KVROUTE_BRIDGE, "--redis", url,   "--pool",   "pool", "--create",
                            "BLOCKSIZE 4",  "--ttl",   "900", "--listen", listen};
    size_t n = 11;
    if (!s->metrics) s->metrics = home_port();
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", s->port);
    snprintf(listen, sizeof listen, "127.0.0.1:%d", s->metrics);
    while (*more && n < 39)
        argv[n++] = *more++;
    snprintf(s->log, sizeof s->log, "%s/bridge.log", home_path());
    int log = open(s->log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    s->bridge = program_start(argv, -1, log, log);
    close(log);
}

void btest_redis_stop(struct btest_redis *s) {
    program_end(&s->bridge, SIGKILL);
    program_end(&s->server, SIGKILL);
    if (s->look) redisFree(s->look);
    s->look = NULL;
}

// ---- The pool ------------------------------------------------------------------------------------

redisReply *btest_redis_command(struct btest_redis *s, const char *format, ...) {
    va_list args;
    if (!redis_answers(&s->look, s->port)) return NULL;
    va_start(args, format);
    redisReply *r = redisvCommand(s->look, format, args);
    va_end(args);
    return r;
}

static const redisReply *field(const redisReply *map, const char *name) {
    for (size_t i = 0; map && i + 1 < map->elements; i += 2)
        if (!strcmp(map->element[i]->str, name)) return map->element[i + 1];
    return NULL;
}

long long btest_redis_overlap(struct btest_redis *s, const uint64_t *hashes, size_t n) {
    redisReply *r = btest_redis_command(s, "KVROUTE.SCORE pool HASHES %b AMONG 1 w", hashes, n * 8);
    const redisReply *v =
        r && r->type == REDIS_REPLY_ARRAY && r->elements ? field(r->element[0], "overlap") : NULL;
    long long overlap = v ? v->integer : -1;
    if (r) freeReplyObject(r);
    return overlap;
}

long long btest_redis_held(struct btest_redis *s, const char *tier_field) {
    redisReply *r = btest_redis_command(s, "KVROUTE.WORKER GET pool w");
    const redisReply *ranks = r && r->type == REDIS_REPLY_ARRAY ? field(r, "ranks") : NULL;
    const redisReply *v = ranks && ranks->elements ? field(ranks->element[0], tier_field) : NULL;
    long long held = v ? v->integer : -1;
    if (r) freeReplyObject(r);
    return held;
}
