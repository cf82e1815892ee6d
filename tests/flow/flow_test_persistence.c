// SPDX-License-Identifier: Apache-2.0
// What is saved comes back: RDB, AOF in both forms, kills, copies, moves; with equal digests and the
// same version, and alive afterwards.
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_payload.h"
#include "flow_traffic.h"
#include "tests/support/support_home.h"

TestSuite(persistence, .fini = flow_harness_end, .timeout = 180);

enum { FLOW_PERSISTENCE_POOLS = 3 };

// Two pools in db 0 and one in db 1.
static const struct {
    const char *key;
    int db;
    const char *options;
} three_pools[FLOW_PERSISTENCE_POOLS] = {{"a", 0, "PREDICT 1000000"},
                                         {"b{\r\n}", 0, "OVERLAP 2 HOST 0.5 LEASE 0"},
                                         {"c", 1, "TEMPERATURE 0.5 REQUESTS 1"}};

static struct flow_traffic traffic[FLOW_PERSISTENCE_POOLS];

struct flow_state {
    struct flow_digest digest[FLOW_PERSISTENCE_POOLS], debug[FLOW_PERSISTENCE_POOLS];
    int64_t version[FLOW_PERSISTENCE_POOLS];
};

static void start_pools(struct flow_conn *c) {
    for (int i = 0; i < FLOW_PERSISTENCE_POOLS; i++) {
        flow_call_ok(c, "SELECT %d", three_pools[i].db);
        flow_traffic_start(&traffic[i], c, three_pools[i].key, three_pools[i].options);
    }
}

static void run_pools(struct flow_conn *c, int steps) {
    for (int i = 0; i < FLOW_PERSISTENCE_POOLS; i++) {
        flow_call_ok(c, "SELECT %d", three_pools[i].db);
        flow_traffic_run(&traffic[i], c, steps);
    }
}

static void look(struct flow_conn *c, struct flow_state *s) {
    for (int i = 0; i < FLOW_PERSISTENCE_POOLS; i++) {
        flow_call_ok(c, "SELECT %d", three_pools[i].db);
        s->digest[i] = flow_pool_digest(c, three_pools[i].key);
        s->debug[i] = flow_debug_digest(c, three_pools[i].key);
        s->version[i] = flow_pool_info(c, three_pools[i].key, "version");
    }
}

static void expect_state(struct flow_conn *c, const struct flow_state *want, const char *after) {
    struct flow_state now;
    look(c, &now);
    for (int i = 0; i < FLOW_PERSISTENCE_POOLS; i++) {
        cr_assert(flow_same_digest(now.digest[i], want->digest[i]), "the digest of %d after %s", i,
                  after);
        cr_assert(flow_same_digest(now.debug[i], want->debug[i]), "DIGEST-VALUE of %d after %s", i,
                  after);
        cr_assert(now.version[i] == want->version[i], "the version of %d after %s", i, after);
    }
    int64_t keys = 0;
    for (int db = 0; db < 3; db++) {
        flow_call_ok(c, "SELECT %d", db);
        keys += flow_call_int(c, "DBSIZE");
    }
    cr_assert(keys == FLOW_PERSISTENCE_POOLS, "%s left %d keys", after, (int)keys);
}

static bool no_save_runs(void *ctx) {
    return flow_server_info(ctx, "persistence", "rdb_bgsave_in_progress") == 0;
}

static void expect_status(struct flow_conn *c, const char *field) {
    char text[32];
    flow_server_info_text(c, "persistence", field, text, sizeof text);
    cr_assert_str_eq(text, "ok", "%s: %s", field, text);
}

Test(persistence, rdb) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_state before;
    start_pools(s->conn);
    for (int round = 0; round < 3; round++) {
        run_pools(s->conn, 700);
        look(s->conn, &before);
        flow_call_ok(s->conn, "DEBUG RELOAD");
        expect_state(s->conn, &before, "DEBUG RELOAD");
        flow_call_ok(s->conn, "SAVE");
        flow_server_restart(s);
        expect_state(s->conn, &before, "SAVE and a kill");
    }
    // A background save under traffic holds the state of its moment.
    look(s->conn, &before);
    flow_call_kind(s->conn, FLOW_REPLY_STATUS, "BGSAVE");
    run_pools(s->conn, 300);
    flow_wait_until(no_save_runs, s->conn, "BGSAVE is through");
    expect_status(s->conn, "rdb_last_bgsave_status");
    flow_server_restart(s);
    expect_state(s->conn, &before, "BGSAVE under traffic");
    for (int i = 0; i < FLOW_PERSISTENCE_POOLS; i++)
        traffic[i].version = 0; // what came after the save is lost
    run_pools(s->conn, 300);
}

