// SPDX-License-Identifier: Apache-2.0
// Streams of pairs that go on: the engine that decodes dies, and the rest is a pair again. Only what all of their
// connectors have in common is looked at: the client sees one stream, as one engine alone would have sent it.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdlib.h>

#include "rtest_pairs.h"

enum { PAIRS_FIRST_DECODE = 2, PAIRS_DECODES = 2 };

// What the engines are is said, as their lists of models may not have been read yet.
static void up(const char *kind) {
    bool sglang = kind[1] == 'g';
    const char *const flags[] = {"--pool", sglang ? "kvroute engine=sglang" : "kvroute engine=vllm",
                                 NULL};
    const struct rtest_pairs plan = {
        .kind = kind, .prefills = PAIRS_FIRST_DECODE, .decodes = PAIRS_DECODES, .flags = flags};
    rtest_pairs_up(&plan);
}

static int engine_of(const struct rtest_client *who) {
    for (int i = 0; i < PAIRS_FIRST_DECODE + PAIRS_DECODES; i++)
        if (rtest_pairs_by(who->worker, i)) return i;
    cr_assert_fail("nobody has it: %s", who->worker);
    return 0;
}

static void begin(struct rtest_client *who, const char *first) {
    for (int i = 0; i < PAIRS_DECODES; i++)
        rtest_fault(PAIRS_FIRST_DECODE + i, "kind=stall&after=5");
    rtest_pairs_begin(who, first, 12, true);
    while (!who->heard)
        rtest_clients_run(5);
}

static void clear(int dead) {
    for (int i = 0; i < PAIRS_DECODES; i++)
        if (PAIRS_FIRST_DECODE + i != dead) rtest_fault(PAIRS_FIRST_DECODE + i, "kind=clear");
}

static void expect_whole(struct rtest_client *who, const char *first) {
    rtest_clients_finish();
    struct rtest_client want =
        rtest_pairs_ask(rtest_fleet.engines[RTEST_REFERENCE].port, "/v1/completions", first, true);
    char *text = rtest_client_text(who);
    cr_assert(who->status == 200 && who->complete && rtest_pairs_same(who, &want), "%s: %s", first,
              text);
    free(text);
    rtest_client_free(who);
    rtest_client_free(&want);
    rtest_pairs_settle();
}

static void decode_dies(const char *kind) {
    struct rtest_client who;
    up(kind);
    begin(&who, "it dies");
    int dead = engine_of(&who);
    rtest_kill(&rtest_fleet.engines[dead], SIGKILL);
    clear(dead);
    expect_whole(&who, "it dies");
    // The rest may be over before the engine that computed its prompt has said so.
    cr_expect(rtest_router_metric(0, "prefills_total{outcome=\"ok\"}") +
                      rtest_router_metric(0, "prefills_total{outcome=\"cancelled\"}") ==
                  2,
              "a pair, twice");
}

Test(pairs_streams, decode_dies_nixl, .fini = rtest_fleet_down) {
    decode_dies("nixl");
}

Test(pairs_streams, decode_dies_mooncake, .fini = rtest_fleet_down) {
    decode_dies("mooncake");
}

Test(pairs_streams, decode_dies_shared, .fini = rtest_fleet_down) {
    decode_dies("shared");
}

Test(pairs_streams, decode_dies_sglang, .fini = rtest_fleet_down) {
    decode_dies("sglang");
}

// Who has computed the prompt is of no use any more.
static void prefill_dies(const char *kind) {
    struct rtest_client who;
    up(kind);
    begin(&who, "not missed");
    for (int i = 0; i < PAIRS_FIRST_DECODE; i++)
        rtest_kill(&rtest_fleet.engines[i], SIGKILL);
    clear(-1);
    expect_whole(&who, "not missed");
}

Test(pairs_streams, prefill_dies_nixl, .fini = rtest_fleet_down) {
    prefill_dies("nixl");
}

Test(pairs_streams, prefill_dies_shared, .fini = rtest_fleet_down) {
    prefill_dies("shared");
}

// Both at once: the rest is computed where it can be, by one engine.
Test(pairs_streams, both_die, .fini = rtest_fleet_down) {
    struct rtest_client who;
    up("nixl");
    begin(&who, "both");
    int dead = engine_of(&who);
    rtest_kill(&rtest_fleet.engines[0], SIGKILL);
    rtest_kill(&rtest_fleet.engines[1], SIGKILL);
    rtest_kill(&rtest_fleet.engines[dead], SIGKILL);
    clear(dead);
    expect_whole(&who, "both");
}
