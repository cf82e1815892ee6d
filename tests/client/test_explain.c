// SPDX-License-Identifier: Apache-2.0
// EXPLAIN: what is said, what is read, and what a real module says.
#include <criterion/criterion.h>
#include <kvroute/client.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "ctest_handle.h"
#include "tests/support/support_redis.h"

TestSuite(explain_call, .init = ctest_start, .fini = ctest_stop, .timeout = 300);

static bool is(struct kvr_bytes b, const char *text) {
    return b.n == strlen(text) && (!b.n || !memcmp(b.p, text, b.n));
}

Test(explain_call, what_is_said) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    struct kvr_select_call q = ctest_selection("not said");
    q.lease = 70;
    q.wait = 80;
    q.osl = 90;
    q.session = kvr_text("chat");
    q.service_class = kvr_text("batch");
    q.flow = kvr_text("tenant");
    q.pair = true;
    q.exclude = &(struct kvr_bytes){"w9", 2};
    q.n_exclude = 1;
    ctest_expect(kvr_client_explain(c, &q, 5), KVR_CODE_OK);
    ctest_expect_said(
        "KVROUTE.EXPLAIN",
        "KVROUTE.EXPLAIN pool HASHES … OSL 90 SESSION chat CLASS batch FLOW tenant PAIR "
        "TOP 5 EXCLUDE 1 w9");
    ctest_expect(kvr_client_explain(c, &q, 1025), KVR_CODE_INVALID);
    q.osl = -1;
    ctest_expect(kvr_client_explain(c, &q, 5), KVR_CODE_INVALID);
    cr_expect(kvr_client_explain_async(c, &q, 5, NULL, NULL) == KVR_CODE_INVALID);
}

Test(explain_call, what_is_read) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    struct kvr_select_call q = ctest_selection("a");
    const struct kvr_result *r = kvr_client_explain(c, &q, 0);
    cr_assert(r->code == KVR_CODE_OK && r->n == 2 && r->explanation);
    const struct kvr_explanation *e = r->explanation;
    cr_expect(e->answer == KVR_CODE_OK && is(e->by, "booked") && is(e->choice.worker, "w1"));
    cr_expect(e->choice.cost == 6.5 && e->choice.cached == 48 && e->choice.ttft == 125.5);
    cr_expect(is(e->policy, "delay") && e->first_weight == 16 && e->arrivals == 0.25);
    cr_expect(e->isl == 64 && e->osl == 320 && e->instances == 2 && e->places == 1);
    cr_expect(is(e->session_worker, "") && is(e->choice.prefill_worker, "") && e->transfer == 0);
    const struct kvr_candidate *w1 = &e->candidates[0], *w2 = &e->candidates[1];
    cr_expect(is(w1->worker, "w1") && w1->place == 1 && is(w1->reason, "") && w1->chance == 1);
    cr_expect(is(w2->worker, "w2") && w2->place == 0 && is(w2->reason, "maxrequests"));
    cr_assert(w1->n_terms == 2);
    cr_expect(is(w1->terms[0].name, "queue") && w1->terms[0].value == 0.5);
    cr_expect(is(w1->terms[1].name, "own") && w1->terms[1].value == 6 && w1->sum == 6.5);
    cr_expect(w1->queue == 8.5 && w1->own == 16 && w1->requests == 2 && w1->tpot == -1);
    cr_expect(is(w1->prefill_worker, "") && w1->prefill_cost == -1 && w1->prompt_cost == -1);
}

Test(explain_call, a_pair) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    struct kvr_select_call q = ctest_selection("a");
    q.pair = true;
    const struct kvr_result *r = kvr_client_explain(c, &q, 0);
    cr_assert(r->code == KVR_CODE_OK && r->n == 2);
    const struct kvr_explanation *e = r->explanation;
    cr_expect(is(e->choice.prefill_worker, "w2") && e->choice.prefill_overlap == 3);
    cr_expect(e->transfer == 0.4);
    const struct kvr_candidate *w = e->candidates;
    cr_expect(is(w[0].prefill_worker, "w2") && w[0].prefill_cost == 4 && w[0].decode_cost == 2);
    cr_expect(w[0].transfer_cost == 0.5 && is(w[0].prompt_reason, "role"));
    cr_expect(w[1].prompt_cost == 4 && is(w[1].prompt_reason, "") && w[1].decode_cost == -1);
}

Test(explain_call, an_older_module_refuses_it) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    fake_lie(ctest_server, &(struct fake_lies){.old = true});
    struct kvr_select_call q = ctest_selection("a");
    ctest_expect(kvr_client_explain(c, &q, 0), KVR_CODE_REFUSED);
    fake_lie(ctest_server, NULL);
}

// With a real server: what is explained is then chosen, and whoever has no room is told by the limit.
Test(explain_call, what_is_then_chosen) {
    static struct support_redis server;
    char url[80], why[160];
    cr_assert(support_redis_start(&server));
    snprintf(url, sizeof url, "redis://127.0.0.1:%d?deadline=20000", server.port);
    struct kvr_client_options o = {.create = "BLOCKSIZE 16 MAXREQUESTS 1"};
    struct kvr_client *c = kvr_client_open(url, "pool", &o, why, sizeof why);
    cr_assert(c, "%s", why);
    for (int i = 0; i < 3; i++) {
        char name[8];
        snprintf(name, sizeof name, "w%d", i);
        struct kvr_worker_call w = {.worker = kvr_text(name)};
        ctest_expect(kvr_client_worker_set(c, &w), KVR_CODE_OK);
    }
    for (int i = 0; i < 4; i++) {
        char id[8], worker[8] = "";
        snprintf(id, sizeof id, "r%d", i);
        struct kvr_select_call q = ctest_selection(id);
        const struct kvr_result *r = kvr_client_explain(c, &q, 0);
        cr_assert(r->code == KVR_CODE_OK && r->n == 3);
        const struct kvr_explanation *e = r->explanation;
        cr_expect(e->places == 3 - i && e->answer == (i < 3 ? KVR_CODE_OK : KVR_CODE_NOROOM));
        cr_expect(is(e->candidates[2].reason, i ? "maxrequests" : ""));
        cr_expect(is(e->policy, "delay") && e->candidates[0].n_terms == 7);
        double cost = e->choice.cost;
        snprintf(worker, sizeof worker, "%.*s", (int)e->choice.worker.n, e->choice.worker.p);
        r = kvr_client_select(c, &q);
        cr_expect(r->code == (i < 3 ? KVR_CODE_OK : KVR_CODE_NOROOM));
        if (i < 3) cr_expect(is(r->choice.worker, worker) && r->choice.cost == cost);
    }
    kvr_client_close(c);
    support_redis_end(&server, SIGKILL);
}