static void test_aof(const char *preamble) {
    const char *extra[] = {
        "--appendonly", "yes", "--appendfsync", "always", "--aof-use-rdb-preamble", preamble, NULL};
    struct flow_server *s = flow_server_start(extra);
    struct flow_state before;
    start_pools(s->conn);
    for (int round = 0; round < 2; round++) {
        run_pools(s->conn, 400);
        look(s->conn, &before);
        flow_call_ok(s->conn, "DEBUG LOADAOF");
        expect_state(s->conn, &before, "DEBUG LOADAOF");
        run_pools(s->conn, 200);
        look(s->conn, &before);
        flow_server_restart(s);
        expect_state(s->conn, &before, "a kill");
        run_pools(s->conn, 200);

        // Rewritten while traffic goes on: base and increment together are the state.
        flow_call_kind(s->conn, FLOW_REPLY_STATUS, "BGREWRITEAOF");
        run_pools(s->conn, 400);
        flow_wait_until(flow_no_rewrite, s->conn, "the rewrite is through");
        expect_status(s->conn, "aof_last_bgrewrite_status");
        run_pools(s->conn, 100);
        look(s->conn, &before);
        flow_server_restart(s);
        expect_state(s->conn, &before, "BGREWRITEAOF under traffic and a kill");
        flow_call_ok(s->conn, "DEBUG RELOAD");
        expect_state(s->conn, &before, "DEBUG RELOAD");
        flow_server_kill(s, SIGTERM);
        flow_server_restart(s);
        expect_state(s->conn, &before, "an orderly end");
    }
}

Test(persistence, aof_with_preamble) {
    test_aof("yes");
}

Test(persistence, aof_without_preamble) {
    test_aof("no");
}

Test(persistence, a_big_pool_in_many_chunks) {
    struct flow_server *s = flow_server_start(flow_with_aof);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    enum { FLOW_PERSISTENCE_CHAIN = 2000 };
    static uint64_t chain[FLOW_PERSISTENCE_CHAIN];
    struct flow_rng rng = {flow_test_seed()};
    for (int w = 0; w < 20; w++) {
        flow_expect_int(c, 1, "KVROUTE.WORKER SET p w%d", w);
        for (int e = 1; e <= 10; e++) {
            for (int i = e % 2 ? 0 : FLOW_PERSISTENCE_CHAIN / 2; i < FLOW_PERSISTENCE_CHAIN; i++)
                chain[i] = flow_rng_next(&rng);
            flow_expect_int(c, e, "KVROUTE.EVENT p w%d 0 1 %d STORED - HASHES %b", w, e, chain,
                            sizeof chain);
        }
    }
    for (int i = 0; i < 500; i++)
        flow_call(c, "KVROUTE.SELECT p r%d HASHES %b", i, chain, (size_t)(8 * (i + 1)));
    cr_assert(flow_pool_info(c, "p", "holdings") >= 300000);
    struct flow_digest before = flow_pool_digest(c, "p");
    flow_rewrite_aof(c);
    expect_status(c, "aof_last_bgrewrite_status");
    flow_server_restart(s);
    c = s->conn;
    cr_assert(flow_same_digest(before, flow_pool_digest(c, "p")), "after the AOF");
    flow_call_ok(c, "DEBUG RELOAD");
    cr_assert(flow_same_digest(before, flow_pool_digest(c, "p")), "after the RDB");
    flow_expect_int(c, 1, "COPY p q");
    cr_assert(flow_same_digest(before, flow_pool_digest(c, "q")), "after COPY");
    struct flow_payload dump = flow_payload_dump(c, "p");
    flow_call_ok(c, "RESTORE r 0 %b", dump.bytes, dump.n);
    flow_payload_free(&dump);
    cr_assert(flow_same_digest(before, flow_pool_digest(c, "r")), "after RESTORE");
}

