// SPDX-License-Identifier: Apache-2.0
// HASH, TREE, HELP, and what COMMAND says about every command.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "flow_harness.h"

TestSuite(look, .fini = flow_harness_end, .timeout = 120);

static void expect_hashes(struct flow_conn *c, const char *command, const char *want) {
    const struct flow_reply *r = flow_call(c, command);
    cr_assert(r->kind == FLOW_REPLY_ARRAY, "%s: %s", command, r->bytes ? r->bytes : "");
    char got[400] = "";
    for (size_t i = 0; i < r->count; i++) {
        if (i) strcat(got, " ");
        strncat(got, r->items[i].bytes, 16);
    }
    cr_expect_str_eq(got, want, "%s: %s", command, got);
}

Test(look, published_hash_vectors) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    expect_hashes(c, "KVROUTE.HASH 4 IDS 4 0 1 2 3", "7ee2cbedc694ab46");
    expect_hashes(c, "KVROUTE.HASH 4 IDS 8 0 1 2 3 4 5 6 7", "7ee2cbedc694ab46 83fb702f20e2ad65");
    char text[64];
    snprintf(text, sizeof text, "%016" PRIx64, UINT64_C(9510318385840434533));
    expect_hashes(c, "KVROUTE.HASH 4 IDS 4 4 5 6 7 FROM 7ee2cbedc694ab46", text);
    snprintf(text, sizeof text, "%016" PRIx64, UINT64_C(12124091508212882195));
    expect_hashes(c, "KVROUTE.HASH 4 IDS 5 4 5 6 7 8", text);
    snprintf(text, sizeof text, "%016" PRIx64, UINT64_C(6665157333201000639));
    expect_hashes(c, "KVROUTE.HASH 4 IDS 4 0 1 2 3 LORA adapter-a", text);
    snprintf(text, sizeof text, "%016" PRIx64, UINT64_C(17009624042690211646));
    expect_hashes(c, "KVROUTE.HASH 4 IDS 4 0 1 2 3 NAMESPACE tenant-a", text);
    char command[512] = "KVROUTE.HASH 16 IDS 64";
    for (int i = 0; i < 64; i++)
        snprintf(command + strlen(command), 8, " %d", i);
    expect_hashes(c, command,
                  "d47a8f41c833328a bf15dffb16447f38 a4dda066f3c1e1a0 35f7c0d119848950");
    expect_hashes(c, "KVROUTE.HASH 4 IDS 3 0 1 2", "");
    // An absent name and an empty one are the same, in any order.
    const struct flow_reply *r =
        flow_call(c, "KVROUTE.HASH 4 IDS 4 0 1 2 3 NAMESPACE %s LORA %s", "", "");
    cr_expect_str_eq(r->items[0].bytes, "7ee2cbedc694ab46");
    // The header that publishers use says the same as the module.
    struct flow_rng rng = {flow_test_seed()};
    for (int i = 0; i < 50; i++) {
        uint32_t tokens[200];
        uint64_t want[200], parent = flow_rng_next(&rng);
        for (int k = 0; k < 200; k++)
            tokens[k] = (uint32_t)flow_rng_next(&rng);
        size_t size = 1 + flow_rng_below(&rng, 40), n_tokens = flow_rng_below(&rng, 200);
        bool from = flow_rng_below(&rng, 2);
        uint64_t salt = kvr_hash_salt("ad", 2, "ns", 2);
        size_t n = kvr_hash_tokens(tokens, n_tokens, size, salt, from ? &parent : NULL, want);
        if (from)
            r = flow_call(c, "KVROUTE.HASH %d TOKENS %b LORA ad NAMESPACE ns FROM %b", (int)size,
                          tokens, n_tokens * 4, &parent, (size_t)8);
        else
            r = flow_call(c, "KVROUTE.HASH %d TOKENS %b NAMESPACE ns LORA ad", (int)size, tokens,
                          n_tokens * 4);
        cr_assert(r->kind == FLOW_REPLY_ARRAY && r->count == n);
        for (size_t k = 0; k < n; k++)
            cr_assert(strtoull(r->items[k].bytes, NULL, 16) == want[k]);
    }
    // The chain over block hashes 11, 22, 33, which HASH takes as such.
    uint64_t blocks[] = {11, 22, 33};
    uint64_t chain[] = {11, UINT64_C(750553365844651409), UINT64_C(3257565445809651757)};
    cr_expect(kvr_hash_chain(11, 22) == chain[1]);
    cr_expect(kvr_hash_chain(chain[1], 33) == chain[2]);
    r = flow_call(c, "KVROUTE.HASH 4 HASHES %b", blocks, sizeof blocks);
    cr_assert(r->kind == FLOW_REPLY_ARRAY && r->count == 3);
    for (size_t k = 0; k < 3; k++)
        cr_expect(strtoull(r->items[k].bytes, NULL, 16) == chain[k]);
}

