// SPDX-License-Identifier: Apache-2.0
// CREATE, ALTER, INFO, DIGEST, and what every command says without a pool.
#include <criterion/criterion.h>
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_harness.h"

TestSuite(pool, .fini = flow_harness_end, .timeout = 120);

struct flow_option {
    const char *name;
    double by_default;
    const char *other; // a valid value that isn't the default
};

// Options with a number; POLICY is the one without.
static const struct flow_option numbers[] = {
    {"BLOCKSIZE", 16, "32"},      {"OVERLAP", 1, "2.5"},      {"PREFILL", 1, "0.5"},
    {"REQUESTS", 0, "3"},         {"HOST", 0.75, "0.5"},      {"DISK", 0.25, "0.125"},
    {"TEMPERATURE", 0, "0.25"},   {"LEASE", 300000, "60000"}, {"WORKERTTL", 0, "30000"},
    {"WORKERGRACE", 600000, "0"}, {"PREDICT", 0, "5000"},     {"SESSIONTTL", 600000, "0"},
    {"MAXREQUESTS", 0, "5"},      {"MAXPREFILL", 0, "7"},     {"MAXBLOCKS", 0, "90"},
    {"MAXWAITING", 10000, "0"},   {"ACCEPT", 5000, "1"},      {"SLOTTFT", 2000, "1"},
    {"SLOTBT", 100, "1"},         {"STICK", 0, "12.5"},
};
enum { FLOW_POOL_NUMBERS = sizeof numbers / sizeof *numbers };

// INFO's name of an option: its own in lower case, unless that is taken.
static const char *info_field(const char *option) {
    static char name[32];
    if (strcmp(option, "BLOCKSIZE") == 0) return "block_size";
    if (strcmp(option, "REQUESTS") == 0) return "requests_weight";
    size_t n = 0;
    for (; option[n]; n++)
        name[n] = (char)tolower((unsigned char)option[n]);
    name[n] = 0;
    return name;
}

static double number(const struct flow_reply *info, const char *option) {
    const struct flow_reply *r = flow_map_get(info, info_field(option));
    return r->kind == FLOW_REPLY_INTEGER ? (double)r->integer : flow_real_of(r);
}

Test(pool, created_with_defaults) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "KVROUTE.CREATE p");
    const struct flow_reply *info = flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.INFO p");
    for (size_t i = 0; i < FLOW_POOL_NUMBERS; i++)
        cr_expect(number(info, numbers[i].name) == numbers[i].by_default, "%s", numbers[i].name);
    cr_expect_str_eq(flow_map_str(info, "policy"), "delay");
    static const char *const counters[] = {
        "workers",          "instances",       "eligible",       "blocks",
        "holdings",         "predicted",       "requests",       "selects",
        "repeats",          "select_blocks",   "overlap_blocks", "events",
        "stored_blocks",    "removed_blocks",  "gaps",           "stale",
        "expired_requests", "expired_workers", "sessions",       "expected_blocks",
        "waiting",          "waiting_tokens",  "admitted",       "refused",
        "limited",
    };
    for (size_t i = 0; i < sizeof counters / sizeof *counters; i++)
        cr_expect(flow_map_int(info, counters[i]) == 0, "%s", counters[i]);
    cr_expect(flow_map_int(info, "memory_bytes") > 0);
    cr_expect(flow_map_int(info, "version") >= 0);
}

Test(pool, created_with_each_option) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    struct flow_args a = {0};
    flow_args_words(&a, "KVROUTE.CREATE all POLICY linear");
    for (size_t i = 0; i < FLOW_POOL_NUMBERS; i++) {
        flow_call_ok(c, "KVROUTE.CREATE p%d %s %s", (int)i, numbers[i].name, numbers[i].other);
        char key[16];
        snprintf(key, sizeof key, "p%d", (int)i);
        const struct flow_reply *info = flow_call(c, "KVROUTE.INFO %s", key);
        for (size_t k = 0; k < FLOW_POOL_NUMBERS; k++) {
            double want = k == i ? strtod(numbers[i].other, NULL) : numbers[k].by_default;
            cr_expect(number(info, numbers[k].name) == want, "%s with %s given", numbers[k].name,
                      numbers[i].name);
        }
        flow_args_words(&a, numbers[i].name);
        flow_args_words(&a, numbers[i].other);
    }
    cr_assert(flow_call_args(c, &a)->kind == FLOW_REPLY_STATUS);
    flow_args_clear(&a);
    const struct flow_reply *info = flow_call(c, "KVROUTE.INFO all");
    for (size_t k = 0; k < FLOW_POOL_NUMBERS; k++)
        cr_expect(number(info, numbers[k].name) == strtod(numbers[k].other, NULL));
    flow_call_ok(c, "kvroute.create lower blocksize 8 policy LINEAR");
    cr_expect(flow_pool_info(c, "lower", "block_size") == 8);
}

