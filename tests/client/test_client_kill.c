// SPDX-License-Identifier: Apache-2.0
// A connection that was given up is ended at the server by its id, and only at that server: after a
// restart the same ids are other people's.
#include <criterion/criterion.h>
#include <hiredis/hiredis.h>
#include <kvroute/client.h>
#include <signal.h>
#include <stdio.h>

#include "client/common/clock.h"
#include "tests/support/support_redis.h"

enum { STRANGERS = 24, STRANGERS_PATIENCE_MS = 60000 };

static void ignore(void *ctx, const struct kvr_result *r) {
    (void)ctx;
    (void)r;
}

static bool is_alive(redisContext *c) {
    redisReply *r = redisCommand(c, "PING");
    bool alive = r && r->type == REDIS_REPLY_STATUS;
    if (r) freeReplyObject(r);
    return alive;
}

Test(strangers, are_left_alone_after_a_restart, .timeout = 120) {
    struct support_redis s = {0};
    cr_assert(support_redis_start(&s));
    struct kvr_client_options o = {.create = "BLOCKSIZE 4"};
    char url[60], error[160];
    redisContext *strangers[STRANGERS];
    struct kvr_client_stats st;
    snprintf(url, sizeof url, "redis://127.0.0.1:%d", s.port);
    struct kvr_client *c = kvr_client_open(url, "pool", &o, error, sizeof error);
    cr_assert(c, "%s", error);
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    // Something is under way when it dies, so that the connection counts as given up.
    kill(s.pid, SIGSTOP);
    cr_assert(kvr_client_info_async(c, ignore, NULL) == KVR_CODE_OK);
    kvr_client_run(c, 20);
    cr_assert(support_redis_restart(&s));
    for (int i = 0; i < STRANGERS; i++) {
        strangers[i] = redisConnect("127.0.0.1", s.port);
        cr_assert(strangers[i] && is_alive(strangers[i]));
    }
    int64_t end = kvr_clock_ms() + STRANGERS_PATIENCE_MS;
    do {
        cr_assert(kvr_clock_ms() < end);
        kvr_client_run(c, 20);
        kvr_client_stats(c, &st);
    } while (st.connects < 2);
    for (int i = 0; i < STRANGERS; i++) {
        cr_expect(is_alive(strangers[i]), "connection %d was ended", i);
        redisFree(strangers[i]);
    }
    kvr_client_close(c);
    support_redis_end(&s, SIGKILL);
}
