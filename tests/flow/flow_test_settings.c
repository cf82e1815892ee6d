// SPDX-License-Identifier: Apache-2.0
// What a server is told: defaults of new pools, as settings; a module that is refused; what it warns of; and
// commands of the server's own that take pools elsewhere.
#define _GNU_SOURCE // memmem
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_traffic.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

TestSuite(settings, .fini = flow_harness_end, .timeout = 120);

static void expect_setting(struct flow_conn *c, const char *name, const char *want) {
    const struct flow_reply *r = flow_call_kind(c, FLOW_REPLY_ARRAY, "CONFIG GET %s", name);
    cr_assert(r->count == 2, "%s", name);
    cr_expect_str_eq(r->items[1].bytes, want, "%s is %s", name, r->items[1].bytes);
}

Test(settings, every_option_has_a_default) {
    struct flow_conn *c = flow_server_start(NULL)->conn;
    static const char *const defaults[][3] = {
        // of CREATE, its field in INFO, value
        {"blocksize", "block_size", "16"},
        {"policy", "policy", "delay"},
        {"overlap", "overlap", "1"},
        {"prefill", "prefill", "1"},
        {"requests", "requests_weight", "0"},
        {"host", "host", "0.75"},
        {"disk", "disk", "0.25"},
        {"temperature", "temperature", "0"},
        {"lease", "lease", "300000"},
        {"workerttl", "workerttl", "0"},
        {"workergrace", "workergrace", "600000"},
        {"predict", "predict", "0"},
        {"failures", "failures", "3"},
        {"opentime", "opentime", "5000"},
        {"sessionttl", "sessionttl", "600000"},
        {"slottft", "slottft", "2000"},
        {"slotbt", "slotbt", "100"},
        {"stick", "stick", "0"},
    };
    enum { FLOW_SETTINGS = sizeof defaults / sizeof *defaults };
    cr_expect(flow_call(c, "CONFIG GET kvroute.*")->count >= 2 * FLOW_SETTINGS);
    flow_call_ok(c, "KVROUTE.CREATE p");
    for (size_t i = 0; i < FLOW_SETTINGS; i++) {
        char name[40], value[40];
        snprintf(name, sizeof name, "kvroute.%s", defaults[i][0]);
        expect_setting(c, name, defaults[i][2]);
        const struct flow_reply *r = flow_map_get(flow_call(c, "KVROUTE.INFO p"), defaults[i][1]);
        if (r->kind == FLOW_REPLY_INTEGER)
            snprintf(value, sizeof value, "%ld", (long)r->integer);
        else
            snprintf(value, sizeof value, "%s", r->bytes);
        cr_expect_str_eq(value, defaults[i][2], "%s is %s", defaults[i][1], value);
    }
}

Test(settings, they_are_for_new_pools) {
    static const char *const words[] = {"--kvroute.lease", "77", "--kvroute.policy", "linear",
                                        NULL};
    struct flow_server *s = flow_server_start(words);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE old");
    cr_expect(flow_pool_info(c, "old", "lease") == 77);
    flow_call_ok(c, "CONFIG SET kvroute.lease 1234 kvroute.host 0.3 kvroute.policy delay");
    expect_setting(c, "kvroute.lease", "1234");
    cr_expect(flow_pool_info(c, "old", "lease") == 77);
    flow_call_ok(c, "KVROUTE.CREATE new");
    flow_call_ok(c, "KVROUTE.CREATE named LEASE 5");
    cr_expect(flow_pool_info(c, "new", "lease") == 1234);
    cr_expect(flow_map_real(flow_call(c, "KVROUTE.INFO new"), "host") == 0.3);
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.INFO new"), "policy"), "delay");
    cr_expect_str_eq(flow_map_str(flow_call(c, "KVROUTE.INFO old"), "policy"), "linear");
    cr_expect(flow_pool_info(c, "named", "lease") == 5);
    // What no option may be, no default may be, and then nothing of the command counts.
    static const char *const refused[] = {
        "kvroute.lease -1",
        "kvroute.lease x",
        "kvroute.host 2",
        "kvroute.policy nosuch",
        "kvroute.blocksize 0",
        "kvroute.blocksize 5000",
        "kvroute.slottft 0",
        "kvroute.opentime 0",
        "kvroute.stick nan",
        "kvroute.nosuch 1",
        "kvroute.lease 1.5",
        "kvroute.failures 1000001",
        "kvroute.predict 9 kvroute.disk -1",
    };
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        cr_expect(flow_call_words(c, "CONFIG SET", refused[i])->kind == FLOW_REPLY_ERROR, "%s",
                  refused[i]);
    expect_setting(c, "kvroute.lease", "1234");
    expect_setting(c, "kvroute.host", "0.3");
    expect_setting(c, "kvroute.predict", "0");
}