Test(look, hash_takes_each_form_and_refuses_nonsense) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    expect_hashes(c, "KVROUTE.HASH 4 HEX 000000000000000b0000000000000016",
                  "000000000000000b 0a6a804f4424ed91");
    uint64_t one = 1;
    const struct flow_reply *r = flow_call(c, "KVROUTE.HASH 16 HASHES %b", &one, sizeof one);
    cr_expect_str_eq(r->items[0].bytes, "0000000000000001");
    cr_expect(flow_call(c, "KVROUTE.HASH 16 HASHES %s", "")->count == 0);
    cr_expect(flow_call(c, "KVROUTE.HASH 16 IDS 0")->count == 0);
    flow_expect_refused(c, "KVROUTE.HASH",
                        "|4|0 IDS 1 1|4097 IDS 1 1|x IDS 1 1|4 NOSUCH 1 1|4 IDS 1 1 FROM|"
                        "4 IDS 1 1 FROM xyz|4 IDS 1 1 FROM 00000000000000000|4 IDS 1 1 NOSUCH|"
                        "4 IDS 1048577 1|4 IDS 99999999999 1|4 IDS 18446744073709551617 1");
}

static const struct flow_reply *child(const struct flow_reply *runs, size_t i) {
    cr_assert(runs->kind == FLOW_REPLY_ARRAY && i < runs->count);
    return &runs->items[i];
}

Test(look, tree_shows_runs) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *plain = s->conn, *c = flow_server_connect(s, 3);
    flow_call_ok(c, "KVROUTE.CREATE p BLOCKSIZE 1");
    cr_expect(flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.TREE p")->count == 0);
    flow_call(c, "KVROUTE.WORKER SET p a");
    flow_call(c, "KVROUTE.WORKER SET p b RANKS 2");
    flow_call(c, "KVROUTE.EVENT p a 0 1 1 STORED - IDS 6 1 2 3 4 5 6");
    flow_call(c, "KVROUTE.EVENT p b 1 1 1 STORED - IDS 5 1 2 3 7 8 TIER disk STORED - IDS 1 9");
    struct flow_hex first = flow_prefix_of(c, 1, "IDS 1 1"),
                    branch = flow_prefix_of(c, 1, "IDS 4 1 2 3 7");
    struct flow_hex other = flow_prefix_of(c, 1, "IDS 1 9"),
                    inside = flow_prefix_of(c, 1, "IDS 2 1 2");

    const struct flow_reply *tree = flow_call_kind(c, FLOW_REPLY_ARRAY, "KVROUTE.TREE p");
    cr_assert(tree->count == 2);
    size_t at = strcmp(flow_map_str(child(tree, 0), "first"), first.digits) == 0 ? 0 : 1;
    const struct flow_reply *root = child(tree, at), *lone = child(tree, 1 - at);
    cr_expect(root->kind == FLOW_REPLY_MAP);
    cr_expect_str_eq(flow_map_str(root, "first"), first.digits);
    cr_expect(flow_map_int(root, "blocks") == 3);
    cr_expect(flow_map_get(root, "holders")->count == 2);
    cr_assert(flow_map_get(root, "children")->count == 2);
    int64_t below = 0;
    for (size_t i = 0; i < 2; i++) {
        const struct flow_reply *run = child(flow_map_get(root, "children"), i);
        below += flow_map_int(run, "blocks");
        cr_expect(flow_map_get(run, "holders")->count == 1);
        cr_expect(flow_map_get(run, "children")->count == 0);
    }
    cr_expect(below == 5);
    cr_expect_str_eq(flow_map_str(lone, "first"), other.digits);
    cr_expect(flow_map_int(lone, "blocks") == 1);

    cr_expect(flow_map_get(child(flow_call(c, "KVROUTE.TREE p FROM %s DEPTH 1", first.digits), 0),
                           "children")
                  ->count == 0);
    cr_expect(flow_call(c, "KVROUTE.TREE p COUNT 1")->count == 1);
    tree = flow_call(c, "KVROUTE.TREE p FROM %s", inside.digits);
    cr_assert(tree->count == 1);
    cr_expect_str_eq(flow_map_str(child(tree, 0), "first"), inside.digits);
    cr_expect(flow_map_int(child(tree, 0), "blocks") == 2);
    cr_expect(flow_map_get(child(tree, 0), "children")->count == 2);
    tree = flow_call(c, "KVROUTE.TREE p FROM %s", branch.digits);
    cr_expect(flow_map_int(child(tree, 0), "blocks") == 2);
    cr_expect(flow_call(c, "KVROUTE.TREE p FROM 00000000000000ff")->count == 0);
    // The same under RESP2, in flat arrays.
    cr_expect(flow_call_kind(plain, FLOW_REPLY_ARRAY, "KVROUTE.TREE p")->count == 2);
    tree = flow_call_kind(plain, FLOW_REPLY_ARRAY, "KVROUTE.TREE p FROM %s", inside.digits);
    cr_expect(child(tree, 0)->kind == FLOW_REPLY_ARRAY &&
              flow_map_int(child(tree, 0), "blocks") == 2);

    flow_expect_refused(c, "KVROUTE.TREE p",
                        "FROM|FROM x|DEPTH 0|DEPTH -1|DEPTH x|COUNT 0|COUNT x|NOSUCH|FROM - COUNT");
}

