// SPDX-License-Identifier: Apache-2.0
// One conversation that uses every call of a handle, in each of the forms in which a program can have
// it, and what is asked of it whatever happens: every call is answered once, in time.
#ifndef CTEST_CONVERSATION_H
#define CTEST_CONVERSATION_H

#include <kvroute/client.h>

enum ctest_form {
    CTEST_BLOCKING, // one call after the other
    CTEST_RUN,      // all calls at once, then kvr_client_run
    CTEST_LOOP,     // on a libevent loop, each call out of the callback of the one before
    CTEST_FORMS,
};

enum { CTEST_STEPS = 21, CTEST_HALF = 6 }; // at half, two requests are live
enum { CTEST_SLACK = 20000 }; // ms beyond a deadline that count as hanging, on a busy machine

struct ctest_conversation;

const char *ctest_form_name(enum ctest_form form);

// Opens a handle in that form. NULL: kvr_client_open refused, which is right when `alloc` fails.
struct ctest_conversation *ctest_conversation_open(enum ctest_form form, const char *url,
                                                   const struct kvr_alloc *alloc);
// A part of the conversation; stops early after `patience` calls that timed out.
void ctest_conversation_steps(struct ctest_conversation *t, size_t first, size_t end,
                              unsigned patience);
// One SELECT and the release of all that is held, each within so many ms; then waits until the handle
// has nothing left to do. Whether all of that went well. Before a call is answered OK, it may be
// answered with the codes in `passing` (1 << code) and made again.
bool ctest_conversation_simple(struct ctest_conversation *t, int64_t deadline, unsigned passing);
// Closes the handle: with `busy`, while calls are under way.
void ctest_conversation_close(struct ctest_conversation *t, bool busy);

unsigned
ctest_conversation_codes(const struct ctest_conversation *t); // 1 << code, of all answers so far
// What was wrong, "" nothing: an answer too late, twice or never; a code that can't be.
const char *ctest_conversation_complaint(const struct ctest_conversation *t);

#endif
