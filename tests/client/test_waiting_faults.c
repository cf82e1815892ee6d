// SPDX-License-Identifier: Apache-2.0
// One scene of calls that wait for room, and everything that can go wrong at each point of it: a server that
// misbehaves, a subscription that says what none says, memory that is short. Each call has one answer that makes
// sense, and once all is well again nothing waits and nothing is booked that was released.
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

enum { SCENE_CALLS = 6, SCENE_CASES = 500, ALWAYS = 1u << KVR_CODE_OK | 1u << KVR_CODE_NOROOM };

struct scene_call {
    char id[4];
    int answers;
    enum kvr_code code;
};

struct scene {
    enum fake_kind kind;
    const struct fake_fault *fault; // NULL: none
    const char *subscribe;          // what SUBSCRIBE is answered with; NULL: the truth
    uint64_t at;
    bool stays;
    uint64_t fail_at; // of the allocations; 0: none
    bool fail_from;
    uint64_t random;       // not 0: one in three fails
    unsigned allowed;      // codes, besides ALWAYS
    uint64_t heard, calls; // out: commands, allocations
};

static void take(void *ctx, const struct kvr_result *r) {
    struct scene_call *q = ctx;
    q->answers++;
    q->code = r->code;
}

static bool await(struct kvr_client *c, const struct scene_call *calls) {
    for (int64_t end = kvr_clock_ms() + 60000; kvr_clock_ms() < end; kvr_client_run(c, 20)) {
        int n = 0;
        for (size_t i = 0; i < SCENE_CALLS; i++)
            n += calls[i].answers > 0;
        if (n == SCENE_CALLS) return true;
    }
    return false;
}

// Also those that couldn't be begun have an end.
static void begin(struct kvr_client *c, struct scene_call *calls) {
    static const uint64_t hashes[2] = {1, 2};
    for (size_t i = 0; i < SCENE_CALLS; i++) {
        snprintf(calls[i].id, sizeof calls[i].id, "s%zu", i);
        struct kvr_select_call q = {.request = kvr_text(calls[i].id),
                                    .blocks = {.hashes = hashes, .n = 2},
                                    .wait = i % 2 ? 600000 : 100};
        enum kvr_code code = kvr_client_select_async(c, &q, take, &calls[i]);
        if (code != KVR_CODE_OK) calls[i] = (struct scene_call){.answers = 1, .code = code};
    }
}

static void release_held(struct kvr_client *c, struct scene_call *calls) {
    for (size_t i = 0; i < SCENE_CALLS; i++) {
        struct kvr_bytes id = kvr_text(calls[i].id);
        if (!calls[i].answers || calls[i].code != KVR_CODE_OK || calls[i].id[3]) continue;
        if (kvr_client_release_async(c, &id, 1, NULL, NULL) == KVR_CODE_OK)
            calls[i].id[3] = 1; // behind its end: it was released
    }
}

static void judge(struct fake_server *f, const struct scene *s, const struct scene_call *calls,
                  char wrong[CTEST_TEXT]) {
    char story[4000];
    struct fake_queue_counts n = fake_queue_counts(f);
    for (int64_t end = kvr_clock_ms() + 60000; n.uncalled && kvr_clock_ms() < end;)
        n = fake_queue_counts(f);
    for (size_t i = 0; i < SCENE_CALLS && !wrong[0]; i++)
        if (calls[i].answers != 1)
            snprintf(wrong, CTEST_TEXT, "%s has %d answers", calls[i].id, calls[i].answers);
        else if (!(1u << calls[i].code & (s->allowed | ALWAYS)))
            snprintf(wrong, CTEST_TEXT, "%s: %s", calls[i].id, kvr_code_name(calls[i].code));
    // To take back what may be booked needs memory; else it ends with its lease.
    for (size_t i = 0; i < SCENE_CALLS && (s->fail_at || s->random); i++)
        if (calls[i].code == KVR_CODE_NOMEM || calls[i].code == KVR_CODE_TIMEOUT) return;
    if (!wrong[0] && (n.waiting || fake_live(f))) {
        fake_story(f, NULL, story, sizeof story);
        snprintf(wrong, CTEST_TEXT, "%zu wait and %zu are booked\n  %s", n.waiting, fake_live(f),
                 story);
    }
}