Test(look, help_for_people) {
    struct flow_server *s = flow_server_start(NULL);
    const struct flow_reply *r = flow_call_kind(s->conn, FLOW_REPLY_ARRAY, "KVROUTE.HELP");
    cr_assert(r->count > 20);
    size_t named = 0;
    for (size_t i = 0; i < r->count; i++) {
        cr_assert(r->items[i].kind == FLOW_REPLY_STATUS || r->items[i].kind == FLOW_REPLY_BULK);
        named += strstr(r->items[i].bytes, "SELECT") != NULL;
    }
    cr_expect(named > 0);
}

// ---- COMMAND -------------------------------------------------------------------------------------

static const struct {
    const char *name;  // as COMMAND knows it
    const char *flags; // "w": write, "o": deny-oom, "r": readonly, "": neither
    int64_t first;     // position of the key, 0: none
} command_rows[] = {
    {"kvroute.create", "wo", 1},
    {"kvroute.alter", "w", 1},
    {"kvroute.info", "r", 1},
    {"kvroute.digest", "r", 1},
    {"kvroute.worker|set", "w", 2},
    {"kvroute.worker|del", "w", 2},
    {"kvroute.worker|get", "r", 2},
    {"kvroute.worker|list", "r", 2},
    {"kvroute.event", "w", 1},
    {"kvroute.select", "w", 1},
    {"kvroute.score", "r", 1},
    {"kvroute.explain", "r", 1},
    {"kvroute.update", "w", 1},
    {"kvroute.release", "w", 1},
    {"kvroute.claim", "wo", 1},
    {"kvroute.request|get", "r", 2},
    {"kvroute.request|list", "r", 2},
    {"kvroute.session|get", "r", 2},
    {"kvroute.session|list", "r", 2},
    {"kvroute.session|del", "w", 2},
    {"kvroute.report", "w", 1},
    {"kvroute.class|set", "w", 2},
    {"kvroute.class|del", "w", 2},
    {"kvroute.class|list", "r", 2},
    {"kvroute.flow|set", "w", 2},
    {"kvroute.flow|del", "w", 2},
    {"kvroute.flow|list", "r", 2},
    {"kvroute.queue", "r", 1},
    {"kvroute.enqueue", "w", 1},
    {"kvroute.admit", "w", 1},
    {"kvroute.decisions|on", "wo", 2},
    {"kvroute.decisions|off", "w", 2},
    {"kvroute.decisions|clear", "w", 2},
    {"kvroute.decisions|get", "r", 2},
    {"kvroute.decisions|info", "r", 2},
    {"kvroute.tree", "r", 1},
    {"kvroute.hash", "", 0},
    {"kvroute.help", "", 0},
};
enum { FLOW_LOOK_COMMANDS = sizeof command_rows / sizeof *command_rows };

