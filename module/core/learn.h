// SPDX-License-Identifier: Apache-2.0
// What a pool learns of its engines and its traffic from the requests that pass through it.
//
// Everything here is learnt from effects: a booking, the time of its first token, its end. So a primary,
// its replicas and whoever loads the stream or the saved form know the same, to the bit. For that the
// arithmetic is + - * / on doubles, in one order, without contraction (see CMakeLists.txt) or libm.
//
// Means are ratios of two sums that forget: each sample takes 1 in WINDOW of both away before it adds its
// own. No sample can say more than LEARN_CLIP times what is believed or less than a LEARN_CLIP-th of it, so
// that a report that is stuck or a clock that jumps shifts a mean by a few per cent, while a true change of
// ten times is followed within 4 · WINDOW samples.
#ifndef KVR_LEARN_H
#define KVR_LEARN_H

#include <stdbool.h>
#include <stdint.h>

#include "forecast.h"

enum {
    LEARN_WINDOW = 64,        // samples
    LEARN_FLEET_WINDOW = 512, // samples; of what all instances tell together
    LEARN_CLIP = 8,
    LEARN_OUTPUT = 320, // tokens that a request puts out, before any has ended: a chat's answer
    LEARN_PRIOR = 8,    // requests of the fleet's mean that an instance begins with
};

struct ratio {
    double num, den;
};

// Of one instance.
struct learnt_instance {
    struct ratio decode;   // ms from the first token to the last ÷ tokens after the first
    struct ratio prefill;  // ms that a prompt was computed ÷ its tokens that weren't cached
    struct ratio first;    // ms from booking to the first token ÷ requests
    struct ratio slowness; // ms to the first token, in what the fleet takes for the like ÷ requests
    // When all that is queued will be computed, at the measured speed, and when the last prompt was: ms since
    // the epoch. Prompts are taken to be computed one after the other, as they were booked.
    double free_at, last_first;
};

// Of the pool.
struct learnt {
    double output;         // tokens that a request puts out
    struct ratio decode;   // as the instances', over all of them
    struct ratio prefill;  // likewise
    struct ratio arrivals; // bookings an instance gets ÷ tokens waited for meanwhile
    struct ratio reuse;    // tokens found in a cache ÷ tokens of prompts
    struct forecast first; // of the time to the first token, on an instance of slowness 1
};

// Both as plain numbers, in the order of the saved form and of the digest; and back. false: not numbers
// that could have been learnt.
enum {
    LEARNT_NUMBERS = 9 + FORECAST_PAIRS + FORECAST_TERMS,
    LEARNT_INSTANCE_NUMBERS = 10,
};
void learnt_numbers(const struct learnt *l, double out[LEARNT_NUMBERS]);
bool learnt_from(struct learnt *l, const double in[LEARNT_NUMBERS]);
void learnt_instance_numbers(const struct learnt_instance *l, double out[LEARNT_INSTANCE_NUMBERS]);
bool learnt_instance_from(struct learnt_instance *l, const double in[LEARNT_INSTANCE_NUMBERS]);

void learn_start(struct learnt *l);

static inline double ratio_mean(struct ratio r, double unless) {
    return r.den > 0 ? r.num / r.den : unless;
}

static inline double ratio_rate(struct ratio r) {
    return r.num > 0 ? r.den / r.num : 0;
}

// ---- What is asked -------------------------------------------------------------------------------

// Tokens of prefill that the instance computes in a ms; 0 while nothing is known.
static inline double learn_rate(const struct learnt *l, const struct learnt_instance *in) {
    return ratio_rate(in->prefill.num > 0 ? in->prefill : l->prefill);
}
// Tokens that are still to be computed at `now` of the `queued` whose first token hasn't been told. What was
// computed meanwhile is taken off, but not the whole of the oldest prompt (of `oldest` tokens): that
// it is through would have been told.
static inline double learn_left(double queued, double oldest, double free_at, double now,
                                double rate) {
    double left = (free_at - now) * rate, least = queued - oldest;
    left = rate > 0 && left < queued ? left : queued;
    return left > least ? left : least;
}
// Milliseconds until the first token, and for each further one; -1 while nothing is known; in steps of
// 1/16. c->wait < 0: unknown.
double learn_ttft(struct learnt *l, const struct learnt_instance *in,
                  const struct forecast_case *c);
double learn_tpot(const struct learnt *l, const struct learnt_instance *in);

// ---- What is told --------------------------------------------------------------------------------

// A request was booked at `at` (ms since the epoch): isl tokens, of which cached need not be computed, and
// `own` have to be.
void learn_booked(struct learnt *l, struct learnt_instance *in, int64_t at, int64_t isl,
                  int64_t cached, int64_t own);

struct learn_first {
    int64_t booked, at;        // ms since the epoch
    int64_t ahead;             // tokens queued on its instance when it was booked, its own included
    int64_t queued;            // tokens queued there now, its own no more
    double arrived;            // bookings since its own, for each instance of the pool
    struct forecast_case kind; // as it was booked
    double forecast;           // ms, -1 none
};
// Its first token came.
void learn_prefilled(struct learnt *l, struct learnt_instance *in, const struct learn_first *t);
// It has gone before its first token; `own` of its tokens were queued.
void learn_gone(const struct learnt *l, struct learnt_instance *in, int64_t own);
// It has ended, ms after its first token (-1: nobody knows) and with so many tokens.
void learn_ended(struct learnt *l, struct learnt_instance *in, int64_t ms, int64_t output);

#endif