static void play(struct scene *s, char wrong[CTEST_TEXT]) {
    struct support_alloc mem = {
        .fail_at = s->fail_at, .fail_from = s->fail_from, .random = s->random};
    if (s->random) mem.one_in = 3;
    struct kvr_alloc alloc = support_alloc_use(&mem);
    struct kvr_client_options o = {.alloc = &alloc, .create = ""};
    struct fake_server *f = fake_start(s->kind);
    struct scene_call calls[SCENE_CALLS] = {0};
    char url[300];
    // Where nothing is silent there is nothing to be waited for, and a slow machine isn't silent.
    fake_url(f,
             s->fault ? "deadline=300&timeout=60&connect_timeout=60"
                      : "deadline=20000&timeout=10000&connect_timeout=10000",
             url, sizeof url);
    fake_set_room(f, 2, 1000);
    if (s->subscribe) fake_lie(f, &(struct fake_lies){.subscribe = s->subscribe});
    if (s->fault) fake_set_fault(f, s->fault, s->at, s->stays);
    struct kvr_client *c = kvr_client_open(url, FAKE_POOL, &o, NULL, 0);
    if (!c) {
        mem.fail_at = mem.one_in = 0;
        c = kvr_client_open(url, FAKE_POOL, &o, NULL, 0);
    }
    begin(c, calls);
    for (int i = 0; i < 12; i++)
        kvr_client_run(c, 10);
    release_held(c, calls);
    for (int i = 0; i < 12; i++)
        kvr_client_run(c, 10);
    s->heard = fake_heard(f);
    s->calls = mem.calls;
    mem.fail_at = mem.one_in = 0;
    fake_heal(f);
    fake_lie(f, NULL);
    fake_set_room(f, SIZE_MAX, 1000);
    if (!await(c, calls)) snprintf(wrong, CTEST_TEXT, "a call has no answer");
    release_held(c, calls);
    for (int64_t end = kvr_clock_ms() + 60000; kvr_clock_ms() < end;)
        if (kvr_client_info(c)->code == KVR_CODE_OK) break;
    if (!kvr_client_drain(c, 60000) && !wrong[0])
        snprintf(wrong, CTEST_TEXT, "something is left to do");
    judge(f, s, calls, wrong);
    kvr_client_close(c);
    if (!wrong[0] && mem.bytes)
        snprintf(wrong, CTEST_TEXT, "%zu bytes were never given back", mem.bytes);
    fake_stop(f);
}

static void run_nth(void *ctx, size_t i, char wrong[CTEST_TEXT]) {
    play((struct scene *)ctx + i, wrong);
}

static void name_nth(void *ctx, size_t i, char name[CTEST_TEXT]) {
    const struct scene *s = (struct scene *)ctx + i;
    snprintf(name, CTEST_TEXT, "kind %d, %s at %lu%s, allocation %lu%s, random %lu", (int)s->kind,
             s->fault       ? s->fault->name
             : s->subscribe ? s->subscribe
                            : "no fault",
             (unsigned long)s->at, s->stays ? " and on" : "", (unsigned long)s->fail_at,
             s->fail_from ? " and on" : "", (unsigned long)s->random);
}

static void play_all(struct scene *cases, size_t n) {
    struct ctest_parallel parallel = {cases, n, run_nth, name_nth};
    cr_assert(ctest_parallel_run(&parallel) == 0);
}

static struct scene play_one(struct scene s) {
    char wrong[CTEST_TEXT] = "";
    play(&s, wrong);
    cr_assert(!wrong[0], "%s", wrong);
    return s;
}

// As in test_chaos.c: not those that shift the answers or lie, or say that there is nothing to release.
static const struct fake_misdeed *draw_misdeed(uint64_t *seed) {
    static const unsigned lies = 1u << KVR_CODE_NOPOOL | 1u << KVR_CODE_WRONGTYPE;
    for (;;) {
        const struct fake_misdeed *m = &fake_misdeeds[kvr_random(seed) % fake_n_misdeeds];
        if (!(m->codes & lies) && m->fault.kind != FAKE_FAULT_TWICE && m->fault.bytes[0] != ':')
            return m;
    }
}

// Each of some hundreds of cases is drawn out of all: a deployment, a misdeed, and where it happens.
Test(waiting_faults, a_server_that_misbehaves, .timeout = 900) {
    static struct scene cases[SCENE_CASES];
    uint64_t seed = support_seed();
    uint64_t heard[FAKE_KINDS];
    for (int k = 0; k < FAKE_KINDS; k++)
        heard[k] = play_one((struct scene){.kind = (enum fake_kind)k}).heard;
    for (size_t i = 0; i < SCENE_CASES; i++) {
        const struct fake_misdeed *m = draw_misdeed(&seed);
        enum fake_kind kind = (enum fake_kind)(i % FAKE_KINDS);
        cases[i] = (struct scene){.kind = kind,
                                  .fault = &m->fault,
                                  .at = 1 + kvr_random(&seed) % heard[kind],
                                  .stays = m->fault.kind == FAKE_FAULT_DIE || i % 3 == 0,
                                  .allowed = m->codes | 1u << KVR_CODE_TIMEOUT};
    }
    play_all(cases, SCENE_CASES);
}