static bool listed(const struct flow_reply *list, const char *what) {
    for (size_t i = 0; i < list->count; i++)
        if (list->items[i].bytes && strcasecmp(list->items[i].bytes, what) == 0) return true;
    return false;
}

// As flow_map_get, whatever the case.
static const struct flow_reply *named(const struct flow_reply *map, const char *field) {
    for (size_t i = 0; i + 1 < map->count; i += 2)
        if (strcasecmp(map->items[i].bytes, field) == 0) return &map->items[i + 1];
    cr_assert_fail("no %s", field);
    return map;
}

Test(look, command_info_flags_and_key_specs) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    for (size_t i = 0; i < FLOW_LOOK_COMMANDS; i++) {
        const char *name = command_rows[i].name, *flags = command_rows[i].flags;
        const struct flow_reply *r = flow_call_kind(c, FLOW_REPLY_ARRAY, "COMMAND INFO %s", name);
        cr_assert(r->count == 1 && r->items[0].kind == FLOW_REPLY_ARRAY, "%s is unknown", name);
        const struct flow_reply *info = &r->items[0];
        const struct flow_reply *have = &info->items[2];
        cr_expect(listed(have, "write") == (strchr(flags, 'w') != NULL), "%s", name);
        if (command_rows[i].first)
            cr_expect(listed(have, "readonly") == (strchr(flags, 'r') != NULL), "%s", name);
        cr_expect_str_eq(info->items[0].bytes, name); // in lower case, as the server's own are
        cr_expect(listed(have, "denyoom") == (strchr(flags, 'o') != NULL), "%s", name);
        cr_expect(listed(have, "module"), "%s", name);
        const struct flow_reply *specs = &info->items[8];
        if (!command_rows[i].first) {
            cr_expect(specs->count == 0, "%s", name);
            continue;
        }
        cr_assert(specs->count == 1, "%s", name);
        const struct flow_reply *spec = &specs->items[0], *access = flow_map_get(spec, "flags");
        if (strchr(flags, 'r')) {
            cr_expect(listed(access, "RO") && listed(access, "ACCESS"), "%s", name);
            cr_expect(!listed(access, "UPDATE") && !listed(access, "RW"), "%s", name);
        } else {
            cr_expect(listed(access, "RW") || listed(access, "OW") || listed(access, "RM"), "%s",
                      name);
        }
        const struct flow_reply *begin = flow_map_get(spec, "begin_search");
        cr_expect_str_eq(flow_map_str(begin, "type"), "index");
        cr_expect(flow_map_int(flow_map_get(begin, "spec"), "index") == command_rows[i].first, "%s",
                  name);
    }
}

Test(look, command_docs_have_summary_complexity_and_arguments) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    for (size_t i = 0; i < FLOW_LOOK_COMMANDS; i++) {
        // A subcommand stands in its container's docs.
        char name[64];
        snprintf(name, sizeof name, "%s", command_rows[i].name);
        char *bar = strchr(name, '|');
        if (bar) *bar = 0;
        const struct flow_reply *r = flow_call_kind(c, FLOW_REPLY_ARRAY, "COMMAND DOCS %s", name);
        cr_assert(r->count == 2, "%s", name);
        const struct flow_reply *docs = &r->items[1];
        if (bar) docs = named(flow_map_get(docs, "subcommands"), command_rows[i].name);
        cr_expect(strlen(flow_map_str(docs, "summary")) > 10, "%s", command_rows[i].name);
        cr_expect(flow_map_str(docs, "complexity")[0] == 'O', "%s", command_rows[i].name);
        cr_expect(strcmp(name, "kvroute.help") == 0 || flow_map_get(docs, "arguments")->count > 0,
                  "%s", command_rows[i].name);
    }
}

