// SPDX-License-Identifier: Apache-2.0
#include "fetch_decisions.h"

#include <hiredis/hiredis.h>
#include <stdio.h>

#include "bench/common/copy_decisions.h"
#include "client/lib/transport/url.h"

static bool fail(const char *what) {
    fprintf(stderr, "kvroute-sim: --fetch-decisions: %s\n", what);
    return false;
}

static bool expect_ok(redisContext *c, redisReply *r) {
    bool ok = r && r->type == REDIS_REPLY_STATUS;
    if (!ok) fail(r && r->type == REDIS_REPLY_ERROR ? r->str : c->errstr);
    if (r) freeReplyObject(r);
    return ok;
}

static bool log_in(redisContext *c, const struct kvr_topology *at) {
    if (*at->password) {
        redisReply *r = *at->user ? redisCommand(c, "AUTH %s %s", at->user, at->password)
                                  : redisCommand(c, "AUTH %s", at->password);
        if (!expect_ok(c, r)) return false;
    }
    return !at->db || expect_ok(c, redisCommand(c, "SELECT %lld", (long long)at->db));
}

static redisContext *open_server(const char *url) {
    struct kvr_topology at;
    const char *wrong = kvr_url_parse(url, &at);
    if (!wrong && at.kind != KVR_TOPOLOGY_SERVER) wrong = "takes the URL of one server";
    if (!wrong && at.tls) wrong = "can't speak TLS";
    if (wrong) {
        fail(wrong);
        return NULL;
    }
    const struct timeval patience = {.tv_sec = 10};
    const struct kvr_address *a = &at.seeds[0];
    redisContext *c = a->port ? redisConnectWithTimeout(a->host, a->port, patience)
                              : redisConnectUnixWithTimeout(a->host, patience);
    if (c && !c->err) redisSetTimeout(c, patience);
    if (c && !c->err && log_in(c, &at)) return c;
    fail(!c ? "no memory" : c->err ? c->errstr : "can't log in");
    if (c) redisFree(c);
    return NULL;
}

bool sim_fetch_decisions(const char *url, const char *key, const char *path) {
    redisContext *c = open_server(url);
    bool ok = c && bench_copy_decisions(c, key, path);
    if (c) redisFree(c);
    return ok;
}
