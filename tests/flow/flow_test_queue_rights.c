// SPDX-License-Identifier: Apache-2.0
// Who may have a channel told, and what waiting there is when memory is out.
#include <criterion/criterion.h>
#include <string.h>

#include "flow_queue.h"

TestSuite(rights, .fini = flow_harness_end, .timeout = 120);

static void expect_allowed(struct flow_conn *c, const char *command, bool allowed) {
    const struct flow_reply *r = flow_call_words(c, command, "");
    cr_expect(flow_is_error(r, "NOPERM") != allowed, "%s: %s", command,
              r->bytes ? r->bytes : "allowed");
}

// A server whose pool is full, and a connection of a user who may publish on channels mine*.
static struct flow_conn *start_publisher(struct flow_server **s) {
    *s = flow_server_start(NULL);
    flow_call_ok((*s)->conn, "KVROUTE.CREATE p BLOCKSIZE 1 MAXREQUESTS 1");
    flow_expect_int((*s)->conn, 1, "KVROUTE.WORKER SET p w");
    flow_expect_booked((*s)->conn, "KVROUTE.SELECT p x IDS 0");
    flow_call_ok((*s)->conn, "ACL SETUSER some on nopass +@all ~p* resetchannels &mine*");
    struct flow_conn *c = flow_server_connect(*s, 2);
    flow_call_ok(c, "AUTH some x");
    return c;
}

