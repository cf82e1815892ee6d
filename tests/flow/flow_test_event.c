// SPDX-License-Identifier: Apache-2.0
// EVENT: what instances hold, told in epochs and sequence numbers.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flow_harness.h"

TestSuite(event, .fini = flow_harness_end, .timeout = 120);

static int64_t held(struct flow_conn *c, const char *tier) {
    const struct flow_reply *w = flow_call(c, "KVROUTE.WORKER GET p w");
    return flow_map_int(&flow_map_get(w, "ranks")->items[0], tier);
}

static int64_t overlap(struct flow_conn *c, const char *blocks) {
    const struct flow_reply *row =
        flow_row_of(flow_call_words(c, "KVROUTE.SCORE p", blocks), "w", 0);
    cr_assert(row);
    return flow_map_int(row, "overlap");
}

static struct flow_conn *start(void) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 1");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    return c;
}

Test(event, epochs_and_seqs) {
    struct flow_conn *c = start();
    flow_expect_error(c, "NOWORKER", "KVROUTE.EVENT p nosuch 0 1 1 CLEARED");
    flow_expect_error(c, "NOWORKER", "KVROUTE.EVENT p w 1 1 1 CLEARED");
    // A rank that has said nothing wants seq 1 of any epoch.
    const struct flow_reply *r = flow_call(c, "KVROUTE.EVENT p w 0 5 2 STORED - IDS 1 1");
    cr_expect_str_eq(r->bytes, "GAP expected 1");
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 5 1 STORED - IDS 3 1 2 3");
    int64_t version = flow_pool_info(c, "p", "version");
    struct flow_digest before = flow_pool_digest(c, "p");
    // A repeat succeeds and does nothing, whatever it says.
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 5 1 CLEARED");
    r = flow_call(c, "KVROUTE.EVENT p w 0 5 3 CLEARED");
    cr_expect_str_eq(r->bytes, "GAP expected 2");
    r = flow_call(c, "KVROUTE.EVENT p w 0 6 2 CLEARED");
    cr_expect_str_eq(r->bytes, "GAP expected 1");
    r = flow_call(c, "KVROUTE.EVENT p w 0 4 1 CLEARED");
    cr_expect_str_eq(r->bytes, "STALE current 5");
    r = flow_call(c, "KVROUTE.EVENT p w 0 4 2 CLEARED");
    cr_expect_str_eq(r->bytes, "STALE current 5");
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    flow_expect_version(c, "p", version);
    flow_expect_int(c, 2, "KVROUTE.EVENT p w 0 5 2 STORED - IDS 1 9");
    flow_expect_int(c, 2, "KVROUTE.EVENT p w 0 5 1 CLEARED");
    flow_expect_version(c, "p", version + 1);
    cr_expect(flow_pool_info(c, "p", "gaps") == 3);
    cr_expect(flow_pool_info(c, "p", "stale") == 2);
    // A new epoch drops what the old one told, in every tier.
    flow_expect_int(c, 3, "KVROUTE.EVENT p w 0 5 3 TIER disk STORED - IDS 2 1 2");
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 9223372036854775807 1 STORED - IDS 1 7");
    cr_expect(held(c, "device_blocks") == 1);
    cr_expect(held(c, "disk_blocks") == 0);
    cr_expect(overlap(c, "IDS 2 1 2") == 0);
    const struct flow_reply *rank =
        &flow_map_get(flow_call(c, "KVROUTE.WORKER GET p w"), "ranks")->items[0];
    cr_expect(flow_map_int(rank, "epoch") == INT64_MAX);
    cr_expect(flow_map_int(rank, "seq") == 1);
}

