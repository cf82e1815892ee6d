// SPDX-License-Identifier: Apache-2.0
// Calls that wait for room: how they are told, how they ask, and how each comes to one end.
//
//   admitted: told on the channel, or found by asking           told_of_admissions, news_that_is_lost
//   who may not subscribe, or name a channel, asks              no_right_to_subscribe, no_right_to_be_told
//   NOROOM with a number when the time is over                  their_time_is_over, nothing_waits_unasked
//   the deadline counts only while there is no primary          longer_than_the_deadline, without_a_primary
//   RELEASED, once; CLOSED, and the pool is told                released, closed
//   order after a loss                                          a_pool_that_forgets_has_them_in_order
//   degraded: nothing waits                                     nothing_waits_when_degraded
//   one subscription, however many wait                         one_subscription
#include <criterion/criterion.h>
#include <kvroute/client.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "ctest_handle.h"
#include "ctest_waiting.h"

TestSuite(waiting, .init = ctest_start, .fini = ctest_stop, .timeout = 300);

static const struct kvr_client_options plain;
static struct ctest_waiters waiters;

static void release(struct kvr_client *c, const char *id, int64_t number) {
    struct kvr_bytes b = kvr_text(id);
    const struct kvr_result *r = kvr_client_release(c, &b, 1);
    cr_expect(r->code == KVR_CODE_OK && r->number == number, "%s, %lld", kvr_code_name(r->code),
              (long long)r->number);
}

static struct kvr_client_stats stats_of(struct kvr_client *c) {
    struct kvr_client_stats s;
    kvr_client_stats(c, &s);
    return s;
}

static void await_subscription(struct kvr_client *c) {
    for (int64_t end = kvr_clock_ms() + 60000; !stats_of(c).subscribed && kvr_clock_ms() < end;)
        kvr_client_run(c, 5);
    cr_assert(stats_of(c).subscribed);
}

static void expect_all_ok(size_t n) {
    ctest_waiters_await(&waiters, n);
    cr_expect(waiters.codes[KVR_CODE_OK] == (int)n);
    cr_expect(fake_live(ctest_server) == n, "%zu are booked", fake_live(ctest_server));
    cr_expect(fake_queue_counts(ctest_server).waiting == 0);
}

// ---- Admitted ------------------------------------------------------------------------------------

// With one room for all of them they go one by one, and each has to be told: if they only asked, all of them would
// ask for every one that goes.
Test(waiting, told_of_admissions) {
    enum { N = 80 };
    struct kvr_client *c = ctest_open(plain, "");
    fake_set_room(ctest_server, 1, 1000000);
    ctest_waiters_begin(&waiters, c, N, 600000);
    ctest_waiters_await_queue(c, N - 1);
    await_subscription(c);
    uint64_t before = stats_of(c).sendings;
    for (size_t i = 0; i < N; i++) {
        ctest_waiters_await(&waiters, i + 1);
        cr_expect(waiters.each[i].answers == 1, "out of order: %s", waiters.order);
        release(c, waiters.each[i].id, 1);
    }
    uint64_t sent = stats_of(c).sendings - before;
    cr_expect(sent < 40 * N, "%lu commands", (unsigned long)sent);
    cr_expect(waiters.codes[KVR_CODE_OK] == N && stats_of(c).waited == N - 1);
    cr_expect(stats_of(c).waiting == 0 && fake_queue_counts(ctest_server).unclaimed == 0);
}

Test(waiting, news_that_is_lost) {
    struct kvr_client *c = ctest_open(plain, "");
    fake_set_room(ctest_server, 0, 60000);
    fake_lose_news(ctest_server, 100);
    ctest_waiters_begin(&waiters, c, 100, 600000);
    ctest_waiters_await_queue(c, 100);
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    expect_all_ok(100);
}

// Two thirds of the news is lost, and what isn't asked for in time goes to another: nobody is forgotten.
Test(waiting, bookings_that_end_before_they_are_asked_for) {
    struct kvr_client *c = ctest_open(plain, "");
    fake_set_room(ctest_server, 0, 60);
    fake_lose_news(ctest_server, 67);
    ctest_waiters_begin(&waiters, c, 60, 600000);
    ctest_waiters_await_queue(c, 60);
    fake_set_room(ctest_server, SIZE_MAX, 60);
    expect_all_ok(60);
}

