// SPDX-License-Identifier: Apache-2.0
// What a program may do to a handle, and what not: arguments out of range, too many calls, closing and
// calling inside callbacks, ids and names of any bytes, very large calls and answers.
#include <criterion/criterion.h>
#include <kvroute/adapters/libevent.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "ctest_handle.h"

TestSuite(calls, .init = ctest_start, .fini = ctest_stop, .timeout = 300);

// ---- Out of range --------------------------------------------------------------------------------

static const uint32_t tokens[2] = {1, 2};
static const char long_bytes[600];
#define SOME_ID .request = {"id", 2}
#define TWO_BLOCKS .blocks = {.hashes = ctest_hashes, .n = 2}

static const struct kvr_select_call bad_selects[] = {
    {.request = {NULL, 0}, TWO_BLOCKS},
    {.request = {"", 0}, TWO_BLOCKS},
    {.request = {long_bytes, KVR_MAX_ID + 1}, TWO_BLOCKS},
    {SOME_ID, .blocks = {.hashes = ctest_hashes, .tokens = tokens, .n = 2}},
    {SOME_ID, .blocks = {.n = 2}},
    {SOME_ID, .blocks = {.hashes = ctest_hashes, .n = KVR_MAX_BLOCKS + 1}},
    {SOME_ID, .blocks = {.tokens = tokens, .n = SIZE_MAX}},
    {SOME_ID, TWO_BLOCKS, .isl = -1},
    {SOME_ID, TWO_BLOCKS, .isl = KVR_MAX_TOKENS + 1},
    {SOME_ID, TWO_BLOCKS, .osl = -1},
    {SOME_ID, TWO_BLOCKS, .osl = INT64_MAX},
    {SOME_ID, TWO_BLOCKS, .lease = -2},
    {SOME_ID, TWO_BLOCKS, .lease = INT64_MIN},
    {SOME_ID, TWO_BLOCKS, .lease = KVR_MAX_MS + 1},
    {SOME_ID, TWO_BLOCKS, .deadline = -1},
    {SOME_ID, TWO_BLOCKS, .n_among = 1},
    {SOME_ID, TWO_BLOCKS, .n_exclude = 1},
    {SOME_ID, TWO_BLOCKS, .among = &(struct kvr_bytes){"", 0}, .n_among = 1},
    {SOME_ID, TWO_BLOCKS, .among = &(struct kvr_bytes){long_bytes, KVR_MAX_NAME + 1}, .n_among = 1},
    {SOME_ID, TWO_BLOCKS, .exclude = &(struct kvr_bytes){NULL, 3}, .n_exclude = 1},
    {SOME_ID, TWO_BLOCKS, .among = &(struct kvr_bytes){"w", 1}, .n_among = SIZE_MAX},
    {SOME_ID, TWO_BLOCKS, .weigh = KVR_WEIGH_OVERLAP, .overlap = -1},
    {SOME_ID, TWO_BLOCKS, .weigh = KVR_WEIGH_PREFILL, .prefill = 0.0 / 0.0},
    {SOME_ID, TWO_BLOCKS, .weigh = KVR_WEIGH_REQUESTS, .requests = 1.0 / 0.0},
    {SOME_ID, TWO_BLOCKS, .weigh = KVR_WEIGH_TEMPERATURE, .temperature = -0.5},
    {SOME_ID, TWO_BLOCKS, .session = {long_bytes, KVR_MAX_ID + 1}},
    {SOME_ID, TWO_BLOCKS, .session = {NULL, 1}},
    {SOME_ID, TWO_BLOCKS, .n_with = 1},
    {SOME_ID, TWO_BLOCKS, .n_without = 1},
    {SOME_ID, TWO_BLOCKS, .with = &(struct kvr_bytes){"", 0}, .n_with = 1},
    {SOME_ID, TWO_BLOCKS, .with = &(struct kvr_bytes){long_bytes, KVR_MAX_LABEL + 1}, .n_with = 1},
    {SOME_ID, TWO_BLOCKS, .without = &(struct kvr_bytes){"l", 1}, .n_without = KVR_MAX_LABELS + 1},
    {SOME_ID, TWO_BLOCKS, .wait = -1},
    {SOME_ID, TWO_BLOCKS, .wait = KVR_MAX_MS + 1},
    {SOME_ID, TWO_BLOCKS, .service_class = {long_bytes, KVR_MAX_ID + 1}},
    {SOME_ID, TWO_BLOCKS, .service_class = {NULL, 1}},
    {SOME_ID, TWO_BLOCKS, .flow = {long_bytes, KVR_MAX_ID + 1}},
    {SOME_ID, TWO_BLOCKS, .flow = {NULL, 1}},
};

