// SPDX-License-Identifier: Apache-2.0
// What a pool learns of its engines and its traffic from the requests that pass through it.
//
// Everything here is learnt from effects: a booking, the time of its first token, its end. So a primary,
// its replicas and whoever loads the stream or the saved form know the same, to the bit. For that the
// arithmetic is + - * / on doubles, in one order, without contraction (see CMakeLists.txt) or libm.
//
// Means are ratios of two sums that forget: each sample takes 1 in WINDOW of both away before it adds its
// own. A sample counts as at most CORE_LEARN_CLIP times the present mean, and at least as a CORE_LEARN_CLIP-th
// of it: so a report that is stuck or a clock that jumps shifts a mean by a few per cent, while a true change
// of ten times is followed within 4 · WINDOW samples.
#ifndef CORE_LEARN_H
#define CORE_LEARN_H

#include <stdbool.h>
#include <stdint.h>

#include "forecast.h"

enum {
    CORE_LEARN_WINDOW = 64, // samples
    CORE_LEARN_CLIP = 8,
    CORE_LEARN_OUTPUT =
        320,              // tokens that a request puts out, before any has ended: a chat's answer
    CORE_LEARN_PRIOR = 8, // requests of the fleet's mean that an instance begins with
};

struct core_ratio {
    double num, den;
};

// Of one instance.
struct core_learnt_instance {
    struct core_ratio decode;  // ms from the first token to the last ÷ tokens after the first
    struct core_ratio prefill; // ms that a prompt was computed ÷ its tokens that weren't cached
    struct core_ratio first;   // ms from booking to the first token ÷ requests
    struct core_ratio
        slowness; // ms to the first token, in what the fleet takes for the like ÷ requests
    // When all that is queued will be computed, at the measured speed, and when the last prompt was: ms since
    // the epoch. Prompts are taken to be computed one after the other, as they were booked.
    double free_at, last_first;
};

// Of the pool.
struct core_learnt {
    double output;              // tokens that a request puts out
    struct core_ratio decode;   // as the instances', over all of them
    struct core_ratio prefill;  // likewise
    struct core_ratio arrivals; // bookings an instance gets ÷ tokens waited for meanwhile
    struct core_ratio reuse;    // tokens found in a cache ÷ tokens of prompts
    struct core_forecast first; // of the time to the first token, on an instance of slowness 1
};

// Both as plain numbers, in the order of the saved form and of the digest; and back. false: not numbers
// that could have been learnt.
enum {
    CORE_LEARNT_NUMBERS = 9 + CORE_FORECAST_PAIRS + CORE_FORECAST_TERMS,
    CORE_LEARNT_INSTANCE_NUMBERS = 10,
};
void core_learnt_numbers(const struct core_learnt *l, double out[CORE_LEARNT_NUMBERS]);
bool core_learnt_from(struct core_learnt *l, const double in[CORE_LEARNT_NUMBERS]);
void core_learnt_instance_numbers(const struct core_learnt_instance *l,
                                  double out[CORE_LEARNT_INSTANCE_NUMBERS]);
bool core_learnt_instance_from(struct core_learnt_instance *l,
                               const double in[CORE_LEARNT_INSTANCE_NUMBERS]);

void core_learn_start(struct core_learnt *l);

static inline double core_ratio_mean(struct core_ratio r, double unless) {
    return r.den > 0 ? r.num / r.den : unless;
}

static inline double core_ratio_rate(struct core_ratio r) {
    return r.num > 0 ? r.den / r.num : 0;
}

// ---- What is asked -------------------------------------------------------------------------------

// Tokens of prefill that the instance computes in a ms; 0 while nothing is known.
static inline double core_learn_rate(const struct core_learnt *l,
                                     const struct core_learnt_instance *in) {
    return core_ratio_rate(in->prefill.num > 0 ? in->prefill : l->prefill);
}
// Tokens that are still to be computed at `now` of the `queued` whose first token hasn't been told. What was
// computed meanwhile is taken off, but not the whole of the oldest prompt (of `oldest` tokens): that
// it is through would have been told.
static inline double core_learn_left(double queued, double oldest, double free_at, double now,
                                     double rate) {
    double left = (free_at - now) * rate, least = queued - oldest;
    left = rate > 0 ? left : queued; // worded so that there is nothing to branch for
    left = left < queued ? left : queued;
    return left > least ? left : least;
}
// Milliseconds until the first token, and for each further one; -1 while nothing is known; in steps of
// 1/16. c->wait < 0: unknown.
double core_learn_ttft(struct core_learnt *l, const struct core_learnt_instance *in,
                       const struct core_forecast_case *c);
double core_learn_tpot(const struct core_learnt *l, const struct core_learnt_instance *in);

// ---- What is told --------------------------------------------------------------------------------

// A request was booked at `at` (ms since the epoch): isl tokens, of which cached need not be computed, and
// `own` have to be.
void core_learn_booked(struct core_learnt *l, struct core_learnt_instance *in, int64_t at,
                       int64_t isl, int64_t cached, int64_t own);

struct core_learn_first {
    int64_t booked, at; // ms since the epoch
    int64_t ahead;      // tokens queued on its instance when it was booked, its own included
    int64_t queued;     // tokens queued there now, its own no more
    double arrived;     // bookings since its own, for each instance of the pool
    struct core_forecast_case kind; // as it was booked
    double forecast;                // ms, -1 none
};
// Its first token came.
void core_learn_prefilled(struct core_learnt *l, struct core_learnt_instance *in,
                          const struct core_learn_first *t);
// It has gone before its first token; `own` of its tokens were queued.
void core_learn_gone(const struct core_learnt *l, struct core_learnt_instance *in, int64_t own);
// It has ended, ms after its first token (-1: nobody knows) and with so many tokens.
void core_learn_ended(struct core_learnt *l, struct core_learnt_instance *in, int64_t ms,
                      int64_t output);

#endif