static void count_warnings(void *ctx, enum kvr_level level, const char *line) {
    int *n = ctx;
    *n += level >= KVR_LOG_WARNING && strstr(line, "only ask from time to time") != NULL;
}

static void wait_unheard(const struct fake_lies *lies) {
    int warnings = 0;
    struct kvr_client *c =
        ctest_open((struct kvr_client_options){.log = count_warnings, .log_ctx = &warnings}, "");
    fake_lie(ctest_server, lies);
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 30, 600000);
    ctest_waiters_await_queue(c, 30);
    ctest_run(c, 300);
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    expect_all_ok(30);
    cr_expect(!stats_of(c).subscribed || lies->mute);
    cr_expect(warnings == 1, "%d warnings", warnings);
    fake_lie(ctest_server, NULL);
}

Test(waiting, no_right_to_subscribe) {
    wait_unheard(&(struct fake_lies){.fails = "SUBSCRIBE", .error = "NOPERM no such right"});
}

Test(waiting, no_right_to_be_told) {
    char said[600];
    wait_unheard(&(struct fake_lies){.mute = true});
    fake_said(ctest_server, "KVROUTE.SELECT", said, sizeof said);
    cr_expect(!strstr(said, "NOTIFY"), "%s", said);
}

Test(waiting, no_right_to_select) {
    struct kvr_client *c = ctest_open(plain, "");
    fake_lie(ctest_server, &(struct fake_lies){.fails = "KVROUTE.SELECT", .error = "NOPERM no"});
    ctest_waiters_begin(&waiters, c, 1, 600000);
    ctest_waiters_await(&waiters, 1);
    cr_expect(waiters.codes[KVR_CODE_DENIED] == 1);
    fake_lie(ctest_server, NULL);
}

Test(waiting, one_subscription) {
    struct kvr_client *c = ctest_open(plain, "");
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    ctest_run(c, 50);
    cr_expect(fake_queue_counts(ctest_server).subscribed == 0, "nobody has waited yet");
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 200, 600000);
    ctest_waiters_await_queue(c, 200);
    await_subscription(c);
    cr_expect(fake_queue_counts(ctest_server).subscribed == 1);
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    expect_all_ok(200);
}

// It is made anew, and what was published in between is asked for.
Test(waiting, the_subscription_is_cut) {
    struct kvr_client *c = ctest_open(plain, "");
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 20, 600000);
    ctest_waiters_await_queue(c, 20);
    await_subscription(c);
    fake_hang_up(ctest_server);
    fake_set_room(ctest_server, 5, 60000);
    ctest_waiters_await(&waiters, 5);
    await_subscription(c);
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    expect_all_ok(20);
}

Test(waiting, news_of_others) {
    struct kvr_client *c = ctest_open(plain, "");
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 3, 600000);
    ctest_waiters_await_queue(c, 3);
    await_subscription(c);
    static const char *const ids[] = {"nobody", "", "w001", "w001", "w00", "w002\r\n"};
    for (size_t i = 0; i < 600; i++)
        fake_publish(ctest_server, ids[i % 6]);
    ctest_run(c, 100);
    cr_expect(waiters.answered == 0 && fake_queue_counts(ctest_server).waiting == 3);
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    expect_all_ok(3);
}

static void *make_room(void *unused) {
    (void)unused;
    for (int64_t end = kvr_clock_ms() + 60000; kvr_clock_ms() < end;)
        if (fake_waits(ctest_server, "b")) break;
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    return NULL;
}

Test(waiting, in_the_blocking_form) {
    pthread_t other;
    struct kvr_client *c = ctest_open(plain, "");
    struct kvr_select_call q = ctest_selection("b");
    fake_set_room(ctest_server, 0, 60000);
    q.wait = 600000;
    cr_assert(pthread_create(&other, NULL, make_room, NULL) == 0);
    const struct kvr_result *r = kvr_client_select(c, &q);
    ctest_expect(r, KVR_CODE_OK);
    cr_expect(r->choice.worker.n == 2 && r->sendings >= 2);
    pthread_join(other, NULL);
    cr_expect(fake_has(ctest_server, "b", 1) && stats_of(c).live == 1 && stats_of(c).waited == 1);
}

