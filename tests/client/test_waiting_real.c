// SPDX-License-Identifier: Apache-2.0
// Waiting for room, with a real server and the module that is built with this.
#include <criterion/criterion.h>
#include <kvroute/client.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_redis.h"

enum { REAL_WAITERS = 300, REAL_ROOM = 3 };

static struct support_redis server;
static const uint64_t hashes[4] = {1, 2, 3, 4};

static void start(void) {
    server.config = "appendonly yes\nappendfsync always\n";
    cr_assert(support_redis_start(&server));
}

static void stop(void) {
    support_redis_end(&server, SIGKILL);
}

TestSuite(waiting_real, .init = start, .fini = stop, .timeout = 300);

// ---- Parts ---------------------------------------------------------------------------------------

static struct kvr_client *open_pool(const char *login) {
    char url[120], why[160];
    struct kvr_client_options o = {.create = "BLOCKSIZE 16 MAXREQUESTS 1"};
    snprintf(url, sizeof url, "redis://%s127.0.0.1:%d?deadline=30000", login, server.port);
    struct kvr_client *c = kvr_client_open(url, "pool", &o, why, sizeof why);
    cr_assert(c, "%s", why);
    return c;
}

static void set_workers(struct kvr_client *c, int n, int64_t max_requests) {
    for (int i = 0; i < n; i++) {
        char name[8];
        snprintf(name, sizeof name, "e%d", i);
        struct kvr_worker_call w = {
            .worker = kvr_text(name), .set = KVR_WORKER_MAX_REQUESTS, .max_requests = max_requests};
        cr_assert_eq(kvr_client_worker_set(c, &w)->code, KVR_CODE_OK);
    }
}

static struct kvr_select_call selection(const char *id, int64_t wait) {
    return (struct kvr_select_call){
        .request = kvr_text(id), .blocks = {.hashes = hashes, .n = 4}, .wait = wait};
}

struct real_waiter {
    char id[8];
    int answers;
    enum kvr_code code;
    int64_t number, waited;
};
static struct real_waiter waiters[REAL_WAITERS];
static size_t answered, booked, last_booked;
static size_t asked_below; // those may hear of it by asking: the server was away when it was said
static bool in_order;

static void take(void *ctx, const struct kvr_result *r) {
    struct real_waiter *w = ctx;
    size_t i = (size_t)(w - waiters);
    w->answers++;
    w->code = r->code;
    w->number = r->number;
    w->waited = r->choice.waited;
    answered++;
    if (r->code != KVR_CODE_OK) return;
    if (booked++ && i < last_booked && i >= asked_below) in_order = false;
    if (i > last_booked) last_booked = i;
}

static void begin(struct kvr_client *c, size_t n, int64_t wait) {
    memset(waiters, 0, sizeof waiters);
    answered = booked = last_booked = asked_below = 0;
    in_order = true;
    for (size_t i = 0; i < n; i++) {
        snprintf(waiters[i].id, sizeof waiters[i].id, "r%03zu", i);
        struct kvr_select_call q = selection(waiters[i].id, wait);
        cr_assert(kvr_client_select_async(c, &q, take, &waiters[i]) == KVR_CODE_OK);
    }
}

static void await_answers(struct kvr_client *c, size_t n) {
    for (int64_t end = kvr_clock_ms() + 120000; answered < n && kvr_clock_ms() < end;)
        kvr_client_run(c, 50);
    cr_assert(answered >= n, "%zu of %zu answers", answered, n);
}

static void await_answer(struct kvr_client *c, size_t i) {
    for (int64_t end = kvr_clock_ms() + 120000; !waiters[i].answers && kvr_clock_ms() < end;)
        kvr_client_run(c, 50);
    cr_assert(waiters[i].answers == 1, "%s has %d answers", waiters[i].id, waiters[i].answers);
}

static struct kvr_client_stats stats_of(struct kvr_client *c) {
    struct kvr_client_stats s;
    kvr_client_stats(c, &s);
    return s;
}

static void await_queue(struct kvr_client *c, size_t n) {
    for (int64_t end = kvr_clock_ms() + 60000; kvr_clock_ms() < end; kvr_client_run(c, 5))
        if (stats_of(c).waiting == n) break;
    const struct kvr_result *r = kvr_client_queue(c, 0);
    cr_assert(r->code == KVR_CODE_OK && r->queue.waiting == (int64_t)n, "%lld wait",
              (long long)r->queue.waiting);
}

// Releases each that is booked, and so lets the next in, until all are through.
static void let_through(struct kvr_client *c, size_t n) {
    static bool over[REAL_WAITERS];
    memset(over, 0, sizeof over);
    for (size_t done = 0; done < n;) {
        await_answers(c, done + 1);
        for (size_t i = 0; i < n; i++) {
            if (over[i] || !waiters[i].answers) continue;
            struct kvr_bytes id = kvr_text(waiters[i].id);
            over[i] = true;
            done++;
            cr_assert_eq(kvr_client_release_async(c, &id, 1, NULL, NULL), KVR_CODE_OK);
        }
    }
    cr_assert(kvr_client_drain(c, 60000));
}

