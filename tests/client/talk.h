// SPDX-License-Identifier: Apache-2.0
// One conversation that uses every call of a handle, in each of the forms in which a program can have
// it, and what is asked of it whatever happens: every call is answered once, in time.
#ifndef CLIENT_TALK_H
#define CLIENT_TALK_H

#include <kvroute/client.h>

enum talk_form {
    TALK_BLOCKING, // one call after the other
    TALK_RUN,      // all calls at once, then kvr_client_run
    TALK_LOOP,     // on a libevent loop, each call out of the callback of the one before
    TALK_FORMS,
};

enum { TALK_STEPS = 13, TALK_HALF = 6 }; // at half, two requests are live
enum { TALK_SLACK = 20000 }; // ms beyond a deadline that count as hanging, on a busy machine

struct talk;

const char *talk_name(enum talk_form form);

// Opens a handle in that form. NULL: kvr_client_open refused, which is right when `alloc` fails.
struct talk *talk_open(enum talk_form form, const char *url, const struct kvr_alloc *alloc);
struct kvr_client *talk_client(struct talk *t);
// A part of the conversation; stops early after `patience` calls that timed out.
void talk_steps(struct talk *t, size_t first, size_t end, unsigned patience);
// One SELECT and the release of all that is held, each within so many ms; then waits until the handle
// has nothing left to do. Whether all of that went well. Before a call is answered OK, it may be
// answered with the codes in `passing` (1 << code) and made again.
bool talk_simple(struct talk *t, int64_t deadline, unsigned passing);
// Closes the handle: with `busy`, while calls are under way.
void talk_close(struct talk *t, bool busy);

unsigned talk_codes(const struct talk *t); // 1 << code, of all answers so far
size_t talk_calls(const struct talk *t);   // answers so far
// What was wrong, "" nothing: an answer too late, twice or never; a code that can't be.
const char *talk_complaint(const struct talk *t);

#endif