// The same request asked for twice at once: it is booked once, and both are told.
Test(waiting, twins) {
    struct kvr_client *c = ctest_open(plain, "");
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 1, 600000);
    waiters.n = 0;
    struct ctest_answers twin = {c, 0, {0}};
    struct kvr_select_call q = ctest_selection("w000");
    q.wait = 600000;
    for (int i = 0; i < 2; i++)
        cr_assert(kvr_client_select_async(c, &q, ctest_count, &twin) == KVR_CODE_OK);
    ctest_run(c, 50);
    cr_expect(fake_queue_counts(ctest_server).waiting == 1);
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    expect_all_ok(1);
    ctest_await(c, &twin, 2);
    cr_expect(twin.codes[KVR_CODE_OK] == 2);
}

// ---- Not admitted --------------------------------------------------------------------------------

Test(waiting, their_time_is_over) {
    struct kvr_client *c = ctest_open(plain, "");
    fake_set_room(ctest_server, 0, 60000);
    for (size_t i = 0; i < 50; i++)
        ctest_waiters_begin(&waiters, c, 1, 1 + (int64_t)(i * 37 % 400));
    ctest_waiters_await(&waiters, 50);
    cr_expect(waiters.codes[KVR_CODE_NOROOM] == 50);
    for (size_t i = 0; i < 50; i++)
        cr_expect(waiters.each[i].number >= 1, "%lld", (long long)waiters.each[i].number);
    cr_assert(kvr_client_drain(c, 60000));
    cr_expect(fake_queue_counts(ctest_server).waiting == 0 && stats_of(c).waiting == 0);
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    ctest_run(c, 50);
    cr_expect(fake_live(ctest_server) == 0);
}

Test(waiting, without_wait_it_is_refused_at_once) {
    struct kvr_client *c = ctest_open(plain, "");
    struct kvr_select_call q = ctest_selection("a");
    fake_set_room(ctest_server, 0, 60000);
    const struct kvr_result *r = kvr_client_select(c, &q);
    cr_expect(r->code == KVR_CODE_NOROOM && r->number == 250 && r->sendings == 1);
    cr_expect(!strcmp(kvr_code_name(r->code), "NOROOM") && r->message[0]);
    static const struct {
        const char *says;
        enum kvr_code code;
        int64_t number;
    } refusals[] = {
        {"-LIMITED 1234 the flow 77\r\n", KVR_CODE_LIMITED, 1234},
        {"-LIMITED 17\r\n", KVR_CODE_LIMITED, 17},
        {"-NOROOM 0 none\r\n", KVR_CODE_NOROOM, 1000},
        {"-NOROOM\r\n", KVR_CODE_NOROOM, 1000},
        {"-NOROOM soon\r\n", KVR_CODE_NOROOM, 1000},
    };
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        struct fake_fault says = {"says", FAKE_FAULT_SAY, refusals[i].says, 0};
        fake_set_room(ctest_server, SIZE_MAX, 60000);
        fake_set_fault(ctest_server, &says, 1, false);
        q.wait = i % 2 ? 1000 : 0;
        r = kvr_client_select(c, &q);
        cr_expect(r->code == refusals[i].code && r->number == refusals[i].number, "%s: %s, %lld",
                  refusals[i].says, kvr_code_name(r->code), (long long)r->number);
    }
    cr_expect(kvr_client_drain(c, 60000) && fake_live(ctest_server) == 0);
}

// A request that waits for another handle isn't ended by one that only asks.
Test(waiting, anothers_wait_goes_on) {
    struct kvr_client *c = ctest_open(plain, ""), *d = ctest_open(plain, "");
    struct kvr_select_call q = ctest_selection("w000");
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 1, 600000);
    ctest_waiters_await_queue(c, 1);
    const struct kvr_result *r = kvr_client_select(d, &q);
    cr_expect(r->code == KVR_CODE_NOROOM && r->number == 70);
    cr_expect(kvr_client_drain(d, 60000) && fake_waits(ctest_server, "w000"));
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    expect_all_ok(1);
}

Test(waiting, longer_than_the_deadline) {
    struct kvr_client *c = ctest_open(plain, "deadline=60");
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 10, 600000);
    ctest_waiters_await_queue(c, 10);
    ctest_run(c, 400);
    cr_expect(waiters.answered == 0);
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    expect_all_ok(10);
}