#define SOME_NAME .name = {"n", 1}
static const struct kvr_class_call bad_classes[] = {
    {.name = {"", 0}},
    {.name = {long_bytes, KVR_MAX_ID + 1}},
    {SOME_NAME, .deadline = -1},
    {SOME_NAME, .set = KVR_CLASS_SET_PRIORITY, .priority = 101},
    {SOME_NAME, .set = KVR_CLASS_SET_PRIORITY, .priority = -101},
    {SOME_NAME, .set = KVR_CLASS_SET_WEIGHT, .weight = 0},
    {SOME_NAME, .set = KVR_CLASS_SET_WEIGHT, .weight = 1e6 + 1},
    {SOME_NAME, .set = KVR_CLASS_SET_WEIGHT, .weight = 0.0 / 0.0},
    {SOME_NAME, .set = KVR_CLASS_SET_WAITING, .waiting = -1},
    {SOME_NAME, .set = KVR_CLASS_SET_ROOM, .room = 101},
    {SOME_NAME, .set = KVR_CLASS_SET_ROOM, .room = -1},
};

static const struct kvr_flow_call bad_flows[] = {
    {.name = {"", 0}},
    {.name = {long_bytes, KVR_MAX_ID + 1}},
    {SOME_NAME, .deadline = -1},
    {SOME_NAME, .set = KVR_FLOW_SET_WEIGHT, .weight = -1},
    {SOME_NAME, .set = KVR_FLOW_SET_WEIGHT, .weight = 1.0 / 0.0},
    {SOME_NAME, .set = KVR_FLOW_SET_REQUESTS, .requests = -1},
    {SOME_NAME, .set = KVR_FLOW_SET_RATE, .rate = -1},
    {SOME_NAME, .set = KVR_FLOW_SET_RATE, .rate = KVR_MAX_TOKENS + 1},
    {SOME_NAME, .set = KVR_FLOW_SET_BURST, .burst = -1},
    {SOME_NAME, .set = KVR_FLOW_SET_BURST, .burst = INT64_MAX},
};

#define SOME_WORKER .worker = {"w", 1}
static const struct kvr_update_call bad_updates[] = {
    {.request = {"", 0}},    {.request = {long_bytes, KVR_MAX_ID + 1}},
    {SOME_ID, .output = -1}, {SOME_ID, .output = KVR_MAX_TOKENS + 1},
    {SOME_ID, .lease = -2},  {SOME_ID, .deadline = -7},
};
static const struct kvr_claim_call bad_claims[] = {
    {.request = {"", 0}, SOME_WORKER, TWO_BLOCKS},
    {SOME_ID, .worker = {"", 0}, TWO_BLOCKS},
    {SOME_ID, .worker = {long_bytes, KVR_MAX_NAME + 1}, TWO_BLOCKS},
    {SOME_ID, SOME_WORKER, TWO_BLOCKS, .rank = KVR_MAX_RANKS},
    {SOME_ID, SOME_WORKER, .blocks = {.n = 1}},
    {SOME_ID, SOME_WORKER, TWO_BLOCKS, .isl = -1},
    {SOME_ID, SOME_WORKER, TWO_BLOCKS, .cached = -1},
    {SOME_ID, SOME_WORKER, TWO_BLOCKS, .output = KVR_MAX_TOKENS + 1},
    {SOME_ID, SOME_WORKER, TWO_BLOCKS, .lease = -2},
    {SOME_ID, SOME_WORKER, TWO_BLOCKS, .osl = -1},
    {SOME_ID, SOME_WORKER, TWO_BLOCKS, .session = {long_bytes, KVR_MAX_ID + 1}},
};
static const struct kvr_worker_call bad_workers[] = {
    {.worker = {"", 0}},
    {.worker = {long_bytes, KVR_MAX_NAME + 1}},
    {SOME_WORKER, .set = KVR_WORKER_ADDR, .addr = {long_bytes, KVR_MAX_ADDR + 1}},
    {SOME_WORKER, .set = KVR_WORKER_RANKS, .ranks = 0},
    {SOME_WORKER, .set = KVR_WORKER_RANKS, .ranks = KVR_MAX_RANKS + 1},
    {SOME_WORKER, .set = KVR_WORKER_CAPACITY, .capacity = -1},
    {SOME_WORKER, .set = KVR_WORKER_STATE, .state = KVR_EXPIRED},
    {SOME_WORKER, .set = KVR_WORKER_TTL, .ttl = -1},
    {SOME_WORKER, .set = KVR_WORKER_SPEED, .speed = -1},
    {SOME_WORKER, .set = KVR_WORKER_SPEED, .speed = 0.0 / 0.0},
    {SOME_WORKER, .set = KVR_WORKER_SPEED, .speed = 1.0 / 0.0},
    {SOME_WORKER, .set = KVR_WORKER_LABELS, .labels = NULL, .n_labels = 1},
    {SOME_WORKER, .set = KVR_WORKER_LABELS, .labels = &(struct kvr_bytes){"", 0}, .n_labels = 1},
    {SOME_WORKER, .set = KVR_WORKER_LABELS, .labels = &(struct kvr_bytes){"l", 1}, .n_labels = 65},
};
static const struct kvr_event_call bad_events[] = {
    {.worker = {"", 0}, .epoch = 1, .seq = 1, .ops = &(struct kvr_op){0}, .n_ops = 1},
    {SOME_WORKER, .rank = KVR_MAX_RANKS, .epoch = 1, .seq = 1, .ops = &(struct kvr_op){0},
     .n_ops = 1},
    {SOME_WORKER, .epoch = 0, .seq = 1, .ops = &(struct kvr_op){0}, .n_ops = 1},
    {SOME_WORKER, .epoch = 1, .seq = 0, .ops = &(struct kvr_op){0}, .n_ops = 1},
    {SOME_WORKER, .epoch = UINT64_MAX, .seq = 1, .ops = &(struct kvr_op){0}, .n_ops = 1},
    {SOME_WORKER, .epoch = 1, .seq = UINT64_MAX, .ops = &(struct kvr_op){0}, .n_ops = 1},
    {SOME_WORKER, .epoch = 1, .seq = 1, .ops = NULL, .n_ops = 1},
    {SOME_WORKER, .epoch = 1, .seq = 1, .ops = NULL, .n_ops = 0},
    {SOME_WORKER, .epoch = 1, .seq = 1, .ops = &(struct kvr_op){.kind = 7}, .n_ops = 1},
    {SOME_WORKER, .epoch = 1, .seq = 1, .ops = &(struct kvr_op){.tier = 3}, .n_ops = 1},
    {SOME_WORKER, .epoch = 1, .seq = 1, .ops = &(struct kvr_op){.tier = -1}, .n_ops = 1},
    {SOME_WORKER, .epoch = 1, .seq = 1, .ops = &(struct kvr_op){.n = 1}, .n_ops = 1},
    {SOME_WORKER, .epoch = 1, .seq = 1,
     .ops = &(struct kvr_op){.hashes = ctest_hashes, .n = KVR_MAX_BLOCKS + 1}, .n_ops = 1},
};