// Who is told hears of it in the order of the admissions; who only asks, in that of the asking, over another connection.
static void expect_all_booked_once(struct kvr_client *c, size_t n, bool told) {
    cr_expect(in_order || !told, "not in the order of their coming");
    for (size_t i = 0; i < n; i++)
        cr_expect(waiters[i].answers == 1 && waiters[i].code == KVR_CODE_OK, "%s: %d times %s",
                  waiters[i].id, waiters[i].answers, kvr_code_name(waiters[i].code));
    const struct kvr_result *r = kvr_client_info(c);
    cr_expect(kvr_info_int(r, "waiting", -1) == 0 && kvr_info_int(r, "requests", -1) == 0);
}

// ---- Admitted ------------------------------------------------------------------------------------

// One at a time: they are told, for if they only asked, all would ask for each that goes.
Test(waiting_real, one_by_one) {
    struct kvr_client *c = open_pool("");
    set_workers(c, 1, 0);
    begin(c, 100, 600000);
    await_queue(c, 99);
    for (int64_t end = kvr_clock_ms() + 60000; !stats_of(c).subscribed && kvr_clock_ms() < end;)
        kvr_client_run(c, 5);
    uint64_t before = stats_of(c).sendings;
    let_through(c, 100);
    cr_expect(stats_of(c).sendings - before < 5000, "%lu commands",
              (unsigned long)(stats_of(c).sendings - before));
    cr_expect(stats_of(c).waited == 99 && waiters[99].waited >= waiters[50].waited);
    expect_all_booked_once(c, 100, true);
    cr_expect(kvr_info_int(kvr_client_info(c), "admitted", -1) == 99);
    kvr_client_close(c);
}

// Who may use the pool but no channel is told nothing.
Test(waiting_real, without_rights_to_channels) {
    redisReply *r = support_redis_words(&server, "ACL SETUSER app on >pw ~* +@all resetchannels");
    cr_assert(r);
    freeReplyObject(r);
    struct kvr_client *c = open_pool("app:pw@");
    set_workers(c, 4, 5);
    begin(c, 60, 600000);
    await_queue(c, 40);
    cr_expect(!stats_of(c).subscribed);
    let_through(c, 60);
    expect_all_booked_once(c, 60, false);
    kvr_client_close(c);
}

Test(waiting_real, two_handles) {
    struct kvr_client *c = open_pool(""), *d = open_pool("");
    set_workers(c, 1, 0);
    struct kvr_select_call q = selection("first", 0);
    cr_assert_eq(kvr_client_select(d, &q)->code, KVR_CODE_OK);
    begin(c, 1, 600000);
    await_queue(c, 1);
    struct kvr_bytes first = kvr_text("first");
    cr_assert(kvr_client_release(d, &first, 1)->number == 1);
    await_answers(c, 1);
    cr_expect(waiters[0].code == KVR_CODE_OK);
    q = selection("third", 0);
    const struct kvr_result *r = kvr_client_select(d, &q);
    cr_expect(r->code == KVR_CODE_NOROOM && r->number >= 1);
    kvr_client_close(d);
    kvr_client_close(c);
}

// ---- Not admitted --------------------------------------------------------------------------------

Test(waiting_real, their_time_is_over) {
    struct kvr_client *c = open_pool("");
    set_workers(c, 1, 0);
    begin(c, 41, 300);
    await_answers(c, 41);
    for (size_t i = 1; i < 41; i++)
        cr_expect(waiters[i].code == KVR_CODE_NOROOM && waiters[i].number >= 1, "%s %s, %lld",
                  waiters[i].id, kvr_code_name(waiters[i].code), (long long)waiters[i].number);
    cr_assert(kvr_client_drain(c, 60000));
    cr_expect(kvr_client_queue(c, 0)->queue.waiting == 0);
    cr_expect(kvr_info_int(kvr_client_info(c), "requests", -1) == 1);
    kvr_client_close(c);
}

Test(waiting_real, released_and_closed) {
    struct kvr_client *c = open_pool(""), *d = open_pool("");
    set_workers(c, 1, 0);
    begin(c, 10, 600000);
    await_queue(c, 9);
    struct kvr_bytes id = kvr_text("r004");
    cr_expect(kvr_client_release(c, &id, 1)->number == 1);
    await_answers(c, 2);
    cr_expect(waiters[4].code == KVR_CODE_RELEASED);
    kvr_client_close(c);
    cr_expect(answered == 10 && waiters[9].code == KVR_CODE_CLOSED);
    for (int64_t end = kvr_clock_ms() + 60000; kvr_clock_ms() < end;)
        if (!kvr_client_queue(d, 0)->queue.waiting) break;
    cr_expect(kvr_client_queue(d, 0)->queue.waiting == 0);
    kvr_client_close(d);
}