// hiredis ends the process where a subscription says what it doesn't expect.
Test(waiting_faults, subscriptions_that_say_odd_things, .timeout = 900) {
#define SUBSCRIBED "*3\r\n$9\r\nsubscribe\r\n@:1\r\n"
    static const char *const odd[] = {
        "+OK\r\n",
        "-ERR no\r\n",
        "-NOPERM no\r\n",
        ":1\r\n",
        "$-1\r\n",
        "*-1\r\n",
        "*0\r\n",
        "$3\r\nabc\r\n",
        "*1\r\n$9\r\nsubscribe\r\n",
        "*2\r\n$9\r\nsubscribe\r\n@",
        "*3\r\n:9\r\n@:1\r\n",
        "*3\r\n$9\r\nsubscribe\r\n:1\r\n:1\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$-1\r\n:1\r\n",
        "*3\r\n$9\r\nsubscribe\r\n@$1\r\n1\r\n",
        "*3\r\n$9\r\nsubscribe\r\n@*0\r\n",
        "*3\r\n$11\r\nunsubscribe\r\n@:0\r\n",
        "*3\r\n$11\r\nunsubscribe\r\n$-1\r\n$1\r\nx\r\n",
        "*3\r\n$10\r\npsubscribe\r\n@:1\r\n",
        "*4\r\n$8\r\npmessage\r\n$1\r\np\r\n@$1\r\nx\r\n",
        "*3\r\n$7\r\nmessage\r\n@:1\r\n",
        "*3\r\n$7\r\nmessage\r\n@$-1\r\n",
        "*3\r\n$7\r\nmessage\r\n*1\r\n:1\r\n$1\r\nx\r\n",
        "*3\r\n$7\r\nmessage\r\n@$2\r\ns1\r\n",
        "*2\r\n$4\r\npong\r\n$0\r\n\r\n",
        SUBSCRIBED "+OK\r\n",
        SUBSCRIBED "-ERR no\r\n",
        SUBSCRIBED ":1\r\n",
        SUBSCRIBED "*2\r\n$4\r\npong\r\n$0\r\n\r\n",
        SUBSCRIBED SUBSCRIBED,
        SUBSCRIBED "*3\r\n$11\r\nunsubscribe\r\n@:0\r\n",
        "*3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:1\r\n",
        "*3\r\n$7\r\nmessage\r\n$1\r\nd\r\n$2\r\ns1\r\n",
        SUBSCRIBED "*3\r\n$9\r\nsubscribe\r\n$1\r\nd\r\n:1\r\n",
        SUBSCRIBED "*3\r\n$7\r\nmessage\r\n$1\r\nd\r\n$2\r\ns1\r\n",
        SUBSCRIBED "*3\r\n$7\r\nmessage\r\n@$0\r\n\r\n",
        SUBSCRIBED "*3\r\n$7\r\nmessage\r\n@:7\r\n",
        SUBSCRIBED "*-1\r\n",
        SUBSCRIBED "%1\r\n",
    };
#undef SUBSCRIBED
    enum { ODD = sizeof odd / sizeof *odd };
    static struct scene cases[ODD];
    for (size_t i = 0; i < ODD; i++)
        cases[i] = (struct scene){.kind = (enum fake_kind)(i % FAKE_KINDS), .subscribe = odd[i]};
    play_all(cases, ODD);
}

Test(waiting_faults, every_allocation, .timeout = 900) {
    enum { MAX_CASES = 3000 };
    static struct scene cases[MAX_CASES];
    size_t n = 0, most = play_one((struct scene){0}).calls * 5 / 4 + 8;
    uint64_t seed = support_seed();
    cr_assert(most > 30 && most * 2 + 200 < MAX_CASES, "%zu allocations", most);
    for (uint64_t k = 1; k <= most; k++)
        for (int from = 0; from < 2; from++)
            cases[n++] = (struct scene){.fail_at = k, .fail_from = from};
    for (int i = 0; i < 200; i++)
        cases[n++] = (struct scene){.kind = (enum fake_kind)(i % FAKE_KINDS),
                                    .random = kvr_random(&seed) | 1};
    for (size_t i = 0; i < n; i++)
        cases[i].allowed = 1u << KVR_CODE_NOMEM | 1u << KVR_CODE_TIMEOUT;
    play_all(cases, n);
}