#define LENGTH_OF(a) (sizeof(a) / sizeof *(a))

static void expect_nth(const char *call, size_t i, const struct kvr_result *r) {
    cr_expect(r->code == KVR_CODE_INVALID, "%s, the one at %zu: %s", call, i,
              kvr_code_name(r->code));
}

Test(calls, arguments_out_of_range) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "deadline=60000");
    struct kvr_bytes id = {"id", 2}, none = {"", 0}, too_long = {long_bytes, 600};
    struct ctest_answers h = {0};
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    uint64_t before = fake_heard(ctest_server);
    for (size_t i = 0; i < LENGTH_OF(bad_selects); i++) {
        cr_expect(kvr_client_select_async(c, &bad_selects[i], ctest_count, &h) == KVR_CODE_INVALID,
                  "SELECT %zu", i);
        expect_nth("SELECT", i, kvr_client_select(c, &bad_selects[i]));
        // SCORE books nothing, and looks neither at the request nor at the lease.
        if (i > 2 && !bad_selects[i].lease)
            expect_nth("SCORE", i, kvr_client_score(c, &bad_selects[i]));
    }
    for (size_t i = 0; i < LENGTH_OF(bad_classes); i++) {
        cr_expect(kvr_client_class_set_async(c, &bad_classes[i], ctest_count, &h) ==
                      KVR_CODE_INVALID,
                  "class %zu", i);
        expect_nth("CLASS SET", i, kvr_client_class_set(c, &bad_classes[i]));
    }
    for (size_t i = 0; i < LENGTH_OF(bad_flows); i++) {
        cr_expect(kvr_client_flow_set_async(c, &bad_flows[i], ctest_count, &h) == KVR_CODE_INVALID,
                  "flow %zu", i);
        expect_nth("FLOW SET", i, kvr_client_flow_set(c, &bad_flows[i]));
    }
    cr_expect(kvr_client_class_del(c, (struct kvr_bytes){"", 0})->code == KVR_CODE_INVALID);
    cr_expect(kvr_client_flow_del(c, (struct kvr_bytes){NULL, 2})->code == KVR_CODE_INVALID);
    cr_expect(kvr_client_queue(c, SIZE_MAX)->code == KVR_CODE_INVALID);
    cr_expect(kvr_client_flow_list(c, 0, SIZE_MAX)->code == KVR_CODE_INVALID);
    for (size_t i = 0; i < LENGTH_OF(bad_updates); i++)
        expect_nth("UPDATE", i, kvr_client_update(c, &bad_updates[i]));
    for (size_t i = 0; i < LENGTH_OF(bad_claims); i++)
        expect_nth("CLAIM", i, kvr_client_claim(c, &bad_claims[i]));
    for (size_t i = 0; i < LENGTH_OF(bad_workers); i++)
        expect_nth("WORKER SET", i, kvr_client_worker_set(c, &bad_workers[i]));
    for (size_t i = 0; i < LENGTH_OF(bad_events); i++)
        expect_nth("EVENT", i, kvr_client_event(c, &bad_events[i]));
    ctest_expect(kvr_client_worker_del(c, none), KVR_CODE_INVALID);
    ctest_expect(kvr_client_worker_del(c, too_long), KVR_CODE_INVALID);
    ctest_expect(kvr_client_report(c, none, true), KVR_CODE_INVALID);
    ctest_expect(kvr_client_report(c, too_long, false), KVR_CODE_INVALID);
    ctest_expect(kvr_client_release(c, NULL, 1), KVR_CODE_INVALID);
    ctest_expect(kvr_client_release(c, &id, 0), KVR_CODE_INVALID);
    ctest_expect(kvr_client_release(c, &none, 1), KVR_CODE_INVALID);
    ctest_expect(kvr_client_release(c, &too_long, 1), KVR_CODE_INVALID);
    cr_expect(h.n == 0 && fake_heard(ctest_server) == before, "something was sent");
}