Test(pool, refuses_bad_options) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    flow_expect_refused(c, "KVROUTE.CREATE p",
                        "BLOCKSIZE|BLOCKSIZE 0|BLOCKSIZE 4097|BLOCKSIZE -1|BLOCKSIZE x|"
                        "BLOCKSIZE 1.5|BLOCKSIZE 16x|BLOCKSIZE 99999999999999999999|POLICY|"
                        "POLICY nosuch|OVERLAP -1|OVERLAP nan|OVERLAP inf|OVERLAP x|"
                        "OVERLAP 1e300|PREFILL -0.5|REQUESTS -1|REQUESTS -inf|HOST -0.1|HOST 1.5|"
                        "DISK 2|DISK nan|TEMPERATURE -1|TEMPERATURE nan|LEASE -1|LEASE x|"
                        "LEASE 9223372036854775807|WORKERTTL -5|WORKERGRACE -1|PREDICT -1|"
                        "PREDICT 1e3|NOSUCH 1|BLOCKSIZE 16 LEASE");
    flow_expect_int(c, 0, "EXISTS p");
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 4096");
    flow_expect_error(c, "EXISTS", "KVROUTE.CREATE p");
    flow_expect_error(c, "EXISTS", "KVROUTE.CREATE p BLOCKSIZE 4");
    cr_expect(flow_pool_info(c, "p", "block_size") == 4096);
    flow_expect_error(c, "ERR", "KVROUTE.CREATE");
}

// An error says where the fault is, by an option's name or an argument's number, and nothing that was sent.
Test(pool, errors_say_where) {
    static const struct {
        const char *call, *error;
    } cases[] = {
        {"KVROUTE.CREATE q NOSUCH 1", "ERR syntax error at argument 2"},
        {"KVROUTE.CREATE q BLOCKSIZE", "ERR BLOCKSIZE: an argument is missing"},
        {"KVROUTE.CREATE q BLOCKSIZE x", "ERR BLOCKSIZE: value is not a number"},
        {"KVROUTE.CREATE q BLOCKSIZE 16 LEASE -1", "ERR LEASE: value is not a number"},
        {"KVROUTE.CREATE q BLOCKSIZE 4097", "ERR BLOCKSIZE: value is out of range"},
        {"KVROUTE.CREATE q POLICY nosuch", "ERR POLICY: no such policy"},
        {"KVROUTE.CREATE q LEASE 1 lease 1", "ERR LEASE: an option is given twice"},
        {"KVROUTE.WORKER SET p w STATE nosuch", "ERR STATE: syntax error"},
        {"KVROUTE.WORKER SET p w ADR here", "ERR syntax error at argument 4"},
        {"KVROUTE.REPORT p w FINE", "ERR syntax error at argument 3"},
        {"KVROUTE.SELECT p r IDS 1 1 POLICE delay", "ERR syntax error at argument 6"},
        {"KVROUTE.SELECT p r IDS 2 1", "ERR fewer token ids than announced"},
    };
    struct flow_conn *c = flow_start_pool("");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct flow_reply *r = flow_call_words(c, cases[i].call, "");
        cr_expect(r->kind == FLOW_REPLY_ERROR && !strcmp(r->bytes, cases[i].error), "%s: %s",
                  cases[i].call, r->bytes);
    }
}

Test(pool, altered_all_or_nothing) {
    struct flow_conn *c = flow_start_pool("");
    int64_t version = flow_pool_info(c, "p", "version");
    for (size_t i = 1; i < FLOW_POOL_NUMBERS; i++) {
        flow_call_ok(c, "KVROUTE.ALTER p %s %s", numbers[i].name, numbers[i].other);
        cr_expect(number(flow_call(c, "KVROUTE.INFO p"), numbers[i].name) ==
                  strtod(numbers[i].other, NULL));
    }
    flow_call_ok(c, "KVROUTE.ALTER p POLICY linear LEASE 1 OVERLAP 7");
    flow_expect_version(c, "p", version + FLOW_POOL_NUMBERS);
    struct flow_digest before = flow_pool_digest(c, "p");
    flow_expect_error(c, "ERR", "KVROUTE.ALTER p OVERLAP 9 LEASE -1");
    flow_expect_error(c, "ERR", "KVROUTE.ALTER p OVERLAP 9 NOSUCH 1");
    flow_expect_error(c, "ERR", "KVROUTE.ALTER p OVERLAP 9 BLOCKSIZE 8");
    flow_expect_error(c, "ERR", "KVROUTE.ALTER p OVERLAP");
    flow_expect_error(c, "ERR", "KVROUTE.ALTER p");
    flow_expect_error(c, "NOPOOL", "KVROUTE.ALTER nosuch OVERLAP 9");
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    cr_expect(number(flow_call(c, "KVROUTE.INFO p"), "OVERLAP") == 7);
    flow_expect_version(c, "p", version + FLOW_POOL_NUMBERS);
}

