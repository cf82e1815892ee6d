// SPDX-License-Identifier: Apache-2.0
// Thousands of requests that wait for room, while room comes and goes, notifications are lost, connections are cut,
// and servers misbehave, change places, forget everything or go back to an earlier state, at random. Each call has
// exactly one end, and in the end the pool has the requests whose callers hold one, and no other, and nobody waits.
#include <criterion/criterion.h>
#include <kvroute/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/random.h"
#include "ctest_parallel.h"
#include "fake_faults.h"
#include "fake_server.h"
#include "tests/support/support_alloc.h"
#include "tests/support/support_home.h"

enum { QUEUE_CASES = 120, QUEUE_STEPS = 400, QUEUE_REQUESTS = 200 };

enum holder_state { HOLDER_ASKED, HOLDER_RELEASED, HOLDER_HELD, HOLDER_ENDED };

// One request, from its caller's side.
struct queue_holder {
    struct queue_chaos *chaos;
    char id[24];
    enum holder_state holder_state;
    bool answered;
};

struct queue_chaos {
    struct fake_server *fake;
    struct kvr_client *client;
    uint64_t random;
    struct queue_holder holders[QUEUE_REQUESTS];
    size_t used, under_way;
    unsigned long ends[KVR_CODE_CLOSED + 1];
    const char *wrong;
};

static const uint64_t hashes[6] = {1, 2, 3, 4, 5, 6};

static uint64_t below(struct queue_chaos *x, uint64_t n) {
    return kvr_random(&x->random) % n;
}

// ---- Callers -------------------------------------------------------------------------------------

static void selected(void *ctx, const struct kvr_result *r) {
    struct queue_holder *q = ctx;
    struct queue_chaos *x = q->chaos;
    bool told = r->code == KVR_CODE_OK || r->code == KVR_CODE_NOROOM ||
                r->code == KVR_CODE_TIMEOUT || r->code == KVR_CODE_PROTOCOL ||
                r->code == KVR_CODE_RELEASED;
    if (q->answered) x->wrong = "a call is answered twice";
    if (!told) x->wrong = kvr_code_name(r->code);
    if (r->code == KVR_CODE_NOROOM && r->number < 1) x->wrong = "NOROOM without a number";
    if (r->code == KVR_CODE_RELEASED && q->holder_state != HOLDER_RELEASED)
        x->wrong = "nobody has released it";
    q->answered = true;
    x->under_way--;
    x->ends[r->code]++;
    if (q->holder_state == HOLDER_RELEASED) // whatever the answer was, there is an end of it
        q->holder_state = HOLDER_ENDED;
    else
        q->holder_state = r->code == KVR_CODE_OK ? HOLDER_HELD : HOLDER_ENDED;
}

static void other(void *ctx, const struct kvr_result *r) {
    struct queue_chaos *x = ctx;
    x->under_way--;
    if (r->code != KVR_CODE_OK && r->code != KVR_CODE_TIMEOUT && r->code != KVR_CODE_PROTOCOL)
        x->wrong = kvr_code_name(r->code);
}

static void begin(struct queue_chaos *x) {
    if (x->used == QUEUE_REQUESTS) return;
    struct queue_holder *q = &x->holders[x->used++];
    *q = (struct queue_holder){.chaos = x};
    snprintf(q->id, sizeof q->id, "request-%03zu", x->used);
    struct kvr_select_call s = {.request = kvr_text(q->id),
                                .blocks = {.hashes = hashes, .n = below(x, 7)},
                                .wait = below(x, 8) ? (int64_t)below(x, 1500) : 0};
    x->under_way++;
    if (kvr_client_select_async(x->client, &s, selected, q) != KVR_CODE_OK)
        x->wrong = "a call isn't begun";
}

// Of one who holds a request, or waits for it.
static void end(struct queue_chaos *x, struct queue_holder *q) {
    if (q->holder_state != HOLDER_HELD && (q->holder_state != HOLDER_ASKED || below(x, 4))) return;
    struct kvr_bytes id = kvr_text(q->id);
    q->holder_state = q->holder_state == HOLDER_HELD ? HOLDER_ENDED : HOLDER_RELEASED;
    x->under_way++;
    if (kvr_client_release_async(x->client, &id, 1, other, x) != KVR_CODE_OK)
        x->wrong = "a call isn't begun";
}

// ---- The servers ---------------------------------------------------------------------------------

static void disturb(struct queue_chaos *x) {
    static const struct fake_lies swapped = {.swapped = true}, ask = {.ask = true},
                                  mute = {.mute = true},
                                  deaf = {.fails = "SUBSCRIBE", .error = "NOPERM no"};
    static const struct fake_lies *const lies[] = {&swapped, &ask, &mute, &deaf, NULL, NULL};
    bool stays;
    const struct fake_fault *fault;
    switch (below(x, 9)) {
    case 0:
        fake_hang_up(x->fake);
        break;
    case 1:
        fake_keep(x->fake);
        break;
    case 2:
        fake_go_back(x->fake);
        break;
    case 3:
        fake_forget(x->fake);
        fake_hang_up(x->fake);
        fake_keep(x->fake);
        break;
    case 4:
    case 5:
        fake_lie(x->fake, lies[below(x, 6)]);
        break;
    case 6:
        fake_heal(x->fake);
        break;
    case 7:
        fake_lose_news(x->fake, (unsigned)below(x, 3) * 50);
        break;
    default:
        fault = fake_draw_fault(&x->random, &stays);
        fake_set_fault(x->fake, fault, 1 + below(x, 12), stays);
    }
}

static void change_room(struct queue_chaos *x) {
    fake_set_room(x->fake, below(x, 30), 100 + (int64_t)below(x, 1000));
}