Test(look, command_getkeys) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    static const char *const calls[] = {
        "KVROUTE.CREATE k",
        "KVROUTE.WORKER SET k w",
        "KVROUTE.WORKER LIST k",
        "KVROUTE.SELECT k r IDS 1 1",
        "KVROUTE.SCORE k IDS 1 1",
        "KVROUTE.EXPLAIN k IDS 1 1 TOP 3",
        "KVROUTE.RELEASE k r q s",
        "KVROUTE.REQUEST GET k r",
        "KVROUTE.EVENT k w 0 1 1 CLEARED",
        "KVROUTE.REPORT k w OK",
        "KVROUTE.SESSION GET k s",
        "KVROUTE.SESSION DEL k s t",
        "KVROUTE.SESSION LIST k 0 COUNT 5",
        "KVROUTE.DIGEST k LEARNT",
        "KVROUTE.CLASS SET k c",
        "KVROUTE.FLOW LIST k",
        "KVROUTE.QUEUE k COUNT 5",
        "KVROUTE.ENQUEUE k r IDS 0",
        "KVROUTE.ADMIT k r w 0",
        "KVROUTE.DECISIONS ON k 5",
        "KVROUTE.DECISIONS GET k",
    };
    for (size_t i = 0; i < sizeof calls / sizeof *calls; i++) {
        const struct flow_reply *r = flow_call_words(c, "COMMAND GETKEYS", calls[i]);
        cr_assert(r->kind == FLOW_REPLY_ARRAY && r->count == 1, "%s", calls[i]);
        cr_expect_str_eq(r->items[0].bytes, "k");
    }
    cr_expect(flow_call(c, "COMMAND GETKEYS KVROUTE.HASH 4 IDS 1 1")->kind == FLOW_REPLY_ERROR);
}

Test(look, arity) {
    struct flow_server *s = flow_server_start(NULL);
    struct flow_conn *c = s->conn;
    flow_expect_refused(c, "",
                        "KVROUTE.CREATE|KVROUTE.ALTER|KVROUTE.ALTER k|KVROUTE.INFO|"
                        "KVROUTE.INFO k k|KVROUTE.DIGEST|KVROUTE.SESSION GET k|"
                        "KVROUTE.WORKER SET k|KVROUTE.WORKER DEL|KVROUTE.WORKER GET k|"
                        "KVROUTE.WORKER LIST|KVROUTE.EVENT k w 0 1 1|KVROUTE.SELECT k r|"
                        "KVROUTE.SCORE k|KVROUTE.EXPLAIN k|KVROUTE.UPDATE k|KVROUTE.RELEASE k|"
                        "KVROUTE.CLAIM k r w 0|KVROUTE.REQUEST GET k|KVROUTE.REQUEST LIST|"
                        "KVROUTE.TREE|KVROUTE.HASH 4|KVROUTE.SELECT|KVROUTE.EVENT|"
                        "KVROUTE.REPORT k w|KVROUTE.SESSION|KVROUTE.SESSION DEL k|"
                        "KVROUTE.SESSION LIST|KVROUTE.CLASS|KVROUTE.CLASS SET k|"
                        "KVROUTE.CLASS DEL k|KVROUTE.CLASS LIST|KVROUTE.FLOW SET k|"
                        "KVROUTE.FLOW DEL k|KVROUTE.FLOW LIST|KVROUTE.QUEUE|"
                        "KVROUTE.DECISIONS|KVROUTE.DECISIONS ON k|KVROUTE.DECISIONS GET|"
                        "KVROUTE.DECISIONS OFF|KVROUTE.DECISIONS INFO k k");
}

Test(look, server_info_section) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_call_ok(c, "KVROUTE.CREATE q");
    flow_call(c, "KVROUTE.WORKER SET p a");
    flow_call(c, "KVROUTE.WORKER SET q b RANKS 3");
    flow_call(c, "KVROUTE.EVENT p a 0 1 1 STORED - IDS 3 1 2 3 TIER host STORED - IDS 3 1 2 3");
    flow_call(c, "KVROUTE.SELECT p r IDS 1 1");
    cr_expect(flow_server_info(c, "kvroute", "kvroute_pools") == 2);
    cr_expect(flow_server_info(c, "kvroute", "kvroute_workers") == 2);
    cr_expect(flow_server_info(c, "kvroute", "kvroute_blocks") == 3);
    cr_expect(flow_server_info(c, "kvroute", "kvroute_holdings") == 6);
    cr_expect(flow_server_info(c, "kvroute", "kvroute_requests") == 1);
    cr_expect(flow_server_info(c, "kvroute", "kvroute_memory_bytes") > 0);
    cr_expect(flow_server_info(c, "kvroute", "kvroute_calls_select") == 1);
    flow_expect_int(c, 2, "DEL p q");
    cr_expect(flow_server_info(c, "kvroute", "kvroute_pools") == 0);
}