Test(waiting, without_a_primary) {
    struct kvr_client *c = ctest_open(plain, "deadline=100");
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 10, 600000);
    ctest_waiters_await_queue(c, 10);
    ctest_without_server(c);
    ctest_waiters_await(&waiters, 10);
    cr_expect(waiters.codes[KVR_CODE_TIMEOUT] == 10);
    cr_expect(fake_queue_counts(ctest_server).waiting == 10);
    fake_heal(ctest_server);
    cr_assert(kvr_client_drain(c, 60000));
    cr_expect(fake_queue_counts(ctest_server).waiting == 0, "they are taken back");
}

Test(waiting, nothing_waits_when_degraded) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){.degrade = true}, "deadline=100");
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 10, 600000);
    ctest_waiters_await_queue(c, 10);
    for (int64_t end = kvr_clock_ms() + 60000; kvr_clock_ms() < end; kvr_client_run(c, 5)) {
        char said[100]; // it has looked at the workers
        fake_said(ctest_server, "KVROUTE.WORKER", said, sizeof said);
        if (said[0]) break;
    }
    ctest_without_server(c);
    ctest_waiters_await(&waiters, 10);
    cr_expect(waiters.codes[KVR_CODE_OK] == 10 && waiters.each[9].degraded);
    cr_expect(stats_of(c).waited == 0, "they were chosen, not admitted");
    struct kvr_select_call q = ctest_selection("at once");
    q.wait = 600000;
    const struct kvr_result *r = kvr_client_select(c, &q);
    cr_expect(r->code == KVR_CODE_OK && r->degraded);
    fake_heal(ctest_server);
    cr_assert(kvr_client_drain(c, 60000));
    cr_expect(fake_queue_counts(ctest_server).waiting == 0 && fake_live(ctest_server) == 11);
}

// ---- Ended by the caller -------------------------------------------------------------------------

Test(waiting, released) {
    struct kvr_client *c = ctest_open(plain, "");
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 10, 600000);
    ctest_waiters_await_queue(c, 10);
    release(c, "w003", 1);
    release(c, "w009", 1);
    ctest_waiters_await(&waiters, 2);
    cr_expect(waiters.each[3].code == KVR_CODE_RELEASED &&
              waiters.each[9].code == KVR_CODE_RELEASED);
    cr_expect(!fake_waits(ctest_server, "w003") && fake_queue_counts(ctest_server).waiting == 8);
    // Before its answer came, too.
    ctest_waiters_begin(&waiters, c, 1, 600000);
    release(c, "w010", 1);
    ctest_waiters_await(&waiters, 3);
    cr_expect(waiters.each[10].code == KVR_CODE_RELEASED && stats_of(c).waiting == 8);
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    ctest_waiters_await(&waiters, 11);
    cr_expect(kvr_client_drain(c, 60000) && fake_live(ctest_server) == 8);
}

Test(waiting, released_without_a_primary) {
    struct kvr_client *c = ctest_open(plain, "deadline=60000");
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 2, 600000);
    ctest_waiters_await_queue(c, 2);
    fake_set_fault(ctest_server, &(struct fake_fault){"dies", FAKE_FAULT_DIE, "", 0}, 1, true);
    struct ctest_answers released = {c, 0, {0}};
    struct kvr_bytes id = kvr_text("w000");
    cr_assert(kvr_client_release_async(c, &id, 1, ctest_count, &released) == KVR_CODE_OK);
    cr_expect(waiters.answered == 0, "never before the call returns");
    ctest_waiters_await(&waiters, 1);
    cr_expect(waiters.each[0].code == KVR_CODE_RELEASED);
    fake_heal(ctest_server);
    ctest_await(c, &released, 1);
    cr_expect(!fake_waits(ctest_server, "w000") && fake_waits(ctest_server, "w001"));
    release(c, "w001", 1);
    ctest_waiters_await(&waiters, 2);
}