// ---- Limits --------------------------------------------------------------------------------------

Test(calls, too_many_at_once) {
    enum { FEW_CALLS = 10 };
    struct kvr_client *c = ctest_open((struct kvr_client_options){.max_pending = FEW_CALLS}, "");
    struct ctest_answers h = {0};
    for (int i = 0; i < FEW_CALLS; i++)
        cr_assert(kvr_client_info_async(c, ctest_count, &h) == KVR_CODE_OK);
    cr_assert(kvr_client_info_async(c, ctest_count, &h) == KVR_CODE_FULL);
    ctest_expect(kvr_client_info(c), KVR_CODE_FULL);
    struct kvr_client_stats s;
    kvr_client_stats(c, &s);
    cr_expect(s.pending == FEW_CALLS);
    ctest_await(c, &h, FEW_CALLS);
    ctest_expect(kvr_client_info(c), KVR_CODE_OK);
}

// Beyond max_live requests are routed all the same.
Test(calls, too_many_to_remember) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){.max_live = 2}, "");
    struct kvr_client_stats s;
    struct kvr_bytes ids[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    for (int i = 0; i < 3; i++) {
        const struct kvr_result *r = kvr_client_select(
            c, &(struct kvr_select_call){.request = ids[i],
                                         .blocks = {.hashes = ctest_hashes, .n = 2}});
        ctest_expect(r, KVR_CODE_OK);
        cr_expect(r->unremembered == (i == 2));
    }
    kvr_client_stats(c, &s);
    cr_expect(s.live == 2 && s.unremembered == 1);
    const struct kvr_result *r = kvr_client_release(c, ids, 3);
    cr_expect(r->code == KVR_CODE_OK && r->number == 3);
    cr_expect(fake_live(ctest_server) == 0);
}

// ---- Any bytes, many bytes -----------------------------------------------------------------------

Test(calls, any_bytes) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "deadline=1000");
    char every[256];
    for (int i = 0; i < 256; i++)
        every[i] = (char)i;
    struct kvr_bytes id = {every, 256}, worker = {every, 128};
    struct kvr_select_call q = {.request = id,
                                .blocks = {.hashes = ctest_hashes, .n = 0},
                                .exclude = &worker,
                                .n_exclude = 1};
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    const struct kvr_result *r = kvr_client_select(c, &q);
    cr_expect(r->code == KVR_CODE_OK && r->choice.repeat);
    r = kvr_client_update(c, &(struct kvr_update_call){.request = id});
    cr_expect(r->code == KVR_CODE_OK && r->number == 1);
    struct kvr_worker_call w = {.worker = worker, .set = KVR_WORKER_ADDR, .addr = {every, 256}};
    ctest_expect(kvr_client_worker_set(c, &w), KVR_CODE_OK);
    // Another history, without a pool.
    fake_forget(ctest_server);
    fake_hang_up(ctest_server);
    r = kvr_client_update(c, &(struct kvr_update_call){.request = id});
    // Nobody has said that it is to be created; but what was there may come back, for a while.
    cr_expect(r->code == KVR_CODE_NOPOOL || r->code == KVR_CODE_TIMEOUT);
}