Test(settings, copies_agree_whatever_theirs_are) {
    static const char *const with_aof[] = {
        "--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", "no", NULL};
    struct flow_server *s = flow_server_start(with_aof), *replica = flow_server_start(with_aof);
    flow_server_replica_of(replica, s);
    flow_call_ok(s->conn, "CONFIG SET kvroute.lease 11 kvroute.blocksize 32 kvroute.stick 0.1");
    flow_call_ok(replica->conn, "CONFIG SET kvroute.lease 99 kvroute.disk 0 kvroute.policy linear");
    flow_call_ok(s->conn, "KVROUTE.CREATE p HOST 0.7");
    flow_expect_equal(s, replica, "p");
    struct flow_digest d = flow_pool_digest(s->conn, "p");
    flow_server_kill(replica, SIGKILL);
    flow_server_restart(s); // with the settings of its file
    expect_setting(s->conn, "kvroute.lease", "300000");
    cr_expect(flow_same_digest(d, flow_pool_digest(s->conn, "p")));
    cr_expect(flow_pool_info(s->conn, "p", "lease") == 11);
    cr_expect(flow_map_real(flow_call(s->conn, "KVROUTE.INFO p"), "stick") == 0.1);
}

// A setting that nobody knows: the server goes on, and takes the module without it. (Redis 7 says no and keeps
// the module. Valkey up to 9.1 crashes by itself, with any module that has a data type.)
Test(settings, a_refused_module_leaves_nothing_behind) {
    struct flow_server *s = flow_server_start_bare();
    struct flow_conn *c = s->conn;
    const char *module = flow_module_path();
    flow_expect_error(c, "ERR", "MODULE LOADEX %s CONFIG kvroute.lease never", module);
    support_sleep_ms(400); // timers and events have their turn
    flow_call_ok(c, "CONFIG SET maxmemory-policy volatile-ttl");
    flow_call_ok(c, "SWAPDB 0 1");
    flow_expect_error(c, "ERR", "MODULE LOADEX %s ARGS word", module);
    if (!flow_server_is("Valkey", 0))
        flow_expect_error(c, "ERR", "MODULE LOADEX %s CONFIG kvroute.nosuch 1", module);
    support_sleep_ms(400);
    flow_call_kind(c, FLOW_REPLY_STATUS, "PING");
    if (flow_call(c, "KVROUTE.HELP")->kind == FLOW_REPLY_ERROR)
        flow_call_ok(c, "MODULE LOADEX %s CONFIG kvroute.lease 50", module);
    else
        flow_call_ok(c, "CONFIG SET kvroute.lease 50");
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    flow_call(c, "KVROUTE.SELECT p r IDS 0");
    flow_wait_info(c, "requests", 0);
}

// Sentinels have a server write its own file, which must start it again.
Test(settings, a_file_that_the_server_has_rewritten) {
    struct flow_server *s = flow_server_start(NULL);
    flow_call_ok(s->conn, "CONFIG SET kvroute.lease 1234");
    for (int i = 0; i < 2; i++) {
        flow_call_ok(s->conn, "CONFIG REWRITE");
        flow_server_kill(s, SIGTERM);
        flow_server_restart(s);
        expect_setting(s->conn, "kvroute.lease", "1234");
    }
}

