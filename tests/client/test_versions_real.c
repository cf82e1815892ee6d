// SPDX-License-Identifier: Apache-2.0
// Sessions, labels, speeds and predictions, with a real server and the module that is built with this.
#include <criterion/criterion.h>
#include <hiredis/hiredis.h>
#include <kvroute/client.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/support_home.h"
#include "tests/support/support_redis.h"

static struct support_redis server;
static const uint64_t hashes[4] = {1, 2, 3, 4}, others[4] = {5, 6, 7, 8};
static const struct kvr_bytes zone_a = {"zone=a", 6}, zone_b = {"zone=b", 6};

static void start(void) {
    cr_assert(support_redis_start(&server));
}

static void stop(void) {
    support_redis_end(&server, SIGKILL);
}

TestSuite(versions_real, .init = start, .fini = stop, .timeout = 120);

static struct kvr_client *open_pool(void) {
    char url[80], why[160];
    struct kvr_client_options o = {.create = "BLOCKSIZE 16"};
    snprintf(url, sizeof url, "redis://127.0.0.1:%d?deadline=20000", server.port);
    struct kvr_client *c = kvr_client_open(url, "pool", &o, why, sizeof why);
    cr_assert(c, "%s", why);
    return c;
}

static void add_workers(struct kvr_client *c) {
    const struct kvr_bytes labels[] = {{"gpu", 3}, zone_a};
    struct kvr_worker_call w = {.worker = kvr_text("w1"),
                                .set = KVR_WORKER_ADDR | KVR_WORKER_SPEED | KVR_WORKER_LABELS,
                                .addr = kvr_text("here"),
                                .speed = 0.5,
                                .labels = labels,
                                .n_labels = 2};
    cr_assert_eq(kvr_client_worker_set(c, &w)->code, KVR_CODE_OK);
    w = (struct kvr_worker_call){
        .worker = kvr_text("w2"), .set = KVR_WORKER_LABELS, .labels = &zone_b, .n_labels = 1};
    cr_assert_eq(kvr_client_worker_set(c, &w)->code, KVR_CODE_OK);
}

static struct kvr_select_call selection(const char *id) {
    return (struct kvr_select_call){.request = kvr_text(id), .blocks = {.hashes = hashes, .n = 4}};
}

static const struct kvr_choice *choose(struct kvr_client *c, const struct kvr_select_call *q) {
    const struct kvr_result *r = kvr_client_select(c, q);
    cr_assert(r->code == KVR_CODE_OK, "%s %s", kvr_code_name(r->code), r->message);
    return &r->choice;
}

static void expect_workers(struct kvr_client *c) {
    const struct kvr_result *r = kvr_client_worker_list(c);
    cr_assert(r->code == KVR_CODE_OK && r->n == 2);
    cr_assert(r->workers[0].n_labels == 2 && r->workers[1].n_labels == 1);
    cr_expect(r->workers[0].speed == 0.5 && r->workers[1].speed == 0);
    bool found = false;
    for (size_t i = 0; i < 2; i++) {
        struct kvr_bytes b = r->workers[0].labels[i];
        found |= b.n == zone_a.n && !memcmp(b.p, zone_a.p, b.n);
    }
    cr_expect(found);
}

// A field of KVROUTE.REQUEST GET.
static void expect_field(const char *request, const char *name, const char *want) {
    redisContext *c = redisConnect("127.0.0.1", server.port);
    redisReply *r = redisCommand(c, "KVROUTE.REQUEST GET pool %s", request);
    char found[300] = "nothing";
    for (size_t i = 0; r && r->type == REDIS_REPLY_ARRAY && i + 1 < r->elements; i += 2) {
        const redisReply *value = r->element[i + 1];
        if (strcmp(r->element[i]->str, name) != 0) continue;
        if (value->type == REDIS_REPLY_INTEGER)
            snprintf(found, sizeof found, "%lld", value->integer);
        else
            snprintf(found, sizeof found, "%s", value->str);
    }
    cr_expect(!strcmp(found, want), "%s of %s is %s", name, request, found);
    if (r) freeReplyObject(r);
    redisFree(c);
}