Test(waiting, closed) {
    struct kvr_client *c = ctest_open(plain, "");
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 30, 600000);
    ctest_waiters_await_queue(c, 30);
    ctest_waiters_begin(&waiters, c, 3, 600000); // that the pool hasn't answered
    ctest_close(c);
    cr_expect(waiters.answered == 33 && waiters.codes[KVR_CODE_CLOSED] == 33);
    for (int64_t end = kvr_clock_ms() + 60000; kvr_clock_ms() < end;)
        if (!fake_queue_counts(ctest_server).waiting) break;
    cr_expect(fake_queue_counts(ctest_server).waiting == 0);
}

Test(waiting, they_count_as_pending) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){.max_pending = 5}, "");
    struct kvr_select_call q = ctest_selection("one more");
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 5, 600000);
    ctest_waiters_await_queue(c, 5);
    q.wait = 10;
    cr_expect(kvr_client_select_async(c, &q, NULL, NULL) == KVR_CODE_FULL);
    cr_expect(stats_of(c).pending == 5 && stats_of(c).waiting == 5);
    cr_expect(!kvr_client_drain(c, 50));
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    ctest_waiters_await(&waiters, 5);
}

// ---- Losses --------------------------------------------------------------------------------------

static void expect_in_order(size_t n) {
    char ids[CTEST_WAITERS * 5], want[CTEST_WAITERS * 5] = "";
    size_t len = 0;
    fake_waiting_ids(ctest_server, ids, sizeof ids);
    for (size_t i = 0; i < n; i++)
        len += (size_t)snprintf(want + len, sizeof want - len, "%sw%03zu", i ? " " : "", i);
    cr_expect(!strcmp(ids, want), "%s", ids);
}

Test(waiting, a_pool_that_forgets_has_them_in_order) {
    enum { N = 120 };
    struct kvr_client *c = ctest_open((struct kvr_client_options){.create = ""}, "");
    fake_set_room(ctest_server, 0, 60000);
    for (size_t i = 0; i < N / 10; i++) { // some ask again meanwhile, and so stand behind others
        ctest_waiters_begin(&waiters, c, 10, 600000);
        ctest_run(c, 60);
    }
    for (int round = 0; round < 3; round++) {
        ctest_waiters_await_queue(c, N);
        expect_in_order(N);
        fake_forget(ctest_server);
        fake_hang_up(ctest_server);
        ctest_run(c, round * 300);
    }
    ctest_waiters_await_queue(c, N);
    expect_in_order(N);
    cr_expect(waiters.answered == 0);
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    expect_all_ok(N);
}

// Another primary, which lacks the last of them: nobody loses his place to them.
Test(waiting, a_failover_in_the_middle) {
    enum { N = 100 };
    struct kvr_client *c = ctest_open(plain, "");
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, N / 2, 600000);
    ctest_waiters_await_queue(c, N / 2);
    fake_keep(ctest_server);
    ctest_waiters_begin(&waiters, c, N / 2, 600000);
    ctest_waiters_await_queue(c, N);
    fake_go_back(ctest_server);
    ctest_waiters_await_queue(c, N);
    expect_in_order(N);
    for (size_t room = 10; room <= N; room += 10) {
        fake_keep(ctest_server);
        fake_set_room(ctest_server, room, 60000);
        if (room % 20) fake_go_back(ctest_server);
        ctest_waiters_await(&waiters, room);
    }
    expect_all_ok(N);
    cr_expect(kvr_client_drain(c, 60000) && fake_live(ctest_server) == N);
}

// ---- Classes and flows ---------------------------------------------------------------------------

Test(waiting, what_goes_over_the_wire) {
    struct kvr_client *c = ctest_open(plain, "");
    struct kvr_select_call q = ctest_selection("a");
    char said[600], channel[41], after;
    q.wait = 70000;
    q.osl = 9;
    q.service_class = kvr_text("batch");
    q.flow = kvr_text("tenant 1");
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    fake_said(ctest_server, "KVROUTE.SELECT", said, sizeof said);
    long long left;
    int n = sscanf(said,
                   "KVROUTE.SELECT pool a HASHES … OSL 9 CLASS batch FLOW tenant 1 WAIT %lld "
                   "NOTIFY %40s%c",
                   &left, channel, &after);
    cr_expect(n == 2 && left > 0 && left <= 70000 && !strncmp(channel, "kvroute:", 8), "%s", said);
    cr_expect(stats_of(c).subscribed == false, "it hasn't waited");
    struct kvr_claim_call b = {.request = kvr_text("b"),
                               .worker = kvr_text("w1"),
                               .blocks = {.hashes = ctest_hashes, .n = 2},
                               .service_class = kvr_text("batch"),
                               .flow = kvr_text("f")};
    ctest_expect(kvr_client_claim(c, &b), KVR_CODE_OK);
    ctest_expect_said("KVROUTE.CLAIM", "KVROUTE.CLAIM pool b w1 0 HASHES … CLASS batch FLOW f");
}