// As by a file that includes one with loadmodule, once it has been rewritten.
Test(settings, a_module_that_is_loaded_twice_says_so) {
    struct flow_server *s = flow_server_start(NULL);
    flow_call_ok(s->conn, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_expect_error(s->conn, "ERR", "MODULE LOAD %s", flow_module_path());
    cr_expect(support_log_count(s->redis.log, "kvroute is loaded already") == 1);
    flow_call_int(s->conn, "KVROUTE.WORKER SET p w");
    flow_call(s->conn, "KVROUTE.SELECT p r IDS 0");
    cr_expect(flow_pool_info(s->conn, "p", "requests") == 1);
    flow_server_kill(s, SIGTERM);
    char line[1100];
    snprintf(line, sizeof line, "loadmodule %s", flow_module_path());
    support_redis_configure(&s->redis, line);
    cr_expect(!flow_server_comes_up(s));
    cr_expect(support_log_count(s->redis.log, "kvroute is loaded already") == 2);
}

// ---- What it says --------------------------------------------------------------------------------

static size_t warnings(const struct flow_server *s) {
    return support_log_count(s->redis.log, "may evict a whole pool");
}

Test(settings, a_warning_where_pools_may_be_evicted) {
    static const char *const words[] = {"--maxmemory-policy", "allkeys-lru", NULL};
    struct flow_server *calm = flow_server_start(NULL), *s = flow_server_start(words);
    cr_expect(warnings(calm) == 0);
    cr_expect(warnings(s) == 1);
    flow_call_ok(s->conn, "CONFIG SET maxmemory-policy noeviction");
    flow_call_ok(s->conn, "CONFIG SET maxmemory 1000000000");
    flow_call_ok(s->conn, "CONFIG SET maxmemory-policy volatile-lru");
    cr_expect(warnings(s) == 1);
    flow_call_ok(s->conn, "CONFIG SET maxmemory-policy allkeys-random");
    cr_expect(warnings(s) == 2);
}

static void flip(const char *path, const char *behind, long offset) {
    FILE *f = fopen(path, "r+b");
    cr_assert(f, "%s", path);
    static char text[4 << 20];
    size_t n = fread(text, 1, sizeof text, f);
    char *at = memmem(text, n, behind, strlen(behind));
    cr_assert(at && at + offset < text + n);
    fseek(f, at + offset - text, SEEK_SET);
    fputc(at[offset] ^ 1, f);
    fclose(f);
}

// As with any other damage: the server ends rather than go on without a pool.
Test(settings, a_damaged_pool_in_an_aof) {
    struct flow_server *s = flow_server_start(flow_with_aof);
    static struct flow_traffic t;
    flow_traffic_start(&t, s->conn, "p", "LEASE 0");
    flow_traffic_run(&t, s->conn, 500);
    flow_rewrite_aof(s->conn);
    struct flow_digest d = flow_pool_digest(s->conn, "p");
    char path[400];
    snprintf(path, sizeof path, "%s/appendonlydir/appendonly.aof.2.base.aof", s->redis.dir);
    flow_server_kill(s, SIGKILL);
    for (int i = 0; i < 5; i++) {
        flip(path, "KVROUTE.LOAD", 200 + 400 * i);
        cr_expect(!flow_server_comes_up(s), "with a byte at %d", 200 + 400 * i);
        cr_expect(support_log_count(s->redis.log, "the append-only file is damaged") ==
                  (size_t)i + 1);
        flip(path, "KVROUTE.LOAD", 200 + 400 * i);
    }
    cr_assert(flow_server_comes_up(s));
    cr_expect(flow_same_digest(d, flow_pool_digest(s->conn, "p")));
}

// ---- Commands of the server's own ----------------------------------------------------------------

// A client stays in its database when it takes keys to another, and so does the stream to replicas.
Test(settings, moving_and_copying_between_databases) {
    struct flow_server *s = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_call_ok(c, "SET text x");
    flow_expect_int(c, 1, "COPY text text DB 3");
    flow_call_ok(c, "SET here-1 x");
    flow_expect_int(c, 1, "COPY p p DB 2");
    flow_call_ok(c, "SET here-2 x");
    flow_expect_int(c, 1, "MOVE text 1");
    flow_call_ok(c, "SET here-3 x");
    flow_expect_int(c, 1, "MOVE p 1");
    flow_call_ok(c, "SET here-4 x");
    flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
    static const int keys[] = {4, 2, 1, 1};
    struct flow_conn *both[] = {c, replica->conn};
    for (size_t i = 0; i < 2; i++)
        for (int db = 0; db < 4; db++) {
            flow_call_ok(both[i], "SELECT %d", db);
            cr_expect(flow_call_int(both[i], "DBSIZE") == keys[db], "db %d of server %zu", db, i);
        }
}
