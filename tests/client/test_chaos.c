// SPDX-License-Identifier: Apache-2.0
// Hundreds of requests through a handle while the servers hang up, misbehave, change places, forget
// everything or go back to an earlier state, at random. In the end the pool has exactly the requests
// whose callers hold one: each that was answered OK and not released, and no other.
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

enum { CHAOS_CASES = 120, CHAOS_STEPS = 400, CHAOS_REQUESTS = 200 };

// One request, from its caller's side.
enum caller_state { CALLER_UNUSED, CALLER_ASKED, CALLER_HELD, CALLER_ENDED };

struct chaos_caller {
    struct chaos *chaos;
    char id[24];
    size_t n;
    enum caller_state caller_state;
    unsigned asked; // calls under way for it
};

struct chaos {
    struct fake_server *fake;
    struct kvr_client *client;
    uint64_t random;
    struct chaos_caller callers[CHAOS_REQUESTS];
    size_t used, under_way;
    const char *wrong;
};

static const uint64_t hashes[6] = {1, 2, 3, 4, 5, 6};

static uint64_t below(struct chaos *x, uint64_t n) {
    return kvr_random(&x->random) % n;
}

// ---- Callers -------------------------------------------------------------------------------------

static void answered(struct chaos_caller *q, const struct kvr_result *r) {
    struct chaos *x = q->chaos;
    q->asked--;
    x->under_way--;
    if (r->code != KVR_CODE_OK && r->code != KVR_CODE_TIMEOUT && r->code != KVR_CODE_PROTOCOL)
        x->wrong = kvr_code_name(r->code);
}

static void booked(void *ctx, const struct kvr_result *r) {
    struct chaos_caller *q = ctx;
    answered(q, r);
    // Whoever has been told of a failure has no request, whatever became of it.
    if (q->caller_state == CALLER_ASKED)
        q->caller_state = r->code == KVR_CODE_OK ? CALLER_HELD : CALLER_ENDED;
}

static void other(void *ctx, const struct kvr_result *r) {
    answered(ctx, r);
}

static void begin(struct chaos *x) {
    if (x->used == CHAOS_REQUESTS) return;
    struct chaos_caller *q = &x->callers[x->used++];
    *q = (struct chaos_caller){.chaos = x, .caller_state = CALLER_ASKED};
    q->n = (size_t)snprintf(q->id, sizeof q->id, "request-%03zu", x->used);
    struct kvr_bytes id = {q->id, q->n};
    struct kvr_blocks blocks = {.hashes = hashes, .n = below(x, 7)};
    struct kvr_select_call s = {.request = id, .blocks = blocks};
    struct kvr_claim_call c = {.request = id, .worker = {"w1", 2}, .blocks = blocks};
    bool blocking = below(x, 10) == 0, claim = below(x, 5) == 0;
    q->asked++;
    x->under_way++;
    if (blocking)
        booked(q, claim ? kvr_client_claim(x->client, &c) : kvr_client_select(x->client, &s));
    else if ((claim ? kvr_client_claim_async(x->client, &c, booked, q)
                    : kvr_client_select_async(x->client, &s, booked, q)) != KVR_CODE_OK)
        x->wrong = "a call isn't begun";
}

static struct chaos_caller *draw_caller(struct chaos *x) {
    return x->used ? &x->callers[below(x, x->used)] : NULL;
}

static void go_on(struct chaos *x, struct chaos_caller *q) {
    if (q->caller_state != CALLER_HELD) return;
    struct kvr_update_call u = {
        .request = {q->id, q->n}, .prefilled = below(x, 2), .output = (int64_t)below(x, 100)};
    q->asked++;
    x->under_way++;
    if (kvr_client_update_async(x->client, &u, other, q) != KVR_CODE_OK)
        x->wrong = "a call isn't begun";
}

static void end(struct chaos *x, struct chaos_caller *q) {
    if (q->caller_state != CALLER_HELD) return;
    struct kvr_bytes id = {q->id, q->n};
    q->caller_state = CALLER_ENDED;
    q->asked++;
    x->under_way++;
    if (kvr_client_release_async(x->client, &id, 1, other, q) != KVR_CODE_OK)
        x->wrong = "a call isn't begun";
}

// ---- The servers ---------------------------------------------------------------------------------

