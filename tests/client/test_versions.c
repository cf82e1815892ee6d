// SPDX-License-Identifier: Apache-2.0
// Sessions, labels, speeds and predictions, with a module that knows them and with one of version 1; and
// what of them is said again after a loss.
#include <criterion/criterion.h>
#include <kvroute/client.h>
#include <stdio.h>
#include <string.h>

#include "ctest_handle.h"

static const struct kvr_bytes zone_a = {"zone=a", 6}, zone_b = {"zone=b", 6},
                              zone_c = {"zone=c", 6};

TestSuite(versions, .init = ctest_start, .fini = ctest_stop, .timeout = 300);

// ---- What is read --------------------------------------------------------------------------------

Test(versions, what_a_newer_module_says_is_read) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    struct kvr_select_call q = ctest_selection("a");
    const struct kvr_result *r = kvr_client_select(c, &q);
    cr_assert_eq(r->code, KVR_CODE_OK);
    cr_expect(r->choice.overlap == 2 && r->choice.expected == 3);
    cr_expect(r->choice.ttft == 125.5 && r->choice.tpot == 17.25);
    r = kvr_client_score(c, &q);
    cr_assert(r->code == KVR_CODE_OK && r->n == 2);
    cr_expect(r->scores[0].expected == 3 && r->scores[0].ttft == 125.5 && r->scores[0].room);
    cr_expect(r->scores[1].ttft == -1 && r->scores[1].tpot == -1 && !r->scores[1].room);
    r = kvr_client_worker_list(c);
    cr_assert(r->code == KVR_CODE_OK && r->n == 2);
    const struct kvr_worker *w = r->workers;
    cr_expect(w[0].speed == 0.5 && w[0].ranks[0].ttft == 250.5 && w[0].ranks[0].tpot == 20);
    cr_expect(w[1].speed == 0 && w[1].ranks[0].ttft == -1 && w[1].ranks[0].tpot == -1);
    cr_assert(w[0].n_labels == 2 && w[1].n_labels == 2);
    cr_expect(w[0].labels[0].n == 6 && !memcmp(w[0].labels[0].p, "zone=a", 7)); // with a 0
    cr_expect(w[1].labels[1].n == 6 && !memcmp(w[1].labels[1].p, "link=1", 7));
}

Test(versions, an_older_module_will_do) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    struct kvr_select_call q = ctest_selection("a");
    fake_lie(ctest_server, &(struct fake_lies){.old = true});
    const struct kvr_result *r = kvr_client_select(c, &q);
    cr_assert_eq(r->code, KVR_CODE_OK);
    cr_expect(r->choice.expected == 2, "no more than it holds");
    cr_expect(r->choice.ttft == -1 && r->choice.tpot == -1);
    r = kvr_client_score(c, &q);
    cr_assert(r->code == KVR_CODE_OK && r->n == 2);
    cr_expect(r->scores[0].expected == 2 && r->scores[1].expected == 1);
    cr_expect(r->scores[0].ttft == -1 && r->scores[0].tpot == -1 && r->scores[0].room);
    r = kvr_client_worker_list(c);
    cr_assert(r->code == KVR_CODE_OK && r->n == 2);
    cr_expect(r->workers[0].n_labels == 0 && r->workers[0].speed == 0);
    cr_expect(r->workers[0].ranks[0].ttft == -1 && r->workers[0].ranks[0].tpot == -1);
    // What it can't do it refuses, and nothing is booked.
    q = ctest_selection("b");
    q.session = kvr_text("s");
    cr_expect(kvr_client_select(c, &q)->code == KVR_CODE_REFUSED);
    q.session = (struct kvr_bytes){NULL, 0};
    q.with = &zone_a;
    q.n_with = 1;
    cr_expect(kvr_client_select(c, &q)->code == KVR_CODE_REFUSED);
    cr_expect(kvr_client_score(c, &q)->code == KVR_CODE_REFUSED);
    cr_expect(kvr_client_drain(c, 20000) && fake_live(ctest_server) == 1);
    fake_lie(ctest_server, NULL);
}

// ---- What is said --------------------------------------------------------------------------------

Test(versions, options_go_over_the_wire) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    struct kvr_bytes labels[] = {zone_a, zone_b}, w = kvr_text("w");
    struct kvr_select_call q = ctest_selection("a");
    q.osl = 70;
    q.session = kvr_text("chat 7");
    q.exclude = &w;
    q.n_exclude = 1;
    q.with = labels;
    q.n_with = 2;
    q.without = &zone_c;
    q.n_without = 1;
    cr_assert_eq(kvr_client_select(c, &q)->code, KVR_CODE_OK);
    ctest_expect_said(
        "KVROUTE.SELECT",
        "KVROUTE.SELECT pool a HASHES … OSL 70 SESSION chat 7 EXCLUDE 1 w WITH 2 zone=a zone=b "
        "WITHOUT 1 zone=c");
    cr_assert_eq(kvr_client_score(c, &q)->code, KVR_CODE_OK);
    ctest_expect_said(
        "KVROUTE.SCORE",
        "KVROUTE.SCORE pool HASHES … OSL 70 SESSION chat 7 EXCLUDE 1 w WITH 2 zone=a zone=b "
        "WITHOUT 1 zone=c");
    struct kvr_claim_call k = {.request = kvr_text("b"),
                               .worker = w,
                               .blocks = {.hashes = ctest_hashes, .n = 2},
                               .osl = 9,
                               .session = kvr_text("s")};
    cr_assert_eq(kvr_client_claim(c, &k)->code, KVR_CODE_OK);
    ctest_expect_said("KVROUTE.CLAIM", "KVROUTE.CLAIM pool b w 0 HASHES … OSL 9 SESSION s");
    struct kvr_worker_call set = {.worker = w,
                                  .set = KVR_WORKER_SPEED | KVR_WORKER_LABELS,
                                  .speed = 0.25,
                                  .labels = labels,
                                  .n_labels = 2};
    cr_assert_eq(kvr_client_worker_set(c, &set)->code, KVR_CODE_OK);
    ctest_expect_said("KVROUTE.WORKER",
                      "KVROUTE.WORKER SET pool w SPEED 0.25 LABELS 2 zone=a zone=b");
    set.n_labels = 0;
    set.set = KVR_WORKER_LABELS;
    cr_assert_eq(kvr_client_worker_set(c, &set)->code, KVR_CODE_OK);
    ctest_expect_said("KVROUTE.WORKER", "KVROUTE.WORKER SET pool w LABELS 0");
}

