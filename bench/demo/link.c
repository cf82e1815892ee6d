// SPDX-License-Identifier: Apache-2.0
// A connection to the server that comes back; see link.h.
#include "link.h"

#include <string.h>
#include <sys/time.h>

#include "bench/common/clock.h"
#include "bench/common/random.h"

enum { FIRST_WAIT_MS = 2, LONGEST_WAIT_MS = 200, PATIENCE_S = 30, TIMEOUT_S = 10 };

bool link_up(struct link *l) {
    if (l->c) return true;
    int64_t deadline = clock_ns() + PATIENCE_S * INT64_C(1000000000);
    for (double wait = FIRST_WAIT_MS;;
         wait = wait * 2 > LONGEST_WAIT_MS ? LONGEST_WAIT_MS : wait * 2) {
        struct timeval timeout = {TIMEOUT_S, 0};
        l->c = redisConnectWithTimeout("127.0.0.1", l->port, timeout);
        if (l->c && !l->c->err) {
            redisSetTimeout(l->c, timeout);
            l->lives++;
            return true;
        }
        link_drop(l);
        if (clock_ns() > deadline) return false;
        clock_sleep_ms(1 + (int)(wait * random_unit(&l->rng)));
    }
}

void link_drop(struct link *l) {
    if (l->c) redisFree(l->c);
    l->c = NULL;
}

bool link_exchange(struct link *l, redisReply **replies, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (redisGetReply(l->c, (void **)&replies[i]) == REDIS_OK) continue;
        while (i > 0)
            freeReplyObject(replies[--i]);
        link_drop(l);
        return false;
    }
    return true;
}

bool link_passing(const redisReply *r) {
    return r->type == REDIS_REPLY_ERROR && !strncmp(r->str, "LOADING", 7);
}
