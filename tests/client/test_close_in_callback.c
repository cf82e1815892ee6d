// SPDX-License-Identifier: Apache-2.0
// What ends while something else is under way: handles closed out of callbacks in the middle of blocking
// calls, runs and drains; operations whose answers come when what they booked has gone.
#include <criterion/criterion.h>
#include <kvroute/publisher.h>
#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "ctest_handle.h"

TestSuite(ends, .init = ctest_start, .fini = ctest_stop, .timeout = 300);

#define BLOCKS_OF_CLAIM .blocks = {.hashes = ctest_hashes, .n = 2}

// ---- Closed in the middle ------------------------------------------------------------------------

struct closer {
    struct kvr_client *client;
    int closings, answers;
};

static void close_it(void *ctx, const struct kvr_result *r) {
    struct closer *h = ctx;
    (void)r;
    h->closings++;
    ctest_close(h->client);
}

static void count_it(void *ctx, const struct kvr_result *r) {
    struct closer *h = ctx;
    (void)r;
    h->answers++;
}

// A handle with two calls under way, the first of which closes it. With `dead`, that is when it gives
// the call up, in its timer.
static struct kvr_client *closing_soon(struct closer *h, bool dead) {
    struct kvr_client *c =
        ctest_open((struct kvr_client_options){0}, dead ? "deadline=80" : "deadline=20000");
    h->client = c;
    if (dead)
        fake_set_fault(ctest_server, &(struct fake_fault){"dies", FAKE_FAULT_DIE, "", 0}, 1, true);
    cr_assert(kvr_client_info_async(c, close_it, h) == KVR_CODE_OK);
    for (int i = 0; i < 100; i++) // so that some are still under way when the first is answered
        cr_assert(kvr_client_info_async(c, count_it, h) == KVR_CODE_OK);
    return c;
}

static void closed(const struct closer *h) {
    cr_expect(h->closings == 1, "%d", h->closings);
    cr_expect(h->answers == 100, "%d answers", h->answers);
    cr_expect(ctest_memory.blocks == 0, "%zu blocks are left", ctest_memory.blocks);
    fake_heal(ctest_server);
}

Test(ends, closing_in_a_blocking_call) {
    for (int dead = 0; dead < 2; dead++) {
        struct closer h = {0};
        const struct kvr_result *r = kvr_client_info(closing_soon(&h, dead));
        cr_expect(r->code == KVR_CODE_CLOSED, "%s", kvr_code_name(r->code));
        cr_expect(r->message[0]);
        closed(&h);
    }
}

Test(ends, closing_in_a_drain) {
    for (int dead = 0; dead < 2; dead++) {
        struct closer h = {0};
        cr_expect(!kvr_client_drain(closing_soon(&h, dead), 30000));
        closed(&h);
    }
}

Test(ends, closing_in_a_run) {
    for (int dead = 0; dead < 2; dead++) {
        struct closer h = {0};
        struct kvr_client *c = closing_soon(&h, dead);
        for (int64_t end = kvr_clock_ms() + 30000; !h.closings && kvr_clock_ms() < end;)
            kvr_client_run(c, 100);
        closed(&h);
    }
}

// Also a line of the log may be the end, wherever it is written.
static void close_at_a_line(void *ctx, enum kvr_level level, const char *line) {
    struct closer *h = ctx;
    (void)level;
    (void)line;
    if (!h->client) return;
    h->closings++;
    ctest_close(h->client);
}

Test(ends, closing_at_a_line_of_the_log) {
    struct closer h = {0};
    struct kvr_client_options o = {.log = close_at_a_line, .log_ctx = &h, .create = "BLOCKSIZE 16"};
    struct kvr_client *c = ctest_open(o, "deadline=20000");
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    fake_forget(ctest_server);
    h.client = c;
    const struct kvr_result *r =
        kvr_client_update(c, &(struct kvr_update_call){.request = {"a", 1}});
    cr_expect(r->code == KVR_CODE_CLOSED, "%s", kvr_code_name(r->code));
    cr_expect(h.closings >= 1 && ctest_memory.blocks == 0);
}

// ---- Publishers ----------------------------------------------------------------------------------

