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

enum {
    LEARN_WINDOW = 64,        // samples
    LEARN_FLEET_WINDOW = 512, // samples; of what all instances tell together
    LEARN_CLIP = 8,
    LEARN_OUTPUT = 320, // tokens that a request puts out, before any has ended: a chat's answer
    LEARN_PRIOR = 8,    // requests of the fleet's mean speed that an instance begins with
};

struct ratio {
    double num, den;
};

// Of one instance.
struct learnt_instance {
    struct ratio decode;  // ms from the first token to the last ÷ tokens after the first
    struct ratio prefill; // ms from booking to the first token ÷ tokens queued there, own included
    struct ratio first;   // ms from booking to the first token ÷ requests
};

// Of the pool.
struct learnt {
    double output;       // tokens that a request puts out
    struct ratio decode; // as the instances', over all of them
    struct ratio prefill;
    struct ratio arrivals; // bookings an instance gets ÷ tokens waited for meanwhile
    struct ratio reuse;    // tokens found in a cache ÷ tokens of prompts
};

// Both as plain numbers, in the order of the saved form and of the digest; and back. false: not numbers
// that could have been learnt.
enum { LEARNT_NUMBERS = 9, LEARNT_INSTANCE_NUMBERS = 6 };
void learnt_numbers(const struct learnt *l, double out[LEARNT_NUMBERS]);
bool learnt_from(struct learnt *l, const double in[LEARNT_NUMBERS]);
void learnt_instance_numbers(const struct learnt_instance *l, double out[LEARNT_INSTANCE_NUMBERS]);
bool learnt_instance_from(struct learnt_instance *l, const double in[LEARNT_INSTANCE_NUMBERS]);

// Milliseconds until the first token of a request that has `own` tokens to compute where so many are
// queued; and for each further token. -1 while nothing is known; in steps of 1/16.
double learn_ttft(const struct learnt *l, const struct learnt_instance *in, uint64_t queued,
                  int64_t own);
double learn_tpot(const struct learnt *l, const struct learnt_instance *in);

void learn_start(struct learnt *l);

static inline double ratio_mean(struct ratio r, double unless) {
    return r.den > 0 ? r.num / r.den : unless;
}

// A request was booked: isl tokens, of which cached need not be computed.
void learn_booked(struct learnt *l, int64_t isl, int64_t cached);
// Its first token came after ms. ahead: tokens queued on its instance when it was booked, its own
// included; arrived: bookings since, for each instance of the pool.
void learn_prefilled(struct learnt *l, struct learnt_instance *in, int64_t ms, int64_t ahead,
                     double arrived);
// It has ended, ms after its first token (-1: nobody knows) and with so many tokens.
void learn_ended(struct learnt *l, struct learnt_instance *in, int64_t ms, int64_t output);

#endif