Test(persistence, copy_dump_move_rename) {
    struct flow_server *s = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    struct flow_traffic t;
    flow_traffic_start(&t, c, "p", "PREDICT 1000000");
    flow_traffic_run(&t, c, 1000);
    struct flow_digest d = flow_pool_digest(c, "p");
    int64_t version = flow_pool_info(c, "p", "version");

    flow_expect_int(c, 1, "COPY p copy");
    flow_expect_int(c, 0, "COPY p copy");
    flow_expect_int(c, 1, "COPY p copy REPLACE");
    flow_expect_int(c, 1, "COPY p far DB 2");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "copy")));
    flow_expect_version(c, "copy", version);
    // A copy is a pool of its own.
    flow_call(c, "KVROUTE.WORKER SET copy another");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "p")));
    cr_expect(!flow_same_digest(d, flow_pool_digest(c, "copy")));

    struct flow_payload dump = flow_payload_dump(c, "p");
    flow_call_ok(c, "RESTORE restored 0 %b", dump.bytes, dump.n);
    flow_expect_error(c, "BUSYKEY", "RESTORE restored 0 %b", dump.bytes, dump.n);
    cr_expect(flow_same_digest(flow_debug_digest(c, "p"), flow_debug_digest(c, "restored")));
    flow_call_ok(c, "RESTORE restored 100000 %b REPLACE", dump.bytes, dump.n);
    flow_payload_free(&dump);
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "restored")));
    flow_expect_version(c, "restored", version);

    flow_call_ok(c, "RENAME p renamed");
    flow_expect_error(c, "NOPOOL", "KVROUTE.INFO p");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "renamed")));
    flow_expect_int(c, 1, "MOVE renamed 1");
    flow_expect_error(c, "NOPOOL", "KVROUTE.INFO renamed");
    flow_call_ok(c, "SELECT 1");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "renamed")));
    t.key = "renamed";
    flow_traffic_run(&t, c, 200);
    flow_call_ok(c, "SELECT 2");
    cr_expect(flow_same_digest(d, flow_pool_digest(c, "far")));
    flow_call_ok(c, "RENAME far far2");
    flow_call_ok(c, "SWAPDB 1 2");
    cr_expect(!flow_same_digest(d, flow_pool_digest(c, "renamed")));
    flow_traffic_run(&t, c, 200);
    struct flow_digest there = flow_pool_digest(c, "renamed");
    flow_call_ok(c, "DEBUG RELOAD");
    cr_expect(flow_same_digest(there, flow_pool_digest(c, "renamed")));
    flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
    flow_call_ok(replica->conn, "SELECT 2");
    cr_expect(flow_same_digest(there, flow_pool_digest(replica->conn, "renamed")));
    flow_call_ok(replica->conn, "SELECT 1");
    cr_expect(flow_same_digest(d, flow_pool_digest(replica->conn, "far2")));
    flow_call_ok(replica->conn, "SELECT 0");
    cr_expect(flow_same_digest(d, flow_pool_digest(replica->conn, "restored")));
    cr_expect(!flow_same_digest(d, flow_pool_digest(replica->conn, "copy")));
}

// Asks the server and none of its keys: a command that names the pool would tell where it is.
static bool leases_have_ended(void *ctx) {
    return flow_server_info(ctx, "kvroute", "kvroute_requests") == 0;
}

// Leases end wherever the pool has gone in the meantime.
Test(persistence, leases_end_after_every_move) {
    struct flow_conn *c = flow_server_start(NULL)->conn;
    enum { FLOW_PERSISTENCE_LEASES = 30 };
    static const struct {
        const char *command;
        int pools; // that are there afterwards
    } moves[] = {
        {"PING", 1},         {"RENAME p moved", 1},   {"COPY p q", 2},   {"MOVE p 1", 1},
        {"SWAPDB 0 1", 1},   {"COPY p q DB 2", 2},    {"RENAME p q", 1}, {"DEBUG RELOAD", 1},
        {"RENAMENX p q", 1}, {"COPY p q REPLACE", 2},
    };
    for (size_t i = 0; i < sizeof moves / sizeof *moves; i++) {
        flow_call_ok(c, "FLUSHALL");
        flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
        flow_call(c, "KVROUTE.WORKER SET p w");
        for (int k = 0; k < FLOW_PERSISTENCE_LEASES; k++)
            flow_call(c, "KVROUTE.SELECT p r%d IDS 1 %d LEASE 500", k, k);
        cr_assert(flow_call(c, moves[i].command)->kind != FLOW_REPLY_ERROR, "%s", moves[i].command);
        cr_expect(flow_server_info(c, "kvroute", "kvroute_requests") ==
                  FLOW_PERSISTENCE_LEASES * moves[i].pools);
        flow_wait_until(leases_have_ended, c, moves[i].command);
    }
}