// ---- Losses --------------------------------------------------------------------------------------

// Until it tells of admissions again.
static void restart_server(struct kvr_client *c) {
    uint64_t before = stats_of(c).connects;
    cr_assert(support_redis_restart(&server));
    for (int64_t end = kvr_clock_ms() + 60000; kvr_clock_ms() < end; kvr_client_run(c, 5))
        if (stats_of(c).connects > before && stats_of(c).subscribed) break;
    cr_assert(stats_of(c).subscribed);
}

// The server is killed again and again while they wait and while they are let in.
Test(waiting_real, a_server_that_is_killed) {
    struct kvr_client *c = open_pool("");
    set_workers(c, 1, REAL_ROOM);
    begin(c, REAL_WAITERS, 600000);
    await_queue(c, REAL_WAITERS - REAL_ROOM);
    restart_server(c);
    await_queue(c, REAL_WAITERS - REAL_ROOM);
    size_t released = 0;
    for (int kill = 0; kill < 4; kill++) {
        for (size_t upto = released + 50; released < upto; released++) {
            await_answer(c, released);
            struct kvr_bytes id = kvr_text(waiters[released].id);
            cr_assert_eq(kvr_client_release_async(c, &id, 1, NULL, NULL), KVR_CODE_OK);
        }
        asked_below = released + REAL_ROOM;
        restart_server(c);
    }
    for (; released < REAL_WAITERS; released++) {
        await_answer(c, released);
        struct kvr_bytes id = kvr_text(waiters[released].id);
        cr_assert_eq(kvr_client_release(c, &id, 1)->code, KVR_CODE_OK);
    }
    cr_assert(kvr_client_drain(c, 60000));
    expect_all_booked_once(c, REAL_WAITERS, true);
    kvr_client_close(c);
}

// One that comes back with nothing: they are in their order again.
Test(waiting_real, a_pool_that_is_gone) {
    struct kvr_client *c = open_pool("");
    set_workers(c, 1, 1);
    begin(c, 60, 600000);
    await_queue(c, 59);
    redisReply *r = support_redis_words(&server, "FLUSHALL");
    cr_assert(r);
    freeReplyObject(r);
    // The next who asks finds it out; the worker, the one who is booked and those who wait are put back. Until the
    // one is, the worker seems free, and the first of the others may have been admitted beside it.
    int64_t requests = 0, waiting = 0;
    for (int64_t end = kvr_clock_ms() + 60000; requests < 1 || requests + waiting != 60;
         kvr_client_run(c, 5)) {
        const struct kvr_result *info = kvr_client_info(c);
        requests = kvr_info_int(info, "requests", 0);
        waiting = kvr_info_int(info, "waiting", 0);
        cr_assert(kvr_clock_ms() < end, "%lld are booked, %lld wait", (long long)requests,
                  (long long)waiting);
    }
    cr_assert(requests <= 2, "%lld are booked where one has room", (long long)requests);
    let_through(c, 60);
    expect_all_booked_once(c, 60, true);
    kvr_client_close(c);
}

// ---- Classes and flows ---------------------------------------------------------------------------

static const struct kvr_class *class_of(const struct kvr_result *r, const char *name) {
    for (size_t i = 0; i < r->n; i++)
        if (r->classes[i].name.n == strlen(name) &&
            !memcmp(r->classes[i].name.p, name, strlen(name)))
            return &r->classes[i];
    cr_assert_fail("no class %s", name);
    return NULL;
}