Test(waiting, booked_back_with_its_class_if_there_is_one) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){.create = ""}, "");
    struct kvr_select_call q = ctest_selection("a");
    q.service_class = kvr_text("batch");
    q.flow = kvr_text("f");
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    for (int classless = 0; classless < 2; classless++) {
        fake_lie(ctest_server, &(struct fake_lies){.classless = classless});
        fake_forget(ctest_server);
        fake_hang_up(ctest_server);
        cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
        cr_assert(kvr_client_drain(c, 60000));
        cr_expect(fake_has(ctest_server, "a", 1));
        ctest_expect_said("KVROUTE.CLAIM",
                          classless ? "KVROUTE.CLAIM pool a w1 0 HASHES … CACHED 32 FLOW f"
                                    : "KVROUTE.CLAIM pool a w1 0 HASHES … CACHED 32 CLASS batch "
                                      "FLOW f");
    }
    // An UPDATE that finds it gone does the same.
    q.request = kvr_text("b");
    fake_lie(ctest_server, NULL);
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    struct kvr_bytes b = kvr_text("b");
    struct kvr_client *other = ctest_open(plain, "");
    ctest_expect(kvr_client_release(other, &b, 1), KVR_CODE_OK);
    fake_lie(ctest_server, &(struct fake_lies){.classless = true});
    struct kvr_update_call u = {.request = b, .output = 3};
    const struct kvr_result *r = kvr_client_update(c, &u);
    cr_expect(r->code == KVR_CODE_OK && r->number == 1 && fake_has(ctest_server, "b", 1));
    fake_lie(ctest_server, NULL);
}

Test(waiting, what_an_operator_asks) {
    struct kvr_client *c = ctest_open(plain, "");
    const struct kvr_result *r = kvr_client_class_list(c);
    cr_assert(r->code == KVR_CODE_OK && r->n == 2);
    const struct kvr_class *k = r->classes;
    cr_expect(k[0].priority == -5 && k[0].weight == 0.25 && k[0].admitted == 3 &&
              k[0].refused == 4);
    cr_expect(k[0].max_waiting == -1 && k[0].room == -1, "it doesn't say");
    cr_expect(k[1].max_waiting == 50 && k[1].room == 90 && k[1].oldest == 9 && k[1].tokens == 64);
    r = kvr_client_flow_list(c, 0, 0);
    cr_assert(r->code == KVR_CODE_OK && r->n == 1 && r->cursor == UINT64_MAX);
    cr_expect(r->flows[0].left == -40 && r->flows[0].weight == 2.5 && r->flows[0].burst == 2000);
    r = kvr_client_flow_list(c, r->cursor, 7);
    cr_assert(r->code == KVR_CODE_OK && r->n == 1 && r->cursor == 0);
    ctest_expect_said("KVROUTE.FLOW", "KVROUTE.FLOW LIST pool 18446744073709551615 COUNT 7");
    struct kvr_class_call a = {.name = kvr_text("a b"), .set = 15, .priority = -7, .weight = 0.5};
    cr_expect(kvr_client_class_set(c, &a)->number == 1);
    ctest_expect_said("KVROUTE.CLASS",
                      "KVROUTE.CLASS SET pool a b PRIORITY -7 WEIGHT 0.5 WAITING 0 ROOM 0");
    struct kvr_flow_call f = {.name = kvr_text("f"), .set = 15, .weight = 2, .rate = 9};
    cr_expect(kvr_client_flow_set(c, &f)->number == 1);
    ctest_expect_said("KVROUTE.FLOW", "KVROUTE.FLOW SET pool f WEIGHT 2 REQUESTS 0 RATE 9 BURST 0");
    cr_expect(kvr_client_flow_del(c, kvr_text("f"))->number == 1);
    ctest_expect_said("KVROUTE.FLOW", "KVROUTE.FLOW DEL pool f");
    cr_expect(kvr_client_class_del(c, kvr_text("default"))->code == KVR_CODE_REFUSED);
    fake_set_room(ctest_server, 0, 60000);
    ctest_waiters_begin(&waiters, c, 2, 600000);
    ctest_waiters_await_queue(c, 2);
    r = kvr_client_queue(c, 0);
    ctest_expect_said("KVROUTE.QUEUE", "KVROUTE.QUEUE pool");
    cr_assert(r->code == KVR_CODE_OK && r->n == 2 && r->queue.waiting == 2);
    cr_expect(r->queue.tokens == 128 && r->queue.estimate == 70);
    cr_expect(r->queued[1].position == 1 && !memcmp(r->queued[1].request.p, "w001", 5) &&
              r->queued[1].flow.n == 0 && r->queued[1].blocks == 2);
    fake_set_room(ctest_server, SIZE_MAX, 60000);
    expect_all_ok(2);
}