Test(persistence, flushed_and_swapped) {
    struct flow_server *s = flow_server_start(NULL), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    static const char *const flushes[] = {"FLUSHALL ASYNC", "FLUSHALL SYNC", "FLUSHDB ASYNC",
                                          "DEL p",          "UNLINK p",      "FLUSHALL ASYNC"};
    struct flow_traffic t;
    for (size_t i = 0; i < sizeof flushes / sizeof *flushes; i++) {
        flow_traffic_start(&t, c, "p", "LEASE 100");
        t.lease = 60;
        flow_traffic_run(&t, c, 400);
        cr_assert(flow_call(c, flushes[i])->kind != FLOW_REPLY_ERROR);
        flow_expect_error(c, "NOPOOL", "KVROUTE.INFO p");
        // A namesake starts empty, whatever is still being freed.
        flow_traffic_start(&t, c, "p", "LEASE 0");
        cr_expect(flow_pool_info(c, "p", "holdings") == 0);
        flow_traffic_run(&t, c, 100);
        flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
        cr_expect(flow_same_digest(flow_pool_digest(c, "p"), flow_pool_digest(replica->conn, "p")),
                  "%s", flushes[i]);
        flow_expect_int(c, 1, "DEL p");
    }
    // Two pools of one name in two dbs change places.
    flow_traffic_start(&t, c, "p", "");
    flow_traffic_run(&t, c, 300);
    struct flow_digest first = flow_pool_digest(c, "p");
    flow_call_ok(c, "SELECT 1");
    flow_call_ok(c, "KVROUTE.CREATE p");
    struct flow_digest second = flow_pool_digest(c, "p");
    flow_call_ok(c, "SWAPDB 0 1");
    cr_expect(flow_same_digest(first, flow_pool_digest(c, "p")));
    flow_call_ok(c, "SELECT 0");
    cr_expect(flow_same_digest(second, flow_pool_digest(c, "p")));
    flow_expect_int(c, 1, "WAIT 1 %d", FLOW_PATIENCE_MS);
    cr_expect(flow_same_digest(second, flow_pool_digest(replica->conn, "p")));
    cr_expect(flow_server_info(c, "kvroute", "kvroute_pools") == 2);
}

// ---- What the AOF says ---------------------------------------------------------------------------

struct flow_words {
    char *text;
    size_t n;
};

static struct flow_words read_file(const char *dir, const char *suffix) {
    struct flow_words w = {NULL, 0};
    DIR *d = opendir(dir);
    cr_assert(d, "no %s", dir);
    for (struct dirent *e; (e = readdir(d));) {
        size_t n = strlen(e->d_name), m = strlen(suffix);
        if (n < m || strcmp(e->d_name + n - m, suffix) != 0) continue;
        char path[800];
        snprintf(path, sizeof path, "%s/%s", dir, e->d_name);
        FILE *f = fopen(path, "rb");
        cr_assert(f);
        fseek(f, 0, SEEK_END);
        size_t size = (size_t)ftell(f);
        rewind(f);
        w.text = realloc(w.text, w.n + size + 1);
        cr_assert(fread(w.text + w.n, 1, size, f) == size);
        w.n += size;
        fclose(f);
    }
    closedir(d);
    return w;
}

static bool has_word(const struct flow_reply *r, const char *word) {
    for (size_t i = 0; i < r->count; i++)
        if (strcmp(r->items[i].bytes, word) == 0) return true;
    return false;
}

// Requests that have put something out since they were booked last, by what an AOF says.
struct flow_started {
    char ids[400][40];
    size_t n;
};

static bool has_started(const struct flow_started *s, const char *id, size_t *at) {
    for (*at = 0; *at < s->n; ++*at)
        if (strcmp(s->ids[*at], id) == 0) return true;
    return false;
}