Test(waiting_real, classes) {
    struct kvr_client *c = open_pool("");
    set_workers(c, 1, 1);
    struct kvr_class_call k = {.name = kvr_text("batch"),
                               .set = KVR_CLASS_SET_PRIORITY | KVR_CLASS_SET_WEIGHT |
                                      KVR_CLASS_SET_WAITING | KVR_CLASS_SET_ROOM,
                               .priority = -5,
                               .weight = 0.25,
                               .waiting = 2,
                               .room = 80};
    const struct kvr_result *r = kvr_client_class_set(c, &k);
    cr_expect(r->code == KVR_CODE_OK && r->number == 1);
    cr_expect(kvr_client_class_set(c, &k)->number == 0);
    k = (struct kvr_class_call){
        .name = kvr_text("default"), .set = KVR_CLASS_SET_WEIGHT, .weight = 3};
    cr_expect(kvr_client_class_set(c, &k)->number == 0);
    r = kvr_client_class_list(c);
    cr_assert(r->code == KVR_CODE_OK && r->n == 2);
    const struct kvr_class *batch = class_of(r, "batch"), *usual = class_of(r, "default");
    cr_expect(batch->priority == -5 && batch->weight == 0.25 && batch->max_waiting == 2 &&
              batch->room == 80);
    cr_expect(usual->weight == 3 && usual->room == 100 && usual->max_waiting == 0);
    // Of a class, up to its number wait; the others are refused.
    begin(c, 1, 600000);
    await_answers(c, 1);
    struct kvr_select_call q = selection("b1", 600000);
    q.service_class = kvr_text("batch");
    q.flow = kvr_text("tenant");
    static struct real_waiter more[2];
    cr_assert(kvr_client_select_async(c, &q, take, &more[0]) == KVR_CODE_OK);
    q.request = kvr_text("b2");
    cr_assert(kvr_client_select_async(c, &q, take, &more[1]) == KVR_CODE_OK);
    await_queue(c, 2);
    q.request = kvr_text("b3");
    r = kvr_client_select(c, &q);
    cr_expect(r->code == KVR_CODE_NOROOM && r->number >= 1);
    r = kvr_client_queue(c, 1);
    cr_assert(r->code == KVR_CODE_OK && r->n == 1 && r->queue.waiting == 2);
    cr_expect(r->queued[0].service_class.n == 5 && r->queued[0].flow.n == 6 &&
              r->queued[0].position == 0 && r->queued[0].blocks == 4 && r->queue.tokens == 128);
    cr_expect(r->queued[0].request.n == 2 && !memcmp(r->queued[0].request.p, "b1", 2));
    cr_expect(kvr_client_class_del(c, kvr_text("batch"))->code == KVR_CODE_REFUSED);
    cr_expect(kvr_client_class_del(c, kvr_text("default"))->code == KVR_CODE_REFUSED);
    cr_expect(kvr_client_class_del(c, kvr_text("none"))->number == 0);
    r = kvr_client_class_list(c);
    cr_expect(class_of(r, "batch")->waiting == 2 && class_of(r, "batch")->refused == 1);
    q.service_class = kvr_text("unknown");
    q.request = kvr_text("b4");
    cr_expect(kvr_client_select(c, &q)->code == KVR_CODE_REFUSED);
    struct kvr_bytes ids[] = {kvr_text("b1"), kvr_text("b2")};
    cr_expect(kvr_client_release(c, ids, 2)->number == 2);
    cr_expect(kvr_client_class_del(c, kvr_text("batch"))->number == 1);
    kvr_client_close(c);
}

Test(waiting_real, flows) {
    struct kvr_client *c = open_pool("");
    set_workers(c, 1, 1000);
    for (int i = 0; i < 30; i++) {
        char name[16];
        snprintf(name, sizeof name, "tenant-%d", i);
        struct kvr_flow_call f = {.name = kvr_text(name),
                                  .set = KVR_FLOW_SET_WEIGHT | KVR_FLOW_SET_REQUESTS |
                                         KVR_FLOW_SET_RATE | KVR_FLOW_SET_BURST,
                                  .weight = 2.5,
                                  .requests = 2,
                                  .rate = 1,
                                  .burst = 100};
        const struct kvr_result *r = kvr_client_flow_set(c, &f);
        cr_expect(r->code == KVR_CODE_OK && r->number == 1);
    }
    struct kvr_select_call q = selection("a", 0);
    q.flow = kvr_text("tenant-7");
    cr_expect(kvr_client_select(c, &q)->code == KVR_CODE_OK);
    q.request = kvr_text("b");
    const struct kvr_result *r = kvr_client_select(c, &q);
    cr_expect(r->code == KVR_CODE_LIMITED && r->number > 1000, "%s %lld", kvr_code_name(r->code),
              (long long)r->number);
    size_t seen = 0;
    uint64_t cursor = 0;
    do {
        r = kvr_client_flow_list(c, cursor, 5);
        cr_assert(r->code == KVR_CODE_OK);
        for (size_t i = 0; i < r->n; i++) {
            const struct kvr_flow *f = &r->flows[i];
            bool used = f->name.n == 8 && !memcmp(f->name.p, "tenant-7", 8);
            seen++;
            cr_expect(f->weight == 2.5 && f->max_requests == 2 && f->rate == 1 && f->burst == 100);
            cr_expect(f->requests == used && f->waiting == 0);
            cr_expect(used ? f->left < 100 : f->left == 100);
        }
        cursor = r->cursor;
    } while (cursor);
    cr_expect(seen == 30, "%zu flows", seen);
    cr_expect(kvr_client_flow_del(c, kvr_text("tenant-7"))->number == 1);
    cr_expect(kvr_client_flow_del(c, kvr_text("tenant-7"))->number == 0);
    kvr_client_close(c);
}
