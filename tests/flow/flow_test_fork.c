// SPDX-License-Identifier: Apache-2.0
// Saves of a pool whose index is large enough to be left out of what the saving child gets; see the module's
// fork_without.h.
#include <criterion/criterion.h>
#include <stdlib.h>

#include "flow_harness.h"

TestSuite(fork, .fini = flow_harness_end, .timeout = 240);

enum { FORK_EVENT = 200000, FORK_EVENTS = 6 };

static struct flow_server *start_large(const char *const *extra) {
    struct flow_server *s = flow_server_start(extra);
    flow_call_ok(s->conn, "KVROUTE.CREATE p");
    flow_expect_int(s->conn, 1, "KVROUTE.WORKER SET p w");
    for (int64_t seq = 1; seq <= FORK_EVENTS; seq++)
        flow_store_new(s->conn, seq, FORK_EVENT);
    return s;
}

static bool no_save(void *c) {
    return flow_server_info(c, "persistence", "rdb_bgsave_in_progress") == 0;
}

// What a child saves while its parent goes on is the pool as it was at the fork; and the parent, which forks again and
// again, has all of its own.
Test(fork, a_save_under_events) {
    struct flow_server *s = start_large(NULL);
    struct flow_digest before;
    for (int64_t i = 0; i < 3; i++) {
        before = flow_pool_digest(s->conn, "p");
        flow_call_kind(s->conn, FLOW_REPLY_STATUS, "BGSAVE");
        flow_store_new(s->conn, FORK_EVENTS + 1 + i, FORK_EVENT);
        flow_wait_until(no_save, s->conn, "the save is over");
        flow_expect_bulk(s->conn, "ok", "EVAL %s 0",
                         "return string.match(redis.call('INFO', 'persistence'), "
                         "'rdb_last_bgsave_status:(%a+)')");
    }
    flow_server_kill(s, SIGKILL);
    flow_server_restart(s);
    cr_expect(flow_same_state(before, flow_pool_digest(s->conn, "p")));
}

Test(fork, a_rewritten_file) {
    struct flow_server *s = start_large(flow_with_aof);
    flow_call_ok(s->conn, "CONFIG SET aof-use-rdb-preamble no");
    flow_rewrite_aof(s->conn);
    flow_store_new(s->conn, FORK_EVENTS + 1, FORK_EVENT);
    struct flow_digest before = flow_pool_digest(s->conn, "p");
    flow_server_kill(s, SIGTERM);
    flow_server_restart(s);
    cr_expect(flow_same_digest(before, flow_pool_digest(s->conn, "p")));
}

Test(fork, a_replica) {
    struct flow_server *s = start_large(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    flow_store_new(s->conn, FORK_EVENTS + 1, FORK_EVENT);
    flow_expect_equal(s, replica, "p");
}
