// SPDX-License-Identifier: Apache-2.0
// Running out of memory: of opening a handle and a conversation, with a server that forgets everything
// in the middle, the first allocation fails, then the second, and so on until none does; then also all
// that follow; then one in three at random. Calls are answered NOMEM or as if nothing were, nothing is
// lost or leaked, and with memory again the handle works.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "client/common/random.h"
#include "ctest_conversation.h"
#include "ctest_parallel.h"
#include "fake_server.h"
#include "tests/support/support_alloc.h"
#include "tests/support/support_home.h"

enum { RANDOM_SHORTAGES = 150 };

struct shortage {
    enum ctest_form form;
    enum fake_kind kind;
    uint64_t fail_at;
    bool from;
    uint64_t random; // not 0: one in three
    uint64_t calls;  // out: how many allocations there were
};

static void come_short(struct shortage *s, char wrong[CTEST_TEXT]) {
    static const unsigned allowed =
        1u << KVR_CODE_OK | 1u << KVR_CODE_NOMEM | 1u << KVR_CODE_TIMEOUT;
    struct support_alloc mem = {.fail_at = s->fail_at, .fail_from = s->from, .random = s->random};
    if (s->random) mem.one_in = 3;
    struct kvr_alloc alloc = support_alloc_use(&mem);
    struct fake_server *f = fake_start(s->kind);
    char url[300];
    fake_url(f, "deadline=150&timeout=60&connect_timeout=60", url, sizeof url);
    struct ctest_conversation *t = ctest_conversation_open(s->form, url, &alloc);
    if (!t) {
        if (!mem.failures) snprintf(wrong, CTEST_TEXT, "doesn't open, though there is memory");
        mem.fail_at = mem.one_in = 0;
        t = ctest_conversation_open(s->form, url, &alloc);
    }
    if (!t) {
        snprintf(wrong, CTEST_TEXT, "doesn't open");
        fake_stop(f);
        return;
    }
    ctest_conversation_steps(t, 0, CTEST_HALF, 2);
    fake_forget(f);
    fake_hang_up(f);
    ctest_conversation_steps(t, CTEST_HALF, CTEST_STEPS, 2);
    mem.fail_at = mem.one_in = 0;
    unsigned odd = ctest_conversation_codes(t) & ~allowed;
    ctest_conversation_simple(t, 15000, 0);
    if (ctest_conversation_complaint(t)[0])
        snprintf(wrong, CTEST_TEXT, "%s", ctest_conversation_complaint(t));
    else if (odd)
        snprintf(wrong, CTEST_TEXT, "the code %s", kvr_code_name(__builtin_ctz(odd)));
    else if (fake_live(f) &&
             !(ctest_conversation_codes(t) & 1u << KVR_CODE_TIMEOUT)) // to take back needs memory
        snprintf(wrong, CTEST_TEXT, "%zu requests are still there", fake_live(f));
    ctest_conversation_close(t, false);
    if (!wrong[0] && (mem.bytes || mem.blocks))
        snprintf(wrong, CTEST_TEXT, "%zu bytes were never given back", mem.bytes);
    s->calls = mem.calls;
    fake_stop(f);
}

static void run_nth(void *ctx, size_t i, char wrong[CTEST_TEXT]) {
    come_short((struct shortage *)ctx + i, wrong);
}

static void name_nth(void *ctx, size_t i, char name[CTEST_TEXT]) {
    const struct shortage *s = (struct shortage *)ctx + i;
    snprintf(name, CTEST_TEXT, "%s, allocation %lu%s, random %lu", ctest_form_name(s->form),
             (unsigned long)s->fail_at, s->from ? " and all after it" : "",
             (unsigned long)s->random);
}

static void every_allocation(enum ctest_form form, enum fake_kind kind) {
    enum { MAX_SHORTAGES = 4000 };
    static struct shortage cases[MAX_SHORTAGES];
    char wrong[CTEST_TEXT] = "";
    struct shortage none = {.form = form, .kind = kind};
    come_short(&none, wrong);
    cr_assert(wrong[0] == 0, "%s", wrong);
    // With a failure the way may be longer than without.
    size_t n = 0, most = none.calls + none.calls / 4 + 8;
    cr_assert(none.calls > 20 && most * 2 < MAX_SHORTAGES, "%lu allocations",
              (unsigned long)none.calls);
    for (size_t k = 1; k <= most; k++)
        for (int from = 0; from < 2; from++)
            cases[n++] = (struct shortage){form, kind, k, from, 0, 0};
    struct ctest_parallel parallel = {cases, n, run_nth, name_nth};
    cr_assert(ctest_parallel_run(&parallel) == 0);
}

Test(nomem, every_allocation_blocking, .timeout = 900) {
    every_allocation(CTEST_BLOCKING, FAKE_TCP);
}
Test(nomem, every_allocation_run, .timeout = 900) {
    every_allocation(CTEST_RUN, FAKE_SENTINEL);
}
Test(nomem, every_allocation_loop, .timeout = 900) {
    every_allocation(CTEST_LOOP, FAKE_CLUSTER);
}

Test(nomem, one_in_three, .timeout = 900) {
    static struct shortage cases[RANDOM_SHORTAGES];
    uint64_t seed = support_seed();
    for (size_t i = 0; i < RANDOM_SHORTAGES; i++)
        cases[i] =
            (struct shortage){i % CTEST_FORMS, i % FAKE_KINDS, 0, false, kvr_random(&seed) | 1, 0};
    struct ctest_parallel parallel = {cases, RANDOM_SHORTAGES, run_nth, name_nth};
    cr_assert(ctest_parallel_run(&parallel) == 0);
}