Test(calls, many_bytes) {
    struct kvr_client *c =
        ctest_open((struct kvr_client_options){0}, "deadline=60000&timeout=30000");
    uint64_t *blocks = calloc(KVR_MAX_BLOCKS, sizeof *blocks);
    cr_assert(blocks);
    struct ctest_answers h = {0};
    struct kvr_bytes ids[] = {{"a", 1}, {"b", 1}, {"c", 1}};
    for (int i = 0; i < 3; i++) {
        struct kvr_select_call q = {.request = ids[i],
                                    .blocks = {.hashes = blocks, .n = KVR_MAX_BLOCKS}};
        cr_assert(kvr_client_select_async(c, &q, ctest_count, &h) == KVR_CODE_OK);
    }
    free(blocks); // what a call is given is copied
    ctest_await(c, &h, 3);
    cr_expect(h.codes[KVR_CODE_OK] == 3);
    struct kvr_client_stats s;
    kvr_client_stats(c, &s);
    cr_expect(s.live == 3 && s.live_bytes >= 3u * 8 * KVR_MAX_BLOCKS);
    ctest_expect(kvr_client_release(c, ids, 3), KVR_CODE_OK);
    kvr_client_stats(c, &s);
    cr_expect(s.live == 0 && s.live_bytes == 0);
}

// A server whose words are 10 MB long, and are told to nobody.
// The module's words come along; what may be the caller's doesn't.
Test(calls, a_refusal_says_why) {
    static const char *const said[][2] = {
        {"-ERR LEASE: value is out of range\r\n", "LEASE: value is out of range"},
        {"-ERR syntax error at argument 4\r\n", "syntax error at argument 4"},
        {"-ERR unknown command 'KVROUTE.INFO', with args beginning with: 'pool'\r\n",
         "the server refuses the command"},
        {"-ERR \xff\r\n", "the server refuses the command"},
        {"-ERR \r\n", "the server refuses the command"},
        {"-WHATEVER of a later version\r\n", "the server refuses the command"},
    };
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    ctest_expect(kvr_client_info(c), KVR_CODE_OK);
    for (size_t i = 0; i < sizeof said / sizeof *said; i++) {
        struct fake_fault fault = {"refused", FAKE_FAULT_SAY, said[i][0], 0};
        fake_set_fault(ctest_server, &fault, 1, false);
        const struct kvr_result *r = kvr_client_info(c);
        ctest_expect(r, KVR_CODE_REFUSED);
        cr_expect_str_eq(r->message, said[i][1], "%s: %s", said[i][0], r->message);
        fake_heal(ctest_server);
    }
}

Test(calls, a_very_long_error) {
    enum { LONG_ERROR = 10 << 20 };
    char *text = malloc(LONG_ERROR);
    cr_assert(text);
    memset(text, 'x', LONG_ERROR);
    memcpy(text, "-ERR ", 5);
    memcpy(text + LONG_ERROR - 2, "\r\n", 2);
    // hiredis looks for the end of a line from its beginning at every read: seconds of work.
    struct kvr_client *c =
        ctest_open((struct kvr_client_options){0}, "deadline=250000&timeout=250000");
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    fake_set_fault(ctest_server, &(struct fake_fault){"long", FAKE_FAULT_SAY, text, LONG_ERROR}, 1,
                   false);
    const struct kvr_result *r = kvr_client_info(c);
    ctest_expect(r, KVR_CODE_REFUSED);
    cr_expect(strlen(r->message) < 200 && !strstr(r->message, "xxx"));
    fake_heal(ctest_server);
    ctest_expect(kvr_client_info(c), KVR_CODE_OK);
    ctest_close(c);
    free(text);
}

// ---- In callbacks --------------------------------------------------------------------------------

static void close_it(void *ctx, const struct kvr_result *r) {
    struct ctest_answers *h = ctx;
    ctest_count(h, r);
    kvr_client_run(h->client, 10); // does nothing here
    cr_expect(!kvr_client_drain(h->client, 10));
    ctest_close(h->client);
    kvr_client_close(h->client);
    cr_expect(kvr_client_info_async(h->client, ctest_count, h) == KVR_CODE_CLOSED);
}

// The first of three answers closes the handle; the others are told so. With `dead`, the answers are
// those of calls that time out.
static void close_in_callback(bool loop, bool dead) {
    struct event_base *base = event_base_new();
    struct kvr_loop face = kvr_libevent(base);
    struct kvr_client_options o = {.loop = loop ? &face : NULL};
    struct kvr_client *c = ctest_open(o, dead ? "deadline=80" : "deadline=20000");
    struct ctest_answers h = {.client = c};
    if (dead)
        fake_set_fault(ctest_server, &(struct fake_fault){"dies", FAKE_FAULT_DIE, "", 0}, 1, true);
    cr_assert(kvr_client_info_async(c, close_it, &h) == KVR_CODE_OK);
    cr_assert(kvr_client_info_async(c, ctest_count, &h) == KVR_CODE_OK);
    cr_assert(kvr_client_info_async(c, ctest_count, &h) == KVR_CODE_OK);
    if (loop)
        event_base_dispatch(base); // to its end: a closed handle leaves nothing to wait for
    else
        for (int64_t end = kvr_clock_ms() + 60000; h.n < 3 && kvr_clock_ms() < end;)
            kvr_client_run(c, 100);
    cr_expect(h.n == 3, "%d answers", h.n);
    cr_expect(h.codes[dead ? KVR_CODE_TIMEOUT : KVR_CODE_OK] >= 1);
    event_base_free(base);
    fake_heal(ctest_server);
}