Test(event, refused_whole) {
    struct flow_conn *c = start();
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 3 1 2 3");
    struct flow_digest before = flow_pool_digest(c, "p");
    int64_t version = flow_pool_info(c, "p", "version");
    flow_expect_error(c, "NOPARENT", "KVROUTE.EVENT p w 0 1 2 STORED 00000000000000ff IDS 1 1");
    flow_expect_error(
        c, "NOPARENT",
        "KVROUTE.EVENT p w 0 1 2 STORED - IDS 2 8 9 CLEARED STORED 00000000000000ff IDS 1 1");
    flow_expect_error(
        c, "NOPARENT", "KVROUTE.EVENT p w 0 2 1 STORED %s IDS 1 1",
        flow_prefix_of(c, 1, "IDS 3 1 2 3").digits); // the new epoch dropped the parent
    struct flow_hex two = flow_prefix_of(c, 1, "IDS 2 1 2"),
                    three = flow_prefix_of(c, 1, "IDS 3 1 2 3");
    struct flow_hex other = flow_prefix_of(c, 1, "IDS 1 5");
    flow_expect_error(c, "BADCHAIN", "KVROUTE.EVENT p w 0 1 2 STORED - HEX %s", two.digits);
    flow_expect_error(c, "BADCHAIN", "KVROUTE.EVENT p w 0 1 2 STORED - HEX %s%s", other.digits,
                      three.digits);
    flow_expect_error(c, "BADCHAIN", "KVROUTE.EVENT p w 0 1 2 STORED - HEX %s%s", other.digits,
                      other.digits);
    flow_expect_error(c, "BADCHAIN", "KVROUTE.EVENT p w 0 1 2 TIER disk STORED %s HEX %s",
                      two.digits, flow_prefix_of(c, 1, "IDS 1 1").digits);
    cr_expect(flow_same_digest(before, flow_pool_digest(c, "p")));
    flow_expect_version(c, "p", version);
    flow_expect_int(c, 2, "KVROUTE.EVENT p w 0 1 2 STORED %s IDS 1 4", three.digits);
    cr_expect(overlap(c, "IDS 4 1 2 3 4") == 4);
}