static void follow_request(struct flow_started *s, const struct flow_reply *effect) {
    const char *id = effect->items[2].bytes;
    size_t at;
    bool known = has_started(s, id, &at);
    if (known && strcmp(effect->items[0].bytes, "KVROUTE.CLAIM") == 0) {
        s->n--;
        if (at < s->n) strcpy(s->ids[at], s->ids[s->n]);
        known = false;
    }
    for (size_t i = 3; i + 1 < effect->count && !known; i++)
        if (strcmp(effect->items[i].bytes, "OUTPUT") == 0 &&
            strcmp(effect->items[i + 1].bytes, "0") != 0) {
            cr_assert(s->n < sizeof s->ids / sizeof *s->ids && strlen(id) < sizeof *s->ids);
            strcpy(s->ids[s->n++], id);
            return;
        }
}

Test(persistence, the_aof_holds_effects_with_absolute_times) {
    enum { FLOW_PERSISTENCE_LAPSING = 100, FLOW_PERSISTENCE_TOLD = 40 };
    static const char *const extra[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};
    struct flow_server *s = flow_server_start(extra);
    struct flow_conn *c = s->conn;
    int64_t began = flow_clock_ms();
    struct flow_traffic t;
    flow_traffic_start(&t, c, "p", "PREDICT 60 LEASE 60 TEMPERATURE 1 SESSIONTTL 60");
    t.lease = 30;
    flow_traffic_run(&t, c, 1500);
    flow_call(c, "KVROUTE.WORKER SET p told");
    // However fast the traffic was, so many leases run out and so many sessions are forgotten.
    for (int i = 0; i < FLOW_PERSISTENCE_LAPSING; i++)
        flow_call_kind(c, FLOW_REPLY_ARRAY,
                       "KVROUTE.SELECT p lapsing-%d IDS 1 1 LEASE 30 AMONG 1 told SESSION s-%d", i,
                       i);
    flow_wait_info(c, "requests", 0);
    flow_wait_info(c, "sessions", 0);
    for (int i = 0; i < FLOW_PERSISTENCE_TOLD; i++) { // half of them with something put out
        flow_call(c, "KVROUTE.SELECT p told-%d IDS 1 1 LEASE 100000 AMONG 1 told", i);
        if (i % 2) flow_call(c, "KVROUTE.UPDATE p told-%d PREFILLED OUTPUT 9", i);
        flow_expect_int(c, 1, "KVROUTE.RELEASE p told-%d", i);
    }
    // And one that has put something out, and is booked anew before any other has.
    flow_call(c, "KVROUTE.SELECT p again IDS 1 1 LEASE 100000 AMONG 1 told");
    flow_call(c, "KVROUTE.UPDATE p again PREFILLED OUTPUT 9");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p again");
    flow_call(c, "KVROUTE.SELECT p again IDS 1 1 LEASE 100000 AMONG 1 told");
    flow_expect_int(c, 1, "KVROUTE.RELEASE p again");
    flow_call(c, "KVROUTE.SELECT p last IDS 0");
    char dir[400];
    snprintf(dir, sizeof dir, "%s/appendonlydir", s->redis.dir);
    struct flow_words w = read_file(dir, ".incr.aof");
    int64_t ended = flow_clock_ms();

    static const char *const allowed[] = {
        "KVROUTE.CREATE", "KVROUTE.ALTER",   "KVROUTE.WORKER",  "KVROUTE.EVENT", "KVROUTE.CLAIM",
        "KVROUTE.UPDATE", "KVROUTE.RELEASE", "KVROUTE.FORGET",  "SELECT",        "MULTI",
        "EXEC",           "KVROUTE.REPORT",  "KVROUTE.SESSION",
    };
    static struct flow_started started;
    size_t claims = 0, lapses = 0, forgotten = 0, told = 0, untimed = 0;
    for (size_t at = 0; at < w.n;) {
        struct flow_reply r;
        long took = flow_reply_parse(w.text + at, w.n - at, &r);
        cr_assert(took > 0 && r.kind == FLOW_REPLY_ARRAY && r.count > 0);
        const char *name = r.items[0].bytes;
        bool known = false;
        for (size_t i = 0; i < sizeof allowed / sizeof *allowed; i++)
            known |= strcmp(name, allowed[i]) == 0;
        cr_assert(known, "%s in the AOF", name);
        if (strcmp(name, "KVROUTE.CLAIM") == 0 || strcmp(name, "KVROUTE.UPDATE") == 0)
            follow_request(&started, &r);
        bool released = strcmp(name, "KVROUTE.RELEASE") == 0;
        const char *how = r.items[r.count < 2 ? 0 : r.count - 2].bytes;
        if (released && strcmp(how, "AT") != 0 && strcmp(how, "LAPSED") != 0) {
            // Nobody needs to know when it ended, as nothing had come out. One of two may be over already.
            size_t at_work = 0, place;
            for (size_t i = 2; i < r.count; i++)
                at_work += has_started(&started, r.items[i].bytes, &place);
            cr_assert((r.count == 3 || r.count == 4) && at_work < r.count - 2, "no time");
            untimed++;
        } else if (released) { // how it ended, and when
            int64_t at_ms = strtoll(r.items[r.count - 1].bytes, NULL, 10);
            cr_assert(r.count > 4 && at_ms >= began - 1000 && at_ms <= ended + 1000);
            bool lapsed = strcmp(how, "LAPSED") == 0;
            lapses += lapsed ? r.count - 4 : 0; // one effect may end many
            told += !lapsed;
        }
        if (strcmp(name, "KVROUTE.SESSION") == 0) forgotten += r.count - 3;
        if (strcmp(name, "KVROUTE.CLAIM") == 0) {
            bool timed = false;
            for (size_t i = 0; i + 1 < r.count; i++) {
                if (strcmp(r.items[i].bytes, "CREATED") != 0) continue;
                int64_t at_ms = strtoll(r.items[i + 1].bytes, NULL, 10);
                timed = at_ms >= began - 1000 && at_ms <= ended + 1000;
            }
            cr_assert(timed, "a CLAIM without its time");
            cr_assert(!has_word(&r, "TEMPERATURE"));
            claims++;
        }
        flow_reply_clear(&r);
        at += (size_t)took;
    }
    free(w.text);
    cr_expect(claims > FLOW_PERSISTENCE_LAPSING + FLOW_PERSISTENCE_TOLD);
    cr_expect(lapses >= FLOW_PERSISTENCE_LAPSING && forgotten >= FLOW_PERSISTENCE_LAPSING);
    cr_expect(untimed >= FLOW_PERSISTENCE_TOLD / 2 && told >= FLOW_PERSISTENCE_TOLD / 2);
}