Test(calls, closing_in_a_callback) {
    close_in_callback(false, false);
}
Test(calls, closing_in_a_callback_of_a_loop) {
    close_in_callback(true, false);
}
Test(calls, closing_when_the_time_is_over) {
    close_in_callback(false, true);
}
Test(calls, closing_when_the_time_is_over_in_a_loop) {
    close_in_callback(true, true);
}

static void call_again(void *ctx, const struct kvr_result *r) {
    struct ctest_answers *h = ctx;
    ctest_count(h, r);
    enum kvr_code code = kvr_client_info_async(h->client, ctest_count, h);
    cr_expect(code == (r->code == KVR_CODE_CLOSED ? KVR_CODE_CLOSED : KVR_CODE_OK));
}

Test(calls, calling_in_a_callback) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    struct ctest_answers h = {.client = c};
    for (int i = 0; i < 50; i++)
        cr_assert(kvr_client_info_async(c, call_again, &h) == KVR_CODE_OK);
    ctest_await(c, &h, 100);
    cr_expect(h.codes[KVR_CODE_OK] == 100);
    cr_assert(kvr_client_info_async(c, call_again, &h) == KVR_CODE_OK);
    ctest_close(c); // which calls back, and there nothing can be called any more
    cr_expect(h.codes[KVR_CODE_CLOSED] == 1 && h.n == 101);
}

// The blocking forms are not for handles on a loop of the caller's.
Test(calls, blocking_on_a_loop) {
    struct event_base *base = event_base_new();
    struct kvr_loop face = kvr_libevent(base);
    struct kvr_client *c = ctest_open((struct kvr_client_options){.loop = &face}, "deadline=100");
    const struct kvr_result *r = kvr_client_info(c);
    cr_expect(r && r->code == KVR_CODE_INVALID, "%s", r ? kvr_code_name(r->code) : "NULL");
    kvr_client_run(c, 10);
    ctest_close(c);
    event_base_free(base);
}

// ---- Sent twice ----------------------------------------------------------------------------------

// The first sending is booked and its answer lost; the second is refused. The caller has been told that
// there is no request, so none may stay.
static void booked_then_refused(bool claim, const char *error, enum kvr_code code) {
    static const struct fake_fault closes = {"closes", FAKE_FAULT_CLOSE, "", 0};
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "deadline=20000");
    struct ctest_answers h = {0};
    struct kvr_select_call s = {SOME_ID, TWO_BLOCKS};
    struct kvr_claim_call k = {SOME_ID, SOME_WORKER, TWO_BLOCKS};
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    fake_set_fault(ctest_server, &closes, 1, false);
    cr_assert((claim ? kvr_client_claim_async(c, &k, ctest_count, &h)
                     : kvr_client_select_async(c, &s, ctest_count, &h)) == KVR_CODE_OK);
    for (uint64_t before = fake_faults_met(ctest_server); fake_faults_met(ctest_server) == before;)
        kvr_client_run(c, 0);
    cr_assert(fake_live(ctest_server) == 1);
    struct fake_lies lies = {.fails = claim ? "KVROUTE.CLAIM" : "KVROUTE.SELECT", .error = error};
    fake_lie(ctest_server, &lies);
    ctest_await(c, &h, 1);
    cr_expect(h.codes[code] == 1, "not %s", kvr_code_name(code));
    cr_expect(kvr_client_drain(c, 20000));
    cr_expect(fake_live(ctest_server) == 0, "%s after %s: booked, and nobody's",
              claim ? "CLAIM" : "SELECT", error);
    fake_lie(ctest_server, NULL);
    ctest_close(c);
}

Test(calls, booked_and_then_refused) {
    for (int claim = 0; claim < 2; claim++) {
        booked_then_refused(claim, "OOM command not allowed", KVR_CODE_OOM);
        booked_then_refused(claim, "NOPERM no", KVR_CODE_DENIED);
        booked_then_refused(claim, "NOWORKER none", KVR_CODE_NOWORKER);
        booked_then_refused(claim, "ERR no", KVR_CODE_REFUSED);
    }
}