// One well-formed call of every command that takes a pool, but for the key.
static const char *const on_a_pool[] = {
    "KVROUTE.ALTER %s LEASE 5",
    "KVROUTE.INFO %s",
    "KVROUTE.DIGEST %s",
    "KVROUTE.WORKER SET %s w",
    "KVROUTE.WORKER DEL %s w",
    "KVROUTE.WORKER GET %s w",
    "KVROUTE.WORKER LIST %s",
    "KVROUTE.EVENT %s w 0 1 1 CLEARED",
    "KVROUTE.SELECT %s r IDS 1 1",
    "KVROUTE.SCORE %s IDS 1 1",
    "KVROUTE.EXPLAIN %s IDS 1 1",
    "KVROUTE.UPDATE %s r PREFILLED",
    "KVROUTE.RELEASE %s r",
    "KVROUTE.CLAIM %s r w 0 IDS 1 1",
    "KVROUTE.REQUEST GET %s r",
    "KVROUTE.REQUEST LIST %s",
    "KVROUTE.TREE %s",
    "KVROUTE.DECISIONS ON %s 5",
    "KVROUTE.DECISIONS OFF %s",
    "KVROUTE.DECISIONS CLEAR %s",
    "KVROUTE.DECISIONS GET %s",
    "KVROUTE.DECISIONS INFO %s",
};
enum { FLOW_POOL_ON_A_POOL = sizeof on_a_pool / sizeof *on_a_pool };

Test(pool, every_command_needs_one) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    flow_call_ok(c, "SET string x");
    for (size_t i = 0; i < FLOW_POOL_ON_A_POOL; i++) {
        for (int held = 0; held < 2; held++) {
            const struct flow_reply *r = flow_call(c, on_a_pool[i], held ? "string" : "nosuch");
            cr_expect(flow_is_error(r, held ? "WRONGTYPE" : "NOPOOL"), "%s: %s", on_a_pool[i],
                      r->bytes ? r->bytes : "no error");
        }
    }
    flow_expect_bulk(c, "x", "GET string");
    flow_expect_int(c, 1, "DBSIZE");
    const struct flow_reply *r = flow_call(c, "KVROUTE.CREATE string");
    cr_expect(flow_is_error(r, "EXISTS") || flow_is_error(r, "WRONGTYPE"));
    flow_call_ok(c, "KVROUTE.CREATE p");
    flow_expect_error(c, "WRONGTYPE", "GET p");
}