Test(persistence, what_changes_nothing_leaves_no_trace) {
    static const char *const extra[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};
    struct flow_conn *c = flow_server_start(extra)->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    flow_call_int(c, "KVROUTE.WORKER SET p w");
    flow_call(c, "KVROUTE.SELECT p live IDS 0");
    static const char *const commands[] = {
        "KVROUTE.SELECT p live IDS 0",
        "KVROUTE.SELECT p other IDS 0 AMONG 0",
        "KVROUTE.CLAIM p live w 0 IDS 0",
        "KVROUTE.CLAIM p other nosuch 0 IDS 0",
        "KVROUTE.RELEASE p nosuch",
        "KVROUTE.SESSION DEL p nosuch",
        "KVROUTE.UPDATE p nosuch PREFILLED",
        "KVROUTE.EVENT p w 0 1 99999 CLEARED",
        "KVROUTE.EVENT p w 0 1 1 STORED 00000000000000ff IDS 1 1",
        "KVROUTE.WORKER DEL p nosuch",
        "KVROUTE.WORKER SET p w RANKS 0",
        "KVROUTE.ALTER p LEASE -1",
        "KVROUTE.CREATE p",
        "KVROUTE.SCORE p IDS 0",
        "KVROUTE.EXPLAIN p IDS 2 1 2 PAIR",
        "KVROUTE.DECISIONS ON p 5",
        "KVROUTE.DECISIONS GET p",
        "KVROUTE.DECISIONS OFF p",
        "KVROUTE.INFO p",
        "KVROUTE.DIGEST p",
        "KVROUTE.TREE p",
        "KVROUTE.WORKER LIST p",
        "KVROUTE.REQUEST LIST p",
    };
    int64_t size = flow_server_info(c, "persistence", "aof_current_size");
    int64_t dirty = flow_server_info(c, "persistence", "rdb_changes_since_last_save");
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++) {
        flow_call(c, commands[i]);
        cr_expect(flow_server_info(c, "persistence", "aof_current_size") == size, "%s",
                  commands[i]);
        cr_expect(flow_server_info(c, "persistence", "rdb_changes_since_last_save") == dirty, "%s",
                  commands[i]);
    }
}