static int events(void) { // that the server has heard
    static char story[100000];
    int n = 0;
    fake_story(ctest_server, "EVENT", story, sizeof story);
    for (const char *at = story; (at = strstr(at, "EVENT")); at++)
        n++;
    return n;
}

// What a publisher has handed over while nobody takes it goes with it: nobody is there, or the server
// asks to try again.
static void publisher_dropped(bool dead) {
    struct kvr_client_stats s;
    struct kvr_client *c =
        ctest_open((struct kvr_client_options){0}, "deadline=20000&connect_timeout=50");
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    int before = events();
    if (dead)
        fake_set_fault(ctest_server, &(struct fake_fault){"dies", FAKE_FAULT_DIE, "", 0}, 1, true);
    if (!dead)
        fake_lie(ctest_server,
                 &(struct fake_lies){.fails = "KVROUTE.EVENT", .error = "TRYAGAIN no"});
    if (dead) (void)kvr_client_info_async(c, NULL, NULL); // which notices it
    struct kvr_publisher *p = kvr_publisher_new(c, kvr_text("w1"), 0, NULL);
    cr_assert(p);
    for (int i = 0; i < 5; i++) {
        uint64_t block = 100u + (uint64_t)i;
        cr_assert(kvr_publisher_stored(p, KVR_DEVICE, NULL, &block, 1) == KVR_CODE_OK);
        kvr_publisher_flush(p);
        ctest_run(c, 20);
    }
    kvr_client_stats(c, &s);
    cr_assert(s.pending > 0);
    kvr_publisher_free(p);
    if (!dead) ctest_run(c, 100); // what was on its way
    before = dead ? before : events();
    fake_heal(ctest_server);
    fake_lie(ctest_server, NULL);
    cr_expect(kvr_client_drain(c, 20000));
    ctest_run(c, 100);
    cr_expect(kvr_client_info(c)->code == KVR_CODE_OK);
    cr_expect(events() == before, "%d events of a publisher that has gone", events() - before);
    kvr_client_stats(c, &s);
    cr_expect(s.pending == 0);
    ctest_close(c);
}

Test(ends, a_publisher_takes_along_what_isnt_sent) {
    publisher_dropped(true);
    publisher_dropped(false);
}

// ---- Answered when all is over -------------------------------------------------------------------

// A CLAIM is promised while its answer is late, its request ends, and only then comes the answer, an
// error after a loss.
Test(ends, a_claim_refused_when_its_request_is_over) {
    struct kvr_client_options o = {.degrade = true, .create = "BLOCKSIZE 16"};
    struct kvr_client *c = ctest_open(o, "deadline=100&timeout=30000");
    struct kvr_claim_call k = {.worker = {"w1", 2}, BLOCKS_OF_CLAIM};
    cr_assert(kvr_client_info(c)->code == KVR_CODE_OK);
    fake_forget(ctest_server); // a loss, after which the handle bears with errors for a while
    fake_hang_up(ctest_server);
    while (kvr_client_info(c)->code != KVR_CODE_OK)
        ;
    struct kvr_client_stats s;
    kvr_client_stats(c, &s);
    cr_assert(s.losses >= 1);
    fake_lie(ctest_server, &(struct fake_lies){.fails = "KVROUTE.CLAIM", .error = "NOWORKER none"});
    static const struct fake_fault stalls = {"stalls", FAKE_FAULT_STALL, "", 0};
    fake_set_fault(ctest_server, &stalls, 1, false);
    // More of them than the repair looks at in one go: nobody else holds the entries of the last.
    struct closer h = {0};
    char ids[100][8];
    for (int i = 0; i < 100; i++) {
        k.request = (struct kvr_bytes){ids[i], (size_t)snprintf(ids[i], sizeof ids[i], "r%d", i)};
        cr_assert(kvr_client_claim_async(c, &k, count_it, &h) == KVR_CODE_OK);
    }
    while (h.answers < 100)
        kvr_client_run(c, 10);
    for (int i = 0; i < 100; i++) {
        struct kvr_bytes id = kvr_text(ids[i]);
        cr_assert(kvr_client_release_async(c, &id, 1, NULL, NULL) == KVR_CODE_OK);
    }
    ctest_run(c, 300);
    fake_lie(ctest_server, NULL);
    cr_expect(kvr_client_drain(c, 20000));
    cr_expect(fake_live(ctest_server) == 0);
}
