// SPDX-License-Identifier: Apache-2.0
// A server that misbehaves at any point of a conversation, in any way: the handle's calls are answered
// in time and with a code that makes sense, and once the server behaves again all is well: the next
// calls work, and nothing is left booked that was released. Memory is counted.
//
// A case is a deployment, a form, a misdeed, the point where it happens, and whether it stays until it
// is healed. There are tens of thousands, and each run draws one in KVROUTE_FAULTS of them (1: all).
#include <criterion/criterion.h>
#include <criterion/logging.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/random.h"
#include "ctest_conversation.h"
#include "ctest_parallel.h"
#include "fake_faults.h"
#include "fake_server.h"
#include "tests/support/support_alloc.h"
#include "tests/support/support_home.h"

enum {
    ONE_IN = 12, // cases are run, unless told otherwise
    // Deadline where a fault happens once: there is time to get over it, also when all processors
    // are busy. And the silence after which a server counts as dead then.
    ONCE_MS = 8000,
    SILENCE_MS = 200,
    STAYS_MS = 60, // where it stays: it can't be got over
    AFTERWARDS_MS = 15000,
};

struct one_case {
    enum fake_kind kind;
    enum ctest_form form;
    const struct fake_misdeed *misdeed; // NULL: none, to see how long the conversation is
    uint64_t at;
    bool stays;
};

static const char *const kind_names[] = {"tcp", "unix", "sentinel", "cluster"};

// Returns how many commands the conversation had.
static uint64_t run_case(const struct one_case *c, char wrong[CTEST_TEXT]) {
    struct support_alloc mem = {0};
    struct kvr_alloc alloc = support_alloc_use(&mem);
    struct fake_server *f = fake_start(c->kind);
    char url[300], settings[100], story[1500];
    int deadline = c->stays ? STAYS_MS : ONCE_MS, timeout = c->stays ? 25 : SILENCE_MS;
    snprintf(settings, sizeof settings, "deadline=%d&timeout=%d&connect_timeout=%d", deadline,
             timeout, timeout);
    fake_url(f, settings, url, sizeof url);
    if (c->misdeed) fake_set_fault(f, &c->misdeed->fault, c->at, c->stays);
    struct ctest_conversation *t = ctest_conversation_open(c->form, url, &alloc);
    if (!t) {
        snprintf(wrong, CTEST_TEXT, "doesn't open");
        fake_stop(f);
        return 0;
    }
    ctest_conversation_steps(t, 0, CTEST_STEPS, c->stays ? 2 : 100);
    uint64_t heard = fake_heard(f);
    unsigned allowed = 1u << KVR_CODE_OK | (c->misdeed ? c->misdeed->codes : 0);
    if (c->stays) allowed |= 1u << KVR_CODE_TIMEOUT;
    unsigned odd = ctest_conversation_codes(t) & ~allowed;
    fake_heal(f);
    // The answer too much may wait until something else is asked, and then pass for the answer to that.
    // A RELEASE that is refused isn't carried out, also not one that takes a booking back.
    bool refuses = c->misdeed && c->misdeed->codes & ~(1u << KVR_CODE_PROTOCOL);
    bool shifted = c->misdeed && c->misdeed->fault.kind == FAKE_FAULT_TWICE;
    ctest_conversation_simple(t, AFTERWARDS_MS, shifted ? 1u << KVR_CODE_PROTOCOL : 0);
    fake_story(f, NULL, story, sizeof story);
    if (ctest_conversation_complaint(t)[0])
        snprintf(wrong, CTEST_TEXT, "%s\n  %s", ctest_conversation_complaint(t), story);
    else if (odd)
        snprintf(wrong, CTEST_TEXT, "%s isn't what to say to that\n  %s",
                 kvr_code_name((enum kvr_code)__builtin_ctz(odd)), story);
    else if (fake_live(f) && !shifted && !(c->stays && refuses))
        snprintf(wrong, CTEST_TEXT, "%zu requests are booked and released, and still there\n  %s",
                 fake_live(f), story);
    ctest_conversation_close(t, c->at % 3 == 0);
    if (!wrong[0] && (mem.bytes || mem.blocks))
        snprintf(wrong, CTEST_TEXT, "%zu bytes were never given back\n  %s", mem.bytes, story);
    fake_stop(f);
    return heard;
}

static void run_nth(void *ctx, size_t i, char wrong[CTEST_TEXT]) {
    run_case((struct one_case *)ctx + i, wrong);
}

static void name_nth(void *ctx, size_t i, char name[CTEST_TEXT]) {
    const struct one_case *c = (struct one_case *)ctx + i;
    snprintf(name, CTEST_TEXT, "%s, %s, command %lu: %s, %s", kind_names[c->kind],
             ctest_form_name(c->form), (unsigned long)c->at, c->misdeed->fault.name,
             c->stays ? "from then on" : "once");
}

static uint64_t one_in(void) {
    const char *text = getenv("KVROUTE_FAULTS");
    long v = text ? atol(text) : ONE_IN;
    return v > 0 ? (uint64_t)v : 1;
}

static void sweep(enum fake_kind kind) {
    char wrong[CTEST_TEXT] = "";
    uint64_t seed = support_seed(), one = one_in();
    struct one_case *cases = NULL;
    size_t n = 0, cap = 0;
    for (enum ctest_form form = 0; form < CTEST_FORMS; form++) {
        struct one_case good = {.kind = kind, .form = form};
        uint64_t length = run_case(&good, wrong);
        cr_assert(wrong[0] == 0, "%s, %s: %s", kind_names[kind], ctest_form_name(form), wrong);
        cr_assert(length >= CTEST_STEPS, "only %lu commands", (unsigned long)length);
        for (uint64_t at = 1; at <= length + 2; at++)
            for (size_t m = 0; m < fake_n_misdeeds; m++)
                for (int stays = fake_misdeeds[m].fault.kind == FAKE_FAULT_DIE; stays < 2;
                     stays++) {
                    if (kvr_random(&seed) % one) continue;
                    if (n == cap) cases = realloc(cases, (cap = cap * 2 + 64) * sizeof *cases);
                    cases[n++] = (struct one_case){kind, form, &fake_misdeeds[m], at, stays};
                }
    }
    int64_t start = kvr_clock_ms();
    struct ctest_parallel parallel = {cases, n, run_nth, name_nth};
    size_t n_wrong = ctest_parallel_run(&parallel);
    cr_log_info("%s: %zu cases in %ld ms", kind_names[kind], n, (long)(kvr_clock_ms() - start));
    free(cases);
    cr_assert(n_wrong == 0, "%zu of %zu cases", n_wrong, n);
}

Test(faults, tcp, .timeout = 1800) {
    sweep(FAKE_TCP);
}
Test(faults, unix_socket, .timeout = 1800) {
    sweep(FAKE_UNIX);
}
Test(faults, sentinel, .timeout = 1800) {
    sweep(FAKE_SENTINEL);
}
Test(faults, cluster, .timeout = 1800) {
    sweep(FAKE_CLUSTER);
}