Test(pool, digest_knows_state_and_not_history) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_call_ok(c, "KVROUTE.CREATE q BLOCKSIZE 1");
    cr_expect(flow_same_digest(flow_pool_digest(c, "p"), flow_pool_digest(c, "q")),
              "two empty pools");
    cr_expect(flow_same_digest(flow_debug_digest(c, "p"), flow_debug_digest(c, "q")));

    // The same state in another order, with detours.
    flow_call(c, "KVROUTE.WORKER SET p a ADDR x");
    flow_call(c, "KVROUTE.WORKER SET p b RANKS 2");
    flow_call(c, "KVROUTE.EVENT p a 0 1 1 STORED - IDS 4 1 2 3 4 TIER host STORED - IDS 2 1 2");
    flow_call(c, "KVROUTE.EVENT p b 1 7 1 STORED - IDS 2 1 9");
    flow_call(c, "KVROUTE.CLAIM p r1 a 0 IDS 3 1 2 3");

    flow_call(c, "KVROUTE.WORKER SET q gone");
    flow_call(c, "KVROUTE.WORKER SET q b RANKS 5");
    flow_call(c, "KVROUTE.WORKER SET q b RANKS 2");
    flow_call(c, "KVROUTE.EVENT q b 1 7 1 STORED - IDS 2 1 9");
    flow_call(c, "KVROUTE.WORKER SET q a ADDR x");
    flow_call(
        c,
        "KVROUTE.EVENT q a 0 1 1 TIER host STORED - IDS 2 1 2 STORED - IDS 1 1 STORED %s IDS 4 2 "
        "3 4 5"
        " REMOVED HEX %s",
        flow_prefix_of(c, 1, "IDS 1 1").digits, flow_prefix_of(c, 1, "IDS 5 1 2 3 4 5").digits);
    flow_call(c, "KVROUTE.WORKER DEL q gone");
    flow_call(c, "KVROUTE.CLAIM q r1 a 0 IDS 3 1 2 3");
    struct flow_digest same = flow_pool_digest(c, "p");
    cr_expect(flow_same_state(same, flow_pool_digest(c, "q"))); // booked at another time
    cr_expect(flow_same_digest(flow_debug_digest(c, "p"), flow_debug_digest(c, "q")));

    // Reads and statistics are no part of it; anything else is.
    flow_call(c, "KVROUTE.SCORE p IDS 3 1 2 3");
    flow_call(c, "KVROUTE.EVENT p a 0 1 9 CLEARED");
    flow_call(c, "KVROUTE.SELECT p r1 IDS 1 1");
    cr_expect(flow_same_digest(same, flow_pool_digest(c, "p")));
    static const char *const changes[] = {
        "KVROUTE.ALTER p TEMPERATURE 1",
        "KVROUTE.WORKER SET p a ADDR y",
        "KVROUTE.WORKER SET p a STATE draining",
        "KVROUTE.EVENT p b 0 1 1 STORED - IDS 1 1",
        "KVROUTE.EVENT p b 0 1 2 TIER disk STORED - IDS 1 1",
        "KVROUTE.UPDATE p r1 OUTPUT 5",
        "KVROUTE.UPDATE p r1 PREFILLED",
        "KVROUTE.CLAIM p r2 b 0 IDS 1 5",
        "KVROUTE.RELEASE p r1",
        "KVROUTE.WORKER DEL p a",
    };
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        struct flow_digest before = flow_pool_digest(c, "p"),
                           debug_before = flow_debug_digest(c, "p");
        cr_assert(flow_call(c, changes[i])->kind != FLOW_REPLY_ERROR, "%s", changes[i]);
        cr_expect(!flow_same_digest(before, flow_pool_digest(c, "p")), "%s", changes[i]);
        cr_expect(!flow_same_digest(debug_before, flow_debug_digest(c, "p")), "%s", changes[i]);
    }
}

Test(pool, info_under_resp3) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = flow_server_connect(s, 3);
    flow_call_ok(c, "KVROUTE.CREATE p OVERLAP 2.5");
    const struct flow_reply *info = flow_call_kind(c, FLOW_REPLY_MAP, "KVROUTE.INFO p");
    cr_expect(number(info, "OVERLAP") == 2.5);
    cr_expect(flow_map_get(info, info_field("OVERLAP"))->kind == FLOW_REPLY_DOUBLE);
    cr_expect(flow_map_int(info, "workers") == 0);
    flow_call_kind(c, FLOW_REPLY_BULK, "KVROUTE.DIGEST p");
}

Test(pool, info_counts) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_call(c, "KVROUTE.WORKER SET p a RANKS 2");
    flow_call(c, "KVROUTE.WORKER SET p b STATE draining");
    flow_call(c, "KVROUTE.EVENT p a 0 1 1 STORED - IDS 4 1 2 3 4");
    flow_call(c, "KVROUTE.EVENT p a 1 1 1 STORED - IDS 2 1 2 TIER disk STORED - IDS 2 1 2");
    flow_call(c, "KVROUTE.EVENT p a 1 1 2 REMOVED HEX %s",
              flow_prefix_of(c, 1, "IDS 2 1 2").digits);
    flow_call(c, "KVROUTE.EVENT p a 1 1 9 CLEARED");
    flow_call(c, "KVROUTE.EVENT p b 0 5 1 STORED - IDS 1 7");
    flow_call(c, "KVROUTE.EVENT p b 0 4 1 CLEARED");
    flow_call(c, "KVROUTE.SELECT p r IDS 5 1 2 3 4 5");
    flow_call(c, "KVROUTE.SELECT p r IDS 5 1 2 3 4 5");
    const struct flow_reply *i = flow_call(c, "KVROUTE.INFO p");
    static const struct {
        const char *field;
        int64_t want;
    } want[] = {{"workers", 2},       {"instances", 3},      {"eligible", 2}, {"blocks", 5},
                {"holdings", 8},      {"requests", 1},       {"selects", 1},  {"repeats", 1},
                {"select_blocks", 5}, {"overlap_blocks", 4}, {"gaps", 1},     {"stale", 1},
                {"stored_blocks", 9}, {"removed_blocks", 1}, {"predicted", 0}};
    for (size_t k = 0; k < sizeof want / sizeof *want; k++)
        cr_expect(flow_map_int(i, want[k].field) == want[k].want, "%s is %ld", want[k].field,
                  (long)flow_map_int(i, want[k].field));
}
