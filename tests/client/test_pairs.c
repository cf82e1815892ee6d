// SPDX-License-Identifier: Apache-2.0
// Pairs of a prefilling and a decoding instance, roles and draining: what is said, what is read, what is said again
// after a loss, and what a handle does without a primary.
#include <criterion/criterion.h>
#include <kvroute/client.h>
#include <stdio.h>
#include <string.h>

#include "ctest_handle.h"

TestSuite(pairs, .init = ctest_start, .fini = ctest_stop, .timeout = 300);

static bool is(struct kvr_bytes b, const char *text) {
    return b.n == strlen(text) && (!b.n || !memcmp(b.p, text, b.n));
}

static struct kvr_select_call pair_of(const char *id) {
    struct kvr_select_call q = ctest_selection(id);
    q.pair = true;
    return q;
}

Test(pairs, both_are_told) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    struct kvr_select_call q = pair_of("a");
    q.exclude = &(struct kvr_bytes){"w9", 2};
    q.n_exclude = 1;
    const struct kvr_result *r = kvr_client_select(c, &q);
    cr_assert_eq(r->code, KVR_CODE_OK);
    cr_expect(is(r->choice.worker, "w1") && is(r->choice.prefill_worker, "w2"));
    cr_expect(is(r->choice.prefill_addr, "http://10.0.0.1:8000"));
    cr_expect(r->choice.prefill_rank == 0 && r->choice.prefill_overlap == 3);
    ctest_expect_said("KVROUTE.SELECT", "KVROUTE.SELECT pool a HASHES … PAIR EXCLUDE 1 w9");
    // Nobody is told by one that asks for no pair.
    q = ctest_selection("b");
    r = kvr_client_select(c, &q);
    cr_assert_eq(r->code, KVR_CODE_OK);
    cr_expect(is(r->choice.prefill_worker, "") && is(r->choice.prefill_addr, ""));
    // SCORE knows no pairs.
    q.pair = true;
    ctest_expect(kvr_client_score(c, &q), KVR_CODE_OK);
    ctest_expect_said("KVROUTE.SCORE", "KVROUTE.SCORE pool HASHES …");
}

Test(pairs, roles_and_draining_are_told_and_said) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    const struct kvr_result *r = kvr_client_worker_list(c);
    cr_assert(r->code == KVR_CODE_OK && r->n == 2);
    cr_expect(r->workers[0].role == KVR_ROLE_BOTH && r->workers[1].role == KVR_ROLE_DECODE);
    cr_expect(r->workers[0].drain_left == -1);
    struct kvr_worker_call w = {.worker = kvr_text("w"),
                                .set = KVR_WORKER_ROLE | KVR_WORKER_STATE | KVR_WORKER_DRAIN,
                                .role = KVR_ROLE_PREFILL,
                                .state = KVR_DRAINING,
                                .drain = 700};
    ctest_expect(kvr_client_worker_set(c, &w), KVR_CODE_OK);
    ctest_expect_said("KVROUTE.WORKER",
                      "KVROUTE.WORKER SET pool w STATE draining DRAIN 700 ROLE prefill");
    w.set = KVR_WORKER_DRAIN; // with its state alone
    ctest_expect(kvr_client_worker_set(c, &w), KVR_CODE_INVALID);
    w.set = KVR_WORKER_DRAIN | KVR_WORKER_STATE;
    w.state = KVR_READY;
    ctest_expect(kvr_client_worker_set(c, &w), KVR_CODE_INVALID);
    w.state = KVR_DRAINING;
    w.drain = -1;
    ctest_expect(kvr_client_worker_set(c, &w), KVR_CODE_INVALID);
    w = (struct kvr_worker_call){
        .worker = kvr_text("w"), .set = KVR_WORKER_ROLE, .role = (enum kvr_role)3};
    ctest_expect(kvr_client_worker_set(c, &w), KVR_CODE_INVALID);
}

Test(pairs, an_older_module_refuses_them) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    fake_lie(ctest_server, &(struct fake_lies){.old = true});
    struct kvr_select_call q = pair_of("a");
    cr_expect(kvr_client_select(c, &q)->code == KVR_CODE_REFUSED);
    const struct kvr_result *r = kvr_client_worker_list(c);
    cr_assert(r->code == KVR_CODE_OK && r->n == 2);
    cr_expect(r->workers[1].role == KVR_ROLE_BOTH && r->workers[1].drain_left == -1);
    cr_expect(kvr_client_drain(c, 20000) && fake_live(ctest_server) == 0);
    fake_lie(ctest_server, NULL);
}