// A choice that came too late is taken back; as long as the server doesn't let us, again and again, but
// not all the time.
Test(calls, taking_back_is_not_allowed) {
    static const struct fake_fault hangs = {"hangs", FAKE_FAULT_HANG, "", 0};
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "deadline=100&timeout=300");
    struct kvr_select_call q = {SOME_ID, TWO_BLOCKS};
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    fake_lie(ctest_server, &(struct fake_lies){.fails = "KVROUTE.RELEASE", .error = "NOPERM no"});
    fake_set_fault(ctest_server, &hangs, 1, false);
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_TIMEOUT);
    cr_assert(fake_live(ctest_server) == 1);
    cr_expect(!kvr_client_drain(c, 400));
    uint64_t heard = fake_heard(ctest_server);
    cr_expect(!kvr_client_drain(c, 2000));
    heard = fake_heard(ctest_server) - heard;
    cr_expect(heard > 0 && heard < 20, "%d commands", (int)heard);
    cr_expect(fake_live(ctest_server) == 1);
    fake_lie(ctest_server, NULL);
    cr_expect(kvr_client_drain(c, 20000));
    cr_expect(fake_live(ctest_server) == 0, "booked, and nobody's");
}

// A RELEASE that is refused has released nothing: it is said again until the server lets it, and the
// server's next history hears of it, too.
static void released_when_allowed(const char *error, enum kvr_code code) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "deadline=20000");
    struct kvr_select_call q = {SOME_ID, TWO_BLOCKS};
    cr_assert(kvr_client_select(c, &q)->code == KVR_CODE_OK);
    fake_lie(ctest_server, &(struct fake_lies){.fails = "KVROUTE.RELEASE", .error = error});
    ctest_expect(kvr_client_release(c, &q.request, 1), code);
    cr_expect(fake_live(ctest_server) == 1);
    cr_expect(!kvr_client_drain(c, 200), "%s: taken for done", error);
    fake_lie(ctest_server, NULL);
    cr_expect(kvr_client_drain(c, 20000));
    cr_expect(fake_live(ctest_server) == 0, "%s: booked for ever", error);
    struct kvr_client_stats s;
    kvr_client_stats(c, &s);
    cr_expect(s.live == 0 && s.lost == 0);
    ctest_close(c);
}

Test(calls, a_release_that_is_refused) {
    released_when_allowed("NOPERM no", KVR_CODE_DENIED);
    released_when_allowed("OOM command not allowed", KVR_CODE_OOM);
    released_when_allowed("ERR unknown command", KVR_CODE_REFUSED);
}

// A WORKER DEL likewise.
Test(calls, a_worker_whose_end_is_refused) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "deadline=20000");
    char said[200];
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    fake_lie(ctest_server, &(struct fake_lies){.fails = "KVROUTE.WORKER", .error = "NOPERM no"});
    ctest_expect(kvr_client_worker_del(c, kvr_text("w1")), KVR_CODE_DENIED);
    cr_expect(!kvr_client_drain(c, 100));
    fake_lie(ctest_server, NULL);
    uint64_t heard = fake_heard(ctest_server);
    cr_expect(kvr_client_drain(c, 20000));
    fake_said(ctest_server, "KVROUTE.WORKER", said, sizeof said);
    cr_expect(fake_heard(ctest_server) > heard && strstr(said, "DEL"), "%s", said);
}

// ---- Draining ------------------------------------------------------------------------------------

// The server has gone, with all that it had, and another is in its place: nobody has told the handle.
Test(calls, draining_after_a_silent_close) {
    struct kvr_client *c =
        ctest_open((struct kvr_client_options){.create = "BLOCKSIZE 16"}, "deadline=20000");
    struct kvr_select_call q = {SOME_ID, TWO_BLOCKS};
    cr_assert(kvr_client_select(c, &q)->code == KVR_CODE_OK);
    cr_assert(kvr_client_drain(c, 0));
    for (int i = 0; i < 20; i++) {
        fake_forget(ctest_server);
        fake_hang_up(ctest_server);
        cr_assert(fake_live(ctest_server) == 0);
        cr_assert(kvr_client_drain(c, 20000));
        cr_assert(fake_live(ctest_server) == 1, "drained, and the pool doesn't have it");
    }
}

Test(calls, draining_without_a_primary) {
    static const struct fake_fault dies = {"dies", FAKE_FAULT_DIE, "", 0};
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, CTEST_HASTY);
    struct kvr_select_call q = {SOME_ID, TWO_BLOCKS};
    cr_expect(kvr_client_drain(c, 0)); // nothing to do for it
    fake_set_fault(ctest_server, &dies, 1, true);
    cr_assert(kvr_client_info(c)->code == KVR_CODE_TIMEOUT);
    cr_expect(kvr_client_drain(c, 0));
    fake_heal(ctest_server);
    for (enum kvr_code code = KVR_CODE_TIMEOUT; code != KVR_CODE_OK;)
        code = kvr_client_select(c, &q)->code;
    cr_assert(kvr_client_drain(c, 20000));
    fake_set_fault(ctest_server, &dies, 1, true);
    cr_assert(kvr_client_info(c)->code == KVR_CODE_TIMEOUT);
    cr_expect(!kvr_client_drain(c, 50));
    fake_heal(ctest_server);
    cr_expect(kvr_client_drain(c, 20000));
}

// ---- Results -------------------------------------------------------------------------------------