Test(rights, notify_needs_the_right_to_publish) {
    struct flow_server *s;
    struct flow_conn *c = start_publisher(&s);
    expect_allowed(c, "KVROUTE.SELECT p a IDS 1 1 WAIT 1000000", true);
    expect_allowed(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 1000000 NOTIFY mine1", true);
    expect_allowed(c, "KVROUTE.SELECT p d IDS 1 1 WAIT 1000000 NOTIFY other", false);
    expect_allowed(c, "KVROUTE.SELECT p d IDS 1 1 WAIT 1000000 notify other", false);
    expect_allowed(c, "KVROUTE.SELECT p d IDS 1 1 NOTIFY other", false);
    expect_allowed(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 1000000 NOTIFY other", false);
    // Where the word is something else, and where it isn't what it looks like.
    expect_allowed(c, "KVROUTE.SELECT p e IDS 1 1 SESSION NOTIFY FLOW other WAIT 1000000", true);
    expect_allowed(c, "KVROUTE.SELECT p f IDS 1 1 SESSION NOTIFY NOTIFY other WAIT 1000000", false);
    expect_allowed(c, "KVROUTE.SELECT p f IDS 1 1 AMONG 2 NOTIFY mine1 NOTIFY other", false);
    expect_allowed(c, "KVROUTE.SELECT NOTIFY mine1 IDS 1 1 NOTIFY other WAIT 5", false);
    expect_allowed(c, "KVROUTE.SELECT p f HASHES 12345678 WITH 1 x NOTIFY other WAIT 5", false);
    expect_allowed(c, "KVROUTE.SELECT p f IDS 1 1 LORA NOTIFY NAMESPACE mine1 NOTIFY other", false);
    cr_expect(flow_waiting(s->conn) == 3);
    // What makes no sense is refused for that, and names no channel.
    flow_expect_error(c, "ERR", "KVROUTE.SELECT p f NOTIFY");
    flow_expect_error(c, "ERR", "KVROUTE.SELECT p f IDS 99 NOTIFY other");
    flow_expect_error(c, "ERR", "KVROUTE.SELECT p f IDS 1 1 NOTIFY other NOTIFY other");
    cr_expect(flow_waiting(s->conn) == 3);
}

Test(rights, in_transactions_and_scripts_as_well) {
    struct flow_server *s;
    struct flow_conn *c = start_publisher(&s);
    flow_call_ok(c, "MULTI");
    flow_expect_error(c, "NOPERM", "KVROUTE.SELECT p a IDS 1 1 WAIT 1000000 NOTIFY other");
    flow_expect_error(c, "EXECABORT", "EXEC");
    flow_call_ok(c, "MULTI");
    flow_call_kind(c, FLOW_REPLY_STATUS, "KVROUTE.SELECT p a IDS 1 1 WAIT 1000000 NOTIFY mine1");
    flow_call_kind(c, FLOW_REPLY_ARRAY, "EXEC");
    // The right may be gone before EXEC.
    flow_call_ok(c, "MULTI");
    flow_call_kind(c, FLOW_REPLY_STATUS, "KVROUTE.SELECT p b IDS 1 1 WAIT 1000000 NOTIFY mine1");
    flow_call_ok(s->conn, "ACL SETUSER some resetchannels &mine2");
    cr_expect(flow_call(c, "EXEC")->items[0].kind == FLOW_REPLY_ERROR);
    static const char *const scripts[] = {
        "return redis.call('KVROUTE.SELECT', KEYS[1], 'd', 'IDS', 0, 'WAIT', 100000, 'NOTIFY', "
        "'mine1')",
        "return redis.pcall('KVROUTE.SELECT', KEYS[1], 'd', 'IDS', 0, 'WAIT', 100000, 'NOTIFY', "
        "'mine1')",
    };
    for (int i = 0; i < 2; i++)
        cr_expect(flow_call(c, "EVAL %s 1 p", scripts[i])->kind == FLOW_REPLY_ERROR);
    cr_expect(flow_waiting(s->conn) == 1);
    const struct flow_reply *r = flow_call(c, "EVAL %s 1 p",
                                           "return redis.call('KVROUTE.SELECT', KEYS[1], 'd', "
                                           "'IDS', 0, 'WAIT', 100000, 'NOTIFY', 'mine2')");
    cr_expect(flow_map_int(r, "waiting") == 1);
}

Test(rights, what_command_info_says) {
    struct flow_conn *c = flow_server_start(NULL)->conn;
    const struct flow_reply *r = flow_call(c, "COMMAND INFO KVROUTE.SELECT");
    bool blocking = false;
    for (size_t i = 0; i < r->items[0].items[2].count; i++)
        blocking |= strcmp(r->items[0].items[2].items[i].bytes, "blocking") == 0;
    cr_expect(blocking);
    static const char *const commands[] = {"kvroute.class|set", "kvroute.flow|list",
                                           "kvroute.queue",     "kvroute.enqueue",
                                           "kvroute.admit",     "kvroute.select"};
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        r = flow_call(c, "COMMAND DOCS %s", commands[i]);
        cr_expect(r->count == 2, "%s", commands[i]);
        r = flow_call(c, "COMMAND INFO %s", commands[i]);
        cr_expect(r->items[0].count >= 7, "%s", commands[i]);
    }
}

// ---- Memory --------------------------------------------------------------------------------------

Test(rights, at_maxmemory_new_waiting_is_refused) {
    struct flow_server *s = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 MAXREQUESTS 1 ACCEPT 600000");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    flow_expect_int(c, 1, "KVROUTE.CLASS SET p k");
    flow_expect_int(c, 1, "KVROUTE.FLOW SET p t");
    flow_expect_booked(c, "KVROUTE.SELECT p x IDS 0");
    flow_expect_waiting(c, "KVROUTE.SELECT p a IDS 1 1 WAIT 1000000");
    flow_expect_waiting(c, "KVROUTE.SELECT p b IDS 1 1 WAIT 1000000");
    flow_expect_waiting(c, "KVROUTE.SELECT p d IDS 1 1 WAIT 1000000");
    flow_call_ok(c, "CONFIG SET maxmemory-policy noeviction");
    flow_call_ok(c, "CONFIG SET maxmemory 1");
    static const char *const grow[] = {
        "KVROUTE.SELECT p new IDS 1 1 WAIT 1000000",
        "KVROUTE.SELECT p new IDS 1 1 WAIT 1000 BLOCK",
        "KVROUTE.SELECT p new IDS 1 1",
        "KVROUTE.CLASS SET p new",
        "KVROUTE.FLOW SET p new RATE 5",
        "KVROUTE.CLAIM p b w 0 IDS 0",
    };
    int64_t version = flow_pool_info(c, "p", "version");
    for (size_t i = 0; i < sizeof grow / sizeof *grow; i++)
        cr_expect(flow_is_error(flow_call(c, grow[i]), "OOM"), "%s", grow[i]);
    flow_expect_version(c, "p", version);
    flow_expect_waiting(c, "KVROUTE.SELECT p a IDS 1 1 WAIT 1000000");
    cr_expect(flow_map_int(flow_call(c, "KVROUTE.QUEUE p"), "waiting") == 3);
    flow_expect_int(c, 0, "KVROUTE.CLASS SET p k WEIGHT 2");
    flow_expect_int(c, 0, "KVROUTE.FLOW SET p t RATE 2");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p x"); // and one is admitted
    cr_expect(flow_map_int(flow_expect_booked(c, "KVROUTE.SELECT p a IDS 0"), "repeat") == 1);
    flow_expect_int(c, 1, "KVROUTE.RELEASE p b");
    flow_expect_int(c, 1, "KVROUTE.CLASS DEL p k");
    flow_expect_int(c, 1, "KVROUTE.FLOW DEL p t");
    // Effects aren't refused, wherever a replica stands.
    flow_call_ok(c, "CONFIG SET maxmemory 0");
    flow_call_ok(replica->conn, "CONFIG SET maxmemory-policy noeviction");
    flow_call_ok(replica->conn, "CONFIG SET maxmemory 1");
    flow_expect_waiting(c, "KVROUTE.SELECT p e IDS 1 1 WAIT 1000000 FLOW new");
    flow_expect_int(c, 1, "KVROUTE.CLASS SET p new");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p a");
    cr_expect(flow_waiting(c) == 1);
    flow_expect_equal(s, replica, "p");
}
