// SPDX-License-Identifier: Apache-2.0
// Running out of memory: of opening a handle and a conversation, with a server that forgets everything
// in the middle, the first allocation fails, then the second, and so on until none does; then also all
// that follow; then one in three at random. Calls are answered NOMEM or as if nothing were, nothing is
// lost or leaked, and with memory again the handle works.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "crowd.h"
#include "fake.h"
#include "talk.h"
#include "tests/support/testmem.h"

enum { RANDOM = 150 };

struct shortage {
    enum talk_form form;
    enum fake_kind kind;
    uint64_t fail_at;
    bool from;
    uint64_t random; // not 0: one in three
    uint64_t calls;  // out: how many allocations there were
};

static void come_short(struct shortage *s, char wrong[CROWD_TEXT]) {
    static const unsigned allowed =
        1u << KVR_CODE_OK | 1u << KVR_CODE_NOMEM | 1u << KVR_CODE_TIMEOUT;
    struct testmem mem = {.fail_at = s->fail_at, .fail_from = s->from, .random = s->random};
    if (s->random) mem.one_in = 3;
    struct kvr_alloc alloc = testmem_alloc(&mem);
    struct fake *f = fake_start(s->kind);
    char url[300];
    fake_url(f, "deadline=150&timeout=60&connect_timeout=60", url, sizeof url);
    struct talk *t = talk_open(s->form, url, &alloc);
    if (!t) {
        if (!mem.failures) snprintf(wrong, CROWD_TEXT, "doesn't open, though there is memory");
        mem.fail_at = mem.one_in = 0;
        t = talk_open(s->form, url, &alloc);
    }
    if (!t) {
        snprintf(wrong, CROWD_TEXT, "doesn't open");
        fake_stop(f);
        return;
    }
    talk_steps(t, 0, TALK_HALF, 2);
    fake_forget(f);
    fake_hang_up(f);
    talk_steps(t, TALK_HALF, TALK_STEPS, 2);
    mem.fail_at = mem.one_in = 0;
    unsigned odd = talk_codes(t) & ~allowed;
    talk_simple(t, 15000, 0);
    if (talk_complaint(t)[0])
        snprintf(wrong, CROWD_TEXT, "%s", talk_complaint(t));
    else if (odd)
        snprintf(wrong, CROWD_TEXT, "the code %s", kvr_code_name(__builtin_ctz(odd)));
    else if (fake_live(f) && !(talk_codes(t) & 1u << KVR_CODE_TIMEOUT)) // to take back needs memory
        snprintf(wrong, CROWD_TEXT, "%zu requests are still there", fake_live(f));
    talk_close(t, false);
    if (!wrong[0] && (mem.bytes || mem.blocks))
        snprintf(wrong, CROWD_TEXT, "%zu bytes were never given back", mem.bytes);
    s->calls = mem.calls;
    fake_stop(f);
}

static void run_nth(void *ctx, size_t i, char wrong[CROWD_TEXT]) {
    come_short((struct shortage *)ctx + i, wrong);
}

static void name_nth(void *ctx, size_t i, char name[CROWD_TEXT]) {
    const struct shortage *s = (struct shortage *)ctx + i;
    snprintf(name, CROWD_TEXT, "%s, allocation %lu%s, random %lu", talk_name(s->form),
             (unsigned long)s->fail_at, s->from ? " and all after it" : "",
             (unsigned long)s->random);
}

static void every_allocation(enum talk_form form, enum fake_kind kind) {
    enum { MOST = 4000 };
    static struct shortage cases[MOST];
    char wrong[CROWD_TEXT] = "";
    struct shortage none = {.form = form, .kind = kind};
    come_short(&none, wrong);
    cr_assert(wrong[0] == 0, "%s", wrong);
    // With a failure the way may be longer than without.
    size_t n = 0, most = none.calls + none.calls / 4 + 8;
    cr_assert(none.calls > 20 && most * 2 < MOST, "%lu allocations", (unsigned long)none.calls);
    for (size_t k = 1; k <= most; k++)
        for (int from = 0; from < 2; from++)
            cases[n++] = (struct shortage){form, kind, k, from, 0, 0};
    struct crowd crowd = {cases, n, run_nth, name_nth};
    cr_assert(crowd_run(&crowd) == 0);
}

Test(nomem, every_allocation_blocking, .timeout = 900) {
    every_allocation(TALK_BLOCKING, FAKE_TCP);
}
Test(nomem, every_allocation_run, .timeout = 900) {
    every_allocation(TALK_RUN, FAKE_SENTINEL);
}
Test(nomem, every_allocation_loop, .timeout = 900) {
    every_allocation(TALK_LOOP, FAKE_CLUSTER);
}

Test(nomem, one_in_three, .timeout = 900) {
    static struct shortage cases[RANDOM];
    uint64_t seed = crowd_seed();
    for (size_t i = 0; i < RANDOM; i++)
        cases[i] =
            (struct shortage){i % TALK_FORMS, i % FAKE_KINDS, 0, false, crowd_draw(&seed) | 1, 0};
    struct crowd crowd = {cases, RANDOM, run_nth, name_nth};
    cr_assert(crowd_run(&crowd) == 0);
}