// ---- A case --------------------------------------------------------------------------------------

// What was admitted and nobody came for, ends by itself: a history that lacks somebody's giving up has him admitted.
static void await_unclaimed(struct queue_chaos *x) {
    for (int64_t limit = kvr_clock_ms() + 60000; kvr_clock_ms() < limit;) {
        struct fake_queue_counts n = fake_queue_counts(x->fake);
        if (!n.waiting && !n.uncalled) break;
        kvr_client_run(x->client, 20);
    }
}

static void judge(struct queue_chaos *x, char wrong[CTEST_TEXT]) {
    char story[3000], last[4000], id[32];
    size_t held = 0;
    struct kvr_client_stats s;
    kvr_client_stats(x->client, &s);
    if (x->under_way) snprintf(wrong, CTEST_TEXT, "%zu calls have no answer", x->under_way);
    if (x->wrong) snprintf(wrong, CTEST_TEXT, "%s", x->wrong);
    for (size_t i = 0; i < x->used; i++) {
        struct queue_holder *q = &x->holders[i];
        bool has = fake_has(x->fake, q->id, strlen(q->id));
        held += q->holder_state == HOLDER_HELD;
        if (wrong[0] || has == (q->holder_state == HOLDER_HELD)) continue;
        snprintf(id, sizeof id, " %s", q->id);
        fake_story(x->fake, id, story, sizeof story);
        fake_story(x->fake, NULL, last, sizeof last);
        snprintf(wrong, CTEST_TEXT, "%s is %s\n  %s\n  %s", q->id,
                 has ? "booked, and nobody's" : "somebody's, and lost", story, last);
    }
    if (!wrong[0] && s.live != held)
        snprintf(wrong, CTEST_TEXT, "the handle remembers %zu of %zu", s.live, held);
    if (!wrong[0] && (s.waiting || fake_queue_counts(x->fake).waiting))
        snprintf(wrong, CTEST_TEXT, "%zu wait here, %zu there", s.waiting,
                 fake_queue_counts(x->fake).waiting);
}

static void settle(struct queue_chaos *x, char wrong[CTEST_TEXT]) {
    fake_lie(x->fake, NULL);
    fake_heal(x->fake);
    for (int64_t limit = kvr_clock_ms() + 120000; x->under_way && kvr_clock_ms() < limit;)
        kvr_client_run(x->client, 50);
    // With an answer from the server as it is now, the handle knows whose history that has.
    for (int64_t limit = kvr_clock_ms() + 60000; kvr_clock_ms() < limit;)
        if (kvr_client_info(x->client)->code == KVR_CODE_OK) break;
    if (!kvr_client_drain(x->client, 60000)) snprintf(wrong, CTEST_TEXT, "something is left to do");
    await_unclaimed(x);
    judge(x, wrong);
}

static struct queue_chaos *start(uint64_t seed, enum fake_kind kind, struct kvr_alloc *alloc) {
    struct kvr_client_options options = {.create = "BLOCKSIZE 16", .alloc = alloc};
    struct queue_chaos *x = calloc(1, sizeof *x);
    char url[300];
    if (!x) abort();
    x->random = seed;
    x->fake = fake_start(kind);
    fake_keep(x->fake);
    fake_url(x->fake, "deadline=400&timeout=50&connect_timeout=50", url, sizeof url);
    x->client = kvr_client_open(url, FAKE_POOL, &options, NULL, 0);
    return x;
}

static void finish(struct queue_chaos *x, const struct support_alloc *mem, char wrong[CTEST_TEXT]) {
    kvr_client_close(x->client);
    if (!wrong[0] && mem->bytes)
        snprintf(wrong, CTEST_TEXT, "%zu bytes were never given back", mem->bytes);
    fake_stop(x->fake);
    free(x);
}

static void run_nth(void *ctx, size_t i, char wrong[CTEST_TEXT]) {
    const uint64_t *seed = ctx;
    struct support_alloc mem = {0};
    struct kvr_alloc alloc = support_alloc_use(&mem);
    struct queue_chaos *x = start(*seed + i * 7919, (enum fake_kind)(i % FAKE_KINDS), &alloc);
    if (!x->client) abort();
    change_room(x);
    for (int step = 0; step < QUEUE_STEPS && !x->wrong; step++) {
        uint64_t what = below(x, 22);
        if (what < 9 || !x->used)
            begin(x);
        else if (what < 14)
            end(x, &x->holders[below(x, x->used)]);
        else if (what == 14)
            disturb(x);
        else if (what == 15)
            change_room(x);
        else
            kvr_client_run(x->client, (int64_t)below(x, 8));
    }
    if (i % 2) fake_set_room(x->fake, SIZE_MAX, 1000); // else many come to the end of their time
    settle(x, wrong);
    if (getenv("KVROUTE_TEST_VERBOSE"))
        printf("case %zu: %lu booked, %lu NOROOM, %lu RELEASED, %lu TIMEOUT\n", i,
               x->ends[KVR_CODE_OK], x->ends[KVR_CODE_NOROOM], x->ends[KVR_CODE_RELEASED],
               x->ends[KVR_CODE_TIMEOUT]);
    finish(x, &mem, wrong);
}

static void name_nth(void *ctx, size_t i, char name[CTEST_TEXT]) {
    (void)ctx;
    snprintf(name, CTEST_TEXT, "case %zu", i);
}

Test(waiting_chaos, nobody_is_lost_or_admitted_twice, .timeout = 900) {
    uint64_t seed = support_seed();
    struct ctest_parallel parallel = {&seed, QUEUE_CASES, run_nth, name_nth};
    cr_assert(ctest_parallel_run(&parallel) == 0);
}