Test(event, parents_in_each_form) {
    struct flow_conn *c = start();
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 1 1");
    struct flow_hex one = flow_prefix_of(c, 1, "IDS 1 1");
    uint64_t hash = strtoull(one.digits, NULL, 16);
    flow_expect_int(c, 2, "KVROUTE.EVENT p w 0 1 2 STORED %b IDS 1 2", &hash, sizeof hash);
    struct flow_hex two = flow_prefix_of(c, 1, "IDS 2 1 2");
    flow_expect_int(c, 3, "KVROUTE.EVENT p w 0 1 3 STORED %s IDS 1 3", two.digits);
    cr_expect(overlap(c, "IDS 3 1 2 3") == 3);
    static const char *const bad[] = {
        "", "x", "--", "1234567", "123456789", "000000000000000g", "00000000000000000"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        flow_expect_error(c, "ERR", "KVROUTE.EVENT p w 0 1 4 STORED %s IDS 1 4", bad[i]);
}

Test(event, blocks_in_each_form) {
    struct flow_conn *c = flow_start_pool("BLOCKSIZE 2");
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p w");
    uint32_t tokens[] = {1, 2, 3, 4, 5};
    struct flow_hex one = flow_prefix_of(c, 2, "IDS 2 1 2"),
                    two = flow_prefix_of(c, 2, "IDS 4 1 2 3 4");
    uint64_t hashes[] = {strtoull(one.digits, NULL, 16), strtoull(two.digits, NULL, 16)};
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 1 1 STORED - TOKENS %b", tokens, sizeof tokens);
    flow_expect_int(c, 2, "KVROUTE.EVENT p w 0 1 2 TIER host STORED - IDS 5 1 2 3 4 5");
    flow_expect_int(c, 3, "KVROUTE.EVENT p w 0 1 3 tier DISK stored - hashes %b", hashes,
                    sizeof hashes);
    cr_expect(held(c, "device_blocks") == 2);
    cr_expect(held(c, "host_blocks") == 2);
    cr_expect(held(c, "disk_blocks") == 2);
    cr_expect(flow_pool_info(c, "p", "blocks") == 2);
    cr_expect(flow_pool_info(c, "p", "holdings") == 6);
    // A chain goes on from its parent in all of them.
    flow_expect_int(c, 4, "KVROUTE.EVENT p w 0 1 4 STORED %s TOKENS %b STORED %s IDS 2 9 9",
                    two.digits, tokens, (size_t)8, two.digits);
    cr_expect(overlap(c, "IDS 6 1 2 3 4 1 2") == 3);
    cr_expect(overlap(c, "IDS 6 1 2 3 4 9 9") == 3);
    // Salted chains are others.
    flow_expect_int(c, 5,
                    "KVROUTE.EVENT p w 0 1 5 STORED - IDS 2 1 2 LORA a NAMESPACE n CLEARED"
                    " STORED - IDS 4 1 2 3 4 NAMESPACE n");
    cr_expect(overlap(c, "IDS 4 1 2 3 4") == 0);
    cr_expect(overlap(c, "IDS 4 1 2 3 4 NAMESPACE n") == 2);
    cr_expect(overlap(c, "IDS 4 1 2 3 4 NAMESPACE n LORA a") == 0);
    // REMOVED knows prefix hashes alone.
    struct flow_hex salted = flow_prefix_of(c, 2, "IDS 4 1 2 3 4 NAMESPACE n");
    uint64_t hash = strtoull(salted.digits, NULL, 16);
    flow_expect_error(c, "ERR", "KVROUTE.EVENT p w 0 1 6 REMOVED IDS 2 1 2");
    flow_expect_error(c, "ERR", "KVROUTE.EVENT p w 0 1 6 REMOVED TOKENS %b", tokens, (size_t)8);
    flow_expect_int(c, 6, "KVROUTE.EVENT p w 0 1 6 REMOVED HASHES %b", &hash, sizeof hash);
    cr_expect(overlap(c, "IDS 4 1 2 3 4 NAMESPACE n") == 1);
}

Test(event, removals_holes_and_structural_parents) {
    struct flow_conn *c = start();
    flow_expect_int(c, 1, "KVROUTE.WORKER SET p v");
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 1 1 STORED - IDS 6 1 2 3 4 5 6");
    struct flow_hex three = flow_prefix_of(c, 1, "IDS 3 1 2 3"),
                    one = flow_prefix_of(c, 1, "IDS 1 1");
    struct flow_hex six = flow_prefix_of(c, 1, "IDS 6 1 2 3 4 5 6");
    // A hole: what comes behind is held but out of reach.
    flow_expect_int(c, 2, "KVROUTE.EVENT p w 0 1 2 REMOVED HEX %s", three.digits);
    cr_expect(overlap(c, "IDS 6 1 2 3 4 5 6") == 2);
    cr_expect(held(c, "device_blocks") == 5);
    cr_expect(flow_pool_info(c, "p", "blocks") == 5);
    // The hole stays known as a parent, for others too.
    flow_expect_int(c, 1, "KVROUTE.EVENT p v 0 1 1 STORED %s IDS 1 9", three.digits);
    // Not held, unknown and repeated: skipped.
    flow_expect_int(c, 3, "KVROUTE.EVENT p w 0 1 3 REMOVED HEX %s00000000000000ff%s%s",
                    three.digits, one.digits, one.digits);
    cr_expect(held(c, "device_blocks") == 4);
    cr_expect(overlap(c, "IDS 6 1 2 3 4 5 6") == 0);
    // Stored again, it closes; a tier of its own closes as well.
    flow_expect_int(c, 4,
                    "KVROUTE.EVENT p w 0 1 4 STORED - IDS 1 1 TIER disk STORED - IDS 3 1 2 3");
    cr_expect(overlap(c, "IDS 6 1 2 3 4 5 6") == 6);
    // With the last holder of anything behind it, a block is forgotten.
    flow_expect_int(c, 2, "KVROUTE.EVENT p v 0 1 2 CLEARED");
    flow_expect_int(c, 5, "KVROUTE.EVENT p w 0 1 5 CLEARED");
    flow_expect_error(c, "NOPARENT", "KVROUTE.EVENT p w 0 1 6 STORED %s IDS 1 7", six.digits);
    flow_expect_error(c, "NOPARENT", "KVROUTE.EVENT p w 0 1 6 STORED %s IDS 1 7", one.digits);
    // Forgotten, it may come back under another parent.
    flow_expect_int(c, 6, "KVROUTE.EVENT p w 0 1 6 STORED - HEX %s", six.digits);
    cr_expect(flow_pool_info(c, "p", "blocks") == 1);
}

Test(event, cleared_by_tier) {
    struct flow_conn *c = start();
    flow_expect_int(c, 1,
                    "KVROUTE.EVENT p w 0 1 1 STORED - IDS 3 1 2 3 TIER host STORED - IDS 2 1 2"
                    " TIER disk STORED - IDS 4 1 2 3 4");
    flow_expect_int(c, 2, "KVROUTE.EVENT p w 0 1 2 TIER host CLEARED");
    cr_expect(held(c, "host_blocks") == 0);
    cr_expect(held(c, "device_blocks") == 3);
    flow_expect_int(c, 3, "KVROUTE.EVENT p w 0 1 3 TIER device CLEARED");
    cr_expect(held(c, "device_blocks") == 0);
    cr_expect(overlap(c, "IDS 4 1 2 3 4") == 4);
    flow_expect_int(c, 4,
                    "KVROUTE.EVENT p w 0 1 4 STORED - IDS 1 1 CLEARED TIER host STORED - IDS 1 1");
    cr_expect(held(c, "device_blocks") == 0);
    cr_expect(held(c, "disk_blocks") == 0);
    cr_expect(held(c, "host_blocks") == 1);
    // A tier's removal leaves the others.
    flow_expect_int(c, 5, "KVROUTE.EVENT p w 0 1 5 STORED - IDS 1 1 TIER host REMOVED HEX %s",
                    flow_prefix_of(c, 1, "IDS 1 1").digits);
    cr_expect(held(c, "device_blocks") == 1);
    cr_expect(held(c, "host_blocks") == 0);
}

Test(event, any_hash_is_valid) {
    struct flow_conn *c = start();
    uint64_t ends[] = {0, UINT64_MAX, 1, UINT64_MAX - 1};
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 1 1 STORED - HASHES %b", ends, sizeof ends);
    cr_expect(overlap(c, "HEX 0000000000000000ffffffffffffffff") == 2);
    flow_expect_int(c, 2, "KVROUTE.EVENT p w 0 1 2 STORED ffffffffffffffff HEX 0000000000000002");
    flow_expect_int(c, 3, "KVROUTE.EVENT p w 0 1 3 STORED %b HEX 0000000000000003", &ends[0],
                    (size_t)8);
    flow_call_ok(c, "DEBUG RELOAD");
    const struct flow_reply *row =
        flow_row_of(flow_call(c, "KVROUTE.SCORE p HASHES %b", ends, sizeof ends), "w", 0);
    cr_expect(flow_map_int(row, "overlap") == 4);
    flow_expect_int(c, 4, "KVROUTE.EVENT p w 0 1 4 REMOVED HEX 0000000000000000");
    cr_expect(overlap(c, "HEX 0000000000000000") == 0);
}

Test(event, empty_lists_and_many_ops) {
    struct flow_conn *c = start();
    flow_expect_int(c, 1,
                    "KVROUTE.EVENT p w 0 1 1 STORED - IDS 0 STORED - HEX %s REMOVED HASHES %s"
                    " STORED - TOKENS %s",
                    "", "", "");
    cr_expect(held(c, "device_blocks") == 0);
    struct flow_args a = {0};
    flow_args_words(&a, "KVROUTE.EVENT p w 0 1 2");
    for (int i = 0; i < 5000; i++) {
        flow_args_words(&a, "STORED - IDS 1");
        flow_args_int(&a, i);
    }
    cr_expect(flow_call_args(c, &a)->integer == 2);
    flow_args_clear(&a);
    cr_expect(held(c, "device_blocks") == 5000);
}

Test(event, refuses_bad_syntax) {
    struct flow_conn *c = start();
    flow_expect_refused(c, "KVROUTE.EVENT",
                        "p w 0 1|p w 0 1 1|p w 0 0 1 CLEARED|p w 0 1 0 CLEARED|"
                        "p w 0 -1 1 CLEARED|p w 0 9223372036854775808 1 CLEARED|"
                        "p w 0 1 -1 CLEARED|p w 0 x 1 CLEARED|p w 0 1 x CLEARED|"
                        "p w x 1 1 CLEARED|p w -1 1 1 CLEARED");
    flow_expect_refused(c, "KVROUTE.EVENT p w 0 1 1",
                        "NOSUCH|TIER|TIER device|TIER nosuch CLEARED|TIER host TIER disk CLEARED|"
                        "STORED|STORED -|STORED - NOSUCH x|STORED - HASHES|"
                        "STORED - HASHES 1234567|STORED - HEX 123|STORED - HEX 000000000000000g|"
                        "STORED - TOKENS 12345|STORED - IDS|STORED - IDS x|STORED - IDS -1|"
                        "STORED - IDS 2 1|STORED - IDS 1 x|STORED - IDS 1 -1|"
                        "STORED - IDS 1 4294967296|STORED - IDS 1 1 LORA|"
                        "STORED - HEX 0000000000000001 LORA a|REMOVED|REMOVED HEX|CLEARED 1");
    flow_expect_int(c, 1, "KVROUTE.EVENT p w 0 1 1 CLEARED");
}