// A reload renews: what ended while the server was away must not count against anyone.
Test(persistence, a_restart_renews_leases_and_workers) {
    static const char *const extra[] = {"--appendonly", "yes", "--appendfsync", "always", NULL};
    struct flow_server *s = flow_server_start(extra);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1 WORKERTTL 3000 WORKERGRACE 3000");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    for (int i = 0; i < 5; i++)
        flow_call(c, "KVROUTE.SELECT p r%d IDS 1 1 LEASE 3000", i);
    struct flow_digest before = flow_pool_digest(c, "p");
    flow_server_kill(s, SIGKILL);
    support_sleep_ms(3500);
    flow_server_restart(s);
    c = s->conn;
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    const struct flow_reply *w = flow_call(c, "KVROUTE.WORKER GET p w");
    cr_expect_str_eq(flow_map_str(w, "state"), "ready");
    int64_t left = flow_map_int(w, "ttl_left");
    cr_expect(left > 0 && left <= 3000);
    left = flow_map_int(flow_call(c, "KVROUTE.REQUEST GET p r0"), "lease_left");
    cr_expect(left > 0 && left <= 3000);
}

// Its earlier answer is a request's own, wherever its pool has been.
// A copy has the time that its original has left, also where a reload has renewed it.
Test(persistence, a_copy_has_as_long_to_live) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_call_int(c, "KVROUTE.WORKER SET p w TTL 600000");
    support_sleep_ms(2000);
    flow_call_ok(c, "DEBUG RELOAD");
    flow_expect_int(c, 1, "COPY p q");
    int64_t copied = flow_map_int(flow_call(c, "KVROUTE.WORKER GET q w"), "ttl_left");
    int64_t own = flow_map_int(flow_call(c, "KVROUTE.WORKER GET p w"), "ttl_left");
    cr_expect(copied > own - 1000, "%ld ms left of %ld", (long)copied, (long)own);
}

Test(persistence, a_repeat_is_answered_alike_after_a_reload) {
    static const char *const extra[] = {
        "--appendonly", "yes", "--aof-use-rdb-preamble", "no", "--appendfsync", "always", NULL};
    struct flow_server *s = flow_server_start(extra), *replica = flow_server_start(NULL);
    flow_server_replica_of(replica, s);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 4");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w ADDR here");
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 8 1 2 3 4 5 6 7 8");
    const struct flow_reply *r =
        flow_call(c, "KVROUTE.SELECT p r IDS 12 1 2 3 4 5 6 7 8 9 9 9 9 ISL 6 OVERLAP 0.3");
    double cost = flow_map_real(r, "cost");
    cr_assert(flow_map_int(r, "overlap") == 2 && flow_map_int(r, "cached") == 6);
    static const char *const ways[] = {"DEBUG RELOAD", "DEBUG LOADAOF", "a restart", "a promotion"};
    for (int i = 0; i < 4; i++) {
        if (i < 2) {
            flow_call(c, ways[i]);
        } else if (i == 2) {
            flow_server_restart(s);
            c = s->conn;
        } else {
            flow_server_wait_link(replica, s);
            flow_call_ok(replica->conn, "REPLICAOF NO ONE");
            c = replica->conn;
        }
        r = flow_call(c, "KVROUTE.SELECT p r IDS 1 1");
        cr_assert(flow_map_int(r, "repeat") == 1, "%s", ways[i]);
        cr_expect_str_eq(flow_map_str(r, "worker"), "w");
        cr_expect_str_eq(flow_map_str(r, "addr"), "here");
        cr_expect(flow_map_int(r, "cached") == 6, "%s", ways[i]);
        cr_expect(flow_map_int(r, "blocks") == 3, "%s", ways[i]);
        cr_expect(flow_map_int(r, "overlap") == 2, "overlap after %s: %d", ways[i],
                  (int)flow_map_int(r, "overlap"));
        cr_expect(flow_map_real(r, "cost") == cost, "cost after %s: %g, was %g", ways[i],
                  flow_map_real(r, "cost"), cost);
    }
}