// After a loss the request is booked back with its session and what is expected of it, and the worker
// gets back its speed and labels.
Test(versions, a_loss_takes_neither_sessions_nor_labels) {
    struct kvr_client *c =
        ctest_open((struct kvr_client_options){.create = "BLOCKSIZE 16"}, "deadline=20000");
    struct kvr_bytes labels[] = {zone_a, zone_b};
    struct kvr_worker_call set = {.worker = kvr_text("w9"),
                                  .addr = kvr_text("here"),
                                  .set = KVR_WORKER_ADDR | KVR_WORKER_SPEED | KVR_WORKER_LABELS,
                                  .speed = 2,
                                  .labels = labels,
                                  .n_labels = 2};
    cr_assert_eq(kvr_client_worker_set(c, &set)->code, KVR_CODE_OK);
    set = (struct kvr_worker_call){.worker = kvr_text("w9"), .set = 0}; // a heartbeat adds nothing
    cr_assert_eq(kvr_client_worker_set(c, &set)->code, KVR_CODE_OK);
    struct kvr_select_call q = ctest_selection("a");
    q.session = kvr_text("chat-7");
    q.osl = 33;
    cr_assert_eq(kvr_client_select(c, &q)->code, KVR_CODE_OK);
    struct kvr_update_call u = {.request = q.request, .prefilled = true, .output = 5};
    cr_assert_eq(kvr_client_update(c, &u)->code, KVR_CODE_OK);
    fake_forget(ctest_server);
    fake_hang_up(ctest_server);
    cr_assert(kvr_client_drain(c, 20000));
    cr_assert(fake_has(ctest_server, "a", 1));
    ctest_expect_said(
        "KVROUTE.CLAIM",
        "KVROUTE.CLAIM pool a w1 0 HASHES … OSL 33 CACHED 32 OUTPUT 5 PREFILLED SESSION chat-7");
    ctest_expect_said("KVROUTE.WORKER",
                      "KVROUTE.WORKER SET pool w9 ADDR here SPEED 2 LABELS 2 zone=a zone=b");
    // A claim of one's own likewise.
    struct kvr_claim_call k = {.request = kvr_text("b"),
                               .worker = kvr_text("w1"),
                               .blocks = {.hashes = ctest_hashes, .n = 2},
                               .osl = 9,
                               .session = kvr_text("s")};
    cr_assert_eq(kvr_client_claim(c, &k)->code, KVR_CODE_OK);
    cr_assert_eq(kvr_client_release(c, &q.request, 1)->code, KVR_CODE_OK);
    fake_forget(ctest_server);
    fake_hang_up(ctest_server);
    cr_assert(kvr_client_drain(c, 20000));
    ctest_expect_said("KVROUTE.CLAIM", "KVROUTE.CLAIM pool b w1 0 HASHES … OSL 9 SESSION s");
}

// ---- Without a primary ---------------------------------------------------------------------------

static enum kvr_code choose(struct kvr_client *c, struct kvr_select_call q, char *worker) {
    const struct kvr_result *r = kvr_client_select(c, &q);
    *worker = r->code == KVR_CODE_OK ? r->choice.worker.p[1] : '-';
    if (r->code == KVR_CODE_OK)
        cr_expect(r->degraded && r->choice.ttft == -1 && r->choice.tpot == -1 &&
                  r->choice.expected == 0);
    return r->code;
}

Test(versions, a_choice_without_a_primary_heeds_labels) {
    struct kvr_client_options o = {.degrade = true, .refresh = 20};
    struct kvr_client *c = ctest_open(o, CTEST_HASTY);
    const struct {
        const struct kvr_bytes *with, *without;
        char worker;
    } cases[] = {{&zone_b, NULL, '2'}, {&zone_b, NULL, '2'},    {NULL, &zone_b, '1'},
                 {&zone_c, NULL, '-'}, {&zone_a, &zone_a, '-'}, {&zone_a, &zone_c, '1'}};
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    ctest_await_workers(c);
    ctest_without_server(c);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char id[8], worker;
        snprintf(id, sizeof id, "r%zu", i);
        struct kvr_select_call q = ctest_selection(id);
        q.with = cases[i].with;
        q.n_with = cases[i].with != NULL;
        q.without = cases[i].without;
        q.n_without = cases[i].without != NULL;
        q.exclude = &(struct kvr_bytes){"w3", 2};
        q.n_exclude = 1;
        choose(c, q, &worker);
        cr_expect(worker == cases[i].worker, "%zu: %c", i, worker);
    }
    fake_heal(ctest_server);
    cr_expect(kvr_client_drain(c, 30000));
}