static void disturb(struct chaos *x) {
    static const struct fake_lies swapped = {.swapped = true}, ask = {.ask = true};
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
        fake_lie(x->fake, below(x, 2) ? &swapped : NULL);
        break;
    case 5:
        fake_lie(x->fake, below(x, 2) ? &ask : NULL);
        break;
    case 6:
        fake_heal(x->fake);
        break;
    default:
        fault = fake_draw_fault(&x->random, &stays);
        fake_set_fault(x->fake, fault, 1 + below(x, 12), stays);
    }
}

// ---- A case --------------------------------------------------------------------------------------

static void judge(struct chaos *x, char wrong[CTEST_TEXT]) {
    char story[3000], last[4000], id[32];
    size_t held = 0;
    if (x->under_way) snprintf(wrong, CTEST_TEXT, "%zu calls have no answer", x->under_way);
    if (x->wrong) snprintf(wrong, CTEST_TEXT, "%s", x->wrong);
    for (size_t i = 0; i < x->used; i++) {
        struct chaos_caller *q = &x->callers[i];
        bool has = fake_has(x->fake, q->id, q->n);
        held += q->caller_state == CALLER_HELD;
        if (wrong[0] || has == (q->caller_state == CALLER_HELD)) continue;
        snprintf(id, sizeof id, " %s", q->id);
        fake_story(x->fake, id, story, sizeof story);
        fake_story(x->fake, NULL, last, sizeof last);
        snprintf(wrong, CTEST_TEXT, "%s is %s\n  %s\n  %s", q->id,
                 has ? "booked, and nobody's" : "somebody's, and lost", story, last);
    }
    struct kvr_client_stats s;
    kvr_client_stats(x->client, &s);
    if (!wrong[0] && s.live != held)
        snprintf(wrong, CTEST_TEXT, "the handle remembers %zu of %zu", s.live, held);
}

static void run_nth(void *ctx, size_t i, char wrong[CTEST_TEXT]) {
    const uint64_t *seed = ctx;
    struct support_alloc mem = {0};
    struct kvr_alloc alloc = support_alloc_use(&mem);
    struct kvr_client_options options = {.create = "BLOCKSIZE 16", .alloc = &alloc};
    struct chaos *x = calloc(1, sizeof *x);
    char url[300];
    if (!x) abort();
    x->random = *seed + i * 7919;
    x->fake = fake_start((enum fake_kind)(i % FAKE_KINDS));
    fake_keep(x->fake);
    fake_url(x->fake, "deadline=400&timeout=50&connect_timeout=50", url, sizeof url);
    x->client = kvr_client_open(url, FAKE_POOL, &options, NULL, 0);
    if (!x->client) abort();
    for (int step = 0; step < CHAOS_STEPS && !x->wrong; step++) {
        struct chaos_caller *q = draw_caller(x);
        uint64_t what = below(x, 20);
        if (what < 8 || !q)
            begin(x);
        else if (what < 11)
            go_on(x, q);
        else if (what < 15)
            end(x, q);
        else if (what == 15)
            disturb(x);
        else
            kvr_client_run(x->client, (int64_t)below(x, 4));
    }
    fake_lie(x->fake, NULL);
    fake_heal(x->fake);
    for (int64_t limit = kvr_clock_ms() + 60000; x->under_way && kvr_clock_ms() < limit;)
        kvr_client_run(x->client, 50);
    // With an answer from the server as it is now, the handle knows whose history that has.
    for (int64_t limit = kvr_clock_ms() + 60000; kvr_clock_ms() < limit;)
        if (kvr_client_info(x->client)->code == KVR_CODE_OK) break;
    if (!kvr_client_drain(x->client, 60000)) snprintf(wrong, CTEST_TEXT, "something is left to do");
    judge(x, wrong);
    kvr_client_close(x->client);
    if (!wrong[0] && mem.bytes)
        snprintf(wrong, CTEST_TEXT, "%zu bytes were never given back", mem.bytes);
    fake_stop(x->fake);
    free(x);
}

static void name_nth(void *ctx, size_t i, char name[CTEST_TEXT]) {
    (void)ctx;
    snprintf(name, CTEST_TEXT, "case %zu", i);
}

Test(chaos, nothing_is_lost, .timeout = 900) {
    uint64_t seed = support_seed();
    struct ctest_parallel parallel = {&seed, CHAOS_CASES, run_nth, name_nth};
    cr_assert(ctest_parallel_run(&parallel) == 0);
}