Test(versions_real, labels_narrow_the_choice) {
    struct kvr_client *c = open_pool();
    add_workers(c);
    expect_workers(c);
    for (int i = 0; i < 4; i++) {
        char id[8];
        snprintf(id, sizeof id, "r%d", i);
        struct kvr_select_call q = selection(id);
        q.with = i < 2 ? &zone_b : NULL;
        q.n_with = i < 2;
        q.without = i < 2 ? NULL : &zone_b;
        q.n_without = i >= 2;
        cr_expect(choose(c, &q)->worker.p[1] == (i < 2 ? '2' : '1'));
    }
    struct kvr_select_call q = selection("none");
    const struct kvr_bytes both[] = {zone_a, zone_b};
    q.with = both;
    q.n_with = 2;
    cr_expect_eq(kvr_client_select(c, &q)->code, KVR_CODE_NOWORKER);
    kvr_client_close(c);
}

// What a live request computes is expected of its instance, and the one after it goes there, too.
Test(versions_real, what_is_live_is_expected) {
    struct kvr_client *c = open_pool();
    add_workers(c);
    struct kvr_select_call q = selection("a");
    const struct kvr_choice *choice = choose(c, &q);
    cr_expect(choice->overlap == 0 && choice->expected == 0);
    char first = choice->worker.p[1];
    q = selection("b");
    const struct kvr_result *r = kvr_client_score(c, &q);
    for (size_t i = 0; i < r->n; i++)
        cr_expect_eq(r->scores[i].expected, r->scores[i].worker.p[1] == first ? 4 : 0);
    choice = choose(c, &q);
    cr_expect(choice->worker.p[1] == first && choice->overlap == 0 && choice->expected == 4);
    kvr_client_close(c);
}

// After a server that came back with nothing, sessions and workers are as they were.
Test(versions_real, a_loss_takes_nothing) {
    struct kvr_client *c = open_pool();
    add_workers(c);
    struct kvr_select_call q = selection("a");
    q.session = kvr_text("chat-7");
    q.osl = 33;
    char first = choose(c, &q)->worker.p[1];
    cr_assert(support_redis_restart(&server));
    cr_assert(kvr_client_drain(c, 20000));
    expect_workers(c);
    expect_field("a", "session", "chat-7");
    expect_field("a", "osl", "33");
    // A turn that has nothing in common with it but the session stays where it was.
    q = selection("b");
    q.blocks.hashes = others;
    q.session = kvr_text("chat-7");
    q.policy = "linear";
    q.weigh = KVR_WEIGH_PREFILL;
    cr_assert_eq(kvr_client_release(c, &(struct kvr_bytes){"a", 1}, 1)->code, KVR_CODE_OK);
    cr_expect_eq(choose(c, &q)->worker.p[1], first);
    kvr_client_close(c);
}

Test(versions_real, times_are_learnt) {
    struct kvr_client *c = open_pool();
    add_workers(c);
    struct kvr_select_call q = selection("a");
    const struct kvr_choice *choice = choose(c, &q);
    cr_expect(choice->ttft == -1 && choice->tpot == -1);
    support_sleep_ms(20);
    struct kvr_update_call u = {.request = q.request, .prefilled = true, .output = 1};
    cr_assert_eq(kvr_client_update(c, &u)->number, 1);
    support_sleep_ms(20);
    u = (struct kvr_update_call){.request = q.request, .output = 10};
    cr_assert_eq(kvr_client_update_async(c, &u, NULL, NULL), KVR_CODE_OK);
    cr_assert_eq(kvr_client_release(c, &q.request, 1)->number, 1);
    q = selection("b");
    q.blocks.hashes = others;
    choice = choose(c, &q);
    cr_expect(choice->ttft > 0 && choice->tpot > 0, "%f %f", choice->ttft, choice->tpot);
    const struct kvr_result *r = kvr_client_worker_list(c);
    double most = -1;
    for (size_t i = 0; i < r->n; i++)
        if (r->workers[i].ranks[0].ttft > most) most = r->workers[i].ranks[0].ttft;
    cr_expect(most > 0, "%f", most);
    kvr_client_close(c);
}