Test(pairs, a_claim_names_the_prefiller) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    struct kvr_claim_call k = {.request = kvr_text("b"),
                               .worker = kvr_text("w1"),
                               .blocks = {.hashes = ctest_hashes, .n = 2},
                               .prefill_worker = kvr_text("w2"),
                               .prefill_rank = 3};
    ctest_expect(kvr_client_claim(c, &k), KVR_CODE_OK);
    ctest_expect_said("KVROUTE.CLAIM", "KVROUTE.CLAIM pool b w1 0 HASHES … PREFILLER w2 3");
    k.prefill_rank = KVR_MAX_RANKS;
    ctest_expect(kvr_client_claim(c, &k), KVR_CODE_INVALID);
    char longest[KVR_MAX_NAME + 1] = {0};
    k.prefill_rank = 0;
    k.prefill_worker = (struct kvr_bytes){longest, sizeof longest};
    ctest_expect(kvr_client_claim(c, &k), KVR_CODE_INVALID);
}

// ---- After a loss --------------------------------------------------------------------------------

Test(pairs, a_loss_takes_neither_half) {
    struct kvr_client *c =
        ctest_open((struct kvr_client_options){.create = "BLOCKSIZE 16"}, "deadline=20000");
    struct kvr_worker_call w = {.worker = kvr_text("w9"),
                                .set = KVR_WORKER_ROLE | KVR_WORKER_STATE | KVR_WORKER_DRAIN,
                                .role = KVR_ROLE_DECODE,
                                .state = KVR_DRAINING,
                                .drain = 700};
    ctest_expect(kvr_client_worker_set(c, &w), KVR_CODE_OK);
    struct kvr_select_call q = pair_of("a");
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    fake_forget(ctest_server);
    fake_hang_up(ctest_server);
    cr_assert(kvr_client_drain(c, 20000));
    cr_assert(fake_has(ctest_server, "a", 1));
    ctest_expect_said("KVROUTE.CLAIM",
                      "KVROUTE.CLAIM pool a w1 0 HASHES … CACHED 32 PREFILLER w2 0");
    ctest_expect_said("KVROUTE.WORKER",
                      "KVROUTE.WORKER SET pool w9 STATE draining DRAIN 700 ROLE decode");
    // Whoever is ready again has no end of draining any more.
    w = (struct kvr_worker_call){
        .worker = kvr_text("w9"), .set = KVR_WORKER_STATE, .state = KVR_READY};
    ctest_expect(kvr_client_worker_set(c, &w), KVR_CODE_OK);
    ctest_expect(kvr_client_release(c, &q.request, 1), KVR_CODE_OK);
    fake_forget(ctest_server);
    fake_hang_up(ctest_server);
    cr_assert(kvr_client_drain(c, 20000));
    ctest_expect_said("KVROUTE.WORKER", "KVROUTE.WORKER SET pool w9 STATE ready ROLE decode");
}

Test(pairs, an_update_books_both_back) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "deadline=20000");
    struct kvr_select_call q = pair_of("a");
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    struct kvr_client *other = ctest_open((struct kvr_client_options){0}, "");
    cr_assert(kvr_client_release(other, &q.request, 1)->number == 1);
    const struct kvr_result *r = kvr_client_update(
        c, &(struct kvr_update_call){.request = q.request, .output = 7, .prefilled = true});
    cr_expect(r->code == KVR_CODE_OK && r->number == 1);
    ctest_expect_said("KVROUTE.CLAIM", "KVROUTE.CLAIM pool a w1 0 HASHES … CACHED 32 OUTPUT 7 "
                                       "PREFILLED PREFILLER w2 0");
}

// Who computed the prompt may never come back: then the request is booked without.
Test(pairs, a_prefiller_that_is_gone_keeps_nobody_up) {
    struct kvr_client *c =
        ctest_open((struct kvr_client_options){.create = "BLOCKSIZE 16"}, "deadline=20000");
    struct kvr_select_call q = pair_of("a");
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    fake_lie(ctest_server, &(struct fake_lies){.unprefilled = true});
    fake_forget(ctest_server);
    fake_hang_up(ctest_server);
    cr_assert(kvr_client_drain(c, 60000));
    cr_assert(fake_has(ctest_server, "a", 1));
    ctest_expect_said("KVROUTE.CLAIM", "KVROUTE.CLAIM pool a w1 0 HASHES … CACHED 32");
    fake_lie(ctest_server, NULL);
}

// ---- Without a primary ---------------------------------------------------------------------------

Test(pairs, without_a_primary_there_are_none) {
    struct kvr_client_options o = {.degrade = true, .refresh = 20};
    struct kvr_client *c = ctest_open(o, CTEST_HASTY);
    fake_lie(ctest_server, &(struct fake_lies){.role_of_w2 = "prefill"});
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    ctest_await_workers(c);
    ctest_without_server(c);
    for (int i = 0; i < 4; i++) {
        char id[8];
        snprintf(id, sizeof id, "r%d", i);
        struct kvr_select_call q = pair_of(id);
        const struct kvr_result *r = kvr_client_select(c, &q);
        cr_assert(r->code == KVR_CODE_OK && r->degraded);
        cr_expect(is(r->choice.worker, "w1"), "one for prompts alone is chosen");
        cr_expect(is(r->choice.prefill_worker, "") && is(r->choice.prefill_addr, ""));
    }
    fake_heal(ctest_server);
    cr_expect(kvr_client_drain(c, 30000));
}