// The owner's coming is lost with a failover, the admission isn't: it is said again, so that the booking stays.
Test(waiting, the_coming_is_said_again) {
    struct kvr_client *c = ctest_open(plain, "");
    fake_set_room(ctest_server, 0, 600000);
    fake_lose_news(ctest_server, 100);
    ctest_waiters_begin(&waiters, c, 1, 600000);
    ctest_waiters_await_queue(c, 1);
    fake_set_room(ctest_server, SIZE_MAX, 600000);
    fake_keep(ctest_server);
    cr_assert(fake_queue_counts(ctest_server).uncalled == 1);
    ctest_waiters_await(&waiters, 1);
    cr_expect(fake_queue_counts(ctest_server).uncalled == 0);
    fake_go_back(ctest_server);
    cr_expect(fake_queue_counts(ctest_server).uncalled == 1);
    cr_expect(kvr_client_info(c)->code == KVR_CODE_OK && kvr_client_drain(c, 60000));
    cr_expect(fake_queue_counts(ctest_server).uncalled == 0 && stats_of(c).live == 1);
}

// A failover has lost the booking, and the request waits again: as it could be admitted before the CLAIM comes, to
// another instance, its waiting is ended first. One that never waited isn't released.
Test(waiting, booked_back_it_waits_no_more) {
    struct kvr_client *c = ctest_open(plain, "");
    char said[600];
    fake_set_room(ctest_server, 0, 600000);
    ctest_waiters_begin(&waiters, c, 1, 600000);
    ctest_waiters_await_queue(c, 1);
    fake_keep(ctest_server);
    fake_set_room(ctest_server, SIZE_MAX, 600000);
    ctest_waiters_await(&waiters, 1);
    fake_set_room(ctest_server, 0, 600000);
    fake_go_back(ctest_server);
    cr_expect(kvr_client_info(c)->code == KVR_CODE_OK && kvr_client_drain(c, 60000));
    ctest_expect_said("KVROUTE.RELEASE", "KVROUTE.RELEASE pool w000");
    cr_expect(fake_has(ctest_server, "w000", 4) && fake_live(ctest_server) == 1);
    struct kvr_select_call q = ctest_selection("a");
    fake_set_room(ctest_server, SIZE_MAX, 600000);
    fake_keep(ctest_server);
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    fake_go_back(ctest_server);
    cr_expect(kvr_client_info(c)->code == KVR_CODE_OK && kvr_client_drain(c, 60000));
    cr_expect(fake_has(ctest_server, "a", 1));
    fake_said(ctest_server, "KVROUTE.RELEASE", said, sizeof said);
    cr_expect(!strcmp(said, "KVROUTE.RELEASE pool w000"), "%s", said);
}

Test(waiting, an_older_module_refuses) {
    struct kvr_client *c = ctest_open(plain, "");
    struct kvr_select_call q = ctest_selection("a");
    fake_lie(ctest_server, &(struct fake_lies){.old = true});
    q.wait = 1000;
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_REFUSED);
    q.wait = 0;
    q.service_class = kvr_text("c");
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_REFUSED);
    ctest_expect(kvr_client_queue(c, 0), KVR_CODE_REFUSED);
    q.service_class.n = 0;
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    fake_lie(ctest_server, NULL);
}