// A blocking call's result lasts until the next blocking call, whatever else goes on.
Test(calls, results_last) {
    struct kvr_client *c = ctest_open((struct kvr_client_options){0}, "");
    struct ctest_answers h = {0};
    struct kvr_bytes id = {"a", 1};
    const struct kvr_result *r = kvr_client_select(
        c, &(struct kvr_select_call){.request = id, .blocks = {.hashes = ctest_hashes, .n = 2}});
    for (int i = 0; i < 20; i++)
        cr_assert(kvr_client_worker_list_async(c, ctest_count, &h) == KVR_CODE_OK);
    ctest_await(c, &h, 20);
    cr_expect(r->code == KVR_CODE_OK && r->choice.worker.n == 2);
    cr_expect(memcmp(r->choice.worker.p, "w1", 2) == 0 && r->choice.overlap == 2);
    cr_expect(memcmp(r->choice.addr.p, "http://10.0.0.1:8000", 20) == 0 && r->sendings == 1);
}

Test(calls, names_of_codes) {
    for (int i = KVR_CODE_OK; i <= KVR_CODE_CLOSED; i++) {
        cr_expect(kvr_code_name((enum kvr_code)i)[0]);
        for (int k = 0; k < i; k++)
            cr_expect(strcmp(kvr_code_name((enum kvr_code)i), kvr_code_name((enum kvr_code)k)) !=
                      0);
    }
    cr_expect(kvr_code_name((enum kvr_code)12345) != NULL);
    cr_expect(kvr_code_name((enum kvr_code) - 1) != NULL);
    cr_expect(strstr(kvr_client_library(), "hiredis") != NULL);
}

// ---- Without a primary ---------------------------------------------------------------------------

// Choices without a primary pass over a worker whose circuit was open, unless there is no other.
Test(calls, degrading_past_an_open_circuit) {
    struct kvr_client_options o = {.degrade = true, .refresh = 20};
    struct kvr_client *c = ctest_open(o, CTEST_HASTY);
    struct kvr_bytes ids[] = {{"a", 1}, {"b", 1}, {"c", 1}}, w1 = {"w1", 2};
    fake_lie(ctest_server, &(struct fake_lies){.open = "w1"});
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    ctest_await_workers(c);
    ctest_without_server(c);
    struct kvr_select_call q = {.blocks = {.hashes = ctest_hashes, .n = 2}};
    for (size_t i = 0; i < 3; i++) {
        q.request = ids[i];
        if (i == 2) q.among = &w1, q.n_among = 1;
        const struct kvr_result *r = kvr_client_select(c, &q);
        cr_assert(r->code == KVR_CODE_OK && r->degraded);
        cr_expect(r->choice.worker.p[1] == (i == 2 ? '1' : '2'), "choice %zu", i);
    }
    const struct kvr_result *r = kvr_client_report(c, w1, true);
    cr_expect(r->code == KVR_CODE_OK && r->degraded);
    fake_heal(ctest_server);
    cr_expect(kvr_client_drain(c, 30000));
    char story[4000];
    fake_story(ctest_server, "REPORT", story, sizeof story);
    cr_expect(!strstr(story, "REPORT"), "it was kept: %s", story);
}

// While the server is gone, a degrading handle chooses by itself; once it is back, the pool knows.
Test(calls, degrading) {
    struct kvr_client_options o = {.degrade = true, .refresh = 20, .create = "BLOCKSIZE 16"};
    struct kvr_client *c = ctest_open(o, CTEST_HASTY);
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    ctest_await_workers(c);
    ctest_without_server(c);
    struct kvr_bytes a = {"a", 1}, b = {"b", 1};
    struct kvr_select_call q = {.request = a, .blocks = {.hashes = ctest_hashes, .n = 2}};
    const struct kvr_result *r = kvr_client_select(c, &q);
    cr_assert(r->code == KVR_CODE_OK && r->degraded && r->choice.worker.n == 2);
    cr_expect(r->choice.version == -1);
    q.request = b;
    r = kvr_client_select(c, &q);
    cr_assert(r->code == KVR_CODE_OK && r->degraded);
    r = kvr_client_update(c, &(struct kvr_update_call){.request = a, .prefilled = true});
    cr_expect(r->code == KVR_CODE_OK && r->degraded && r->number == 1);
    r = kvr_client_release(c, &b, 1);
    cr_expect(r->code == KVR_CODE_OK && r->degraded && r->number == 1);
    fake_heal(ctest_server);
    cr_expect(kvr_client_drain(c, 30000));
    cr_expect(fake_live(ctest_server) == 1, "%zu live", fake_live(ctest_server));
    r = kvr_client_release(c, &a, 1);
    cr_expect(r->code == KVR_CODE_OK && !r->degraded && r->number == 1);
    cr_expect(fake_live(ctest_server) == 0);
}
