// SPDX-License-Identifier: Apache-2.0
#include "learn.h"

#include <stddef.h>

// What a ratio's sums can be. Samples are of at least one and of less than 2^60 tokens or ms, clipped at
// that a mean far below: so only what wasn't learnt is outside.
#define LEARN_LEAST 1e-30
#define LEARN_MOST 1e60

void learn_start(struct learnt *l) {
    *l = (struct learnt){.output = LEARN_OUTPUT};
}

static void add(struct ratio *r, double num, double den, double window) {
    double keep = 1 - 1 / window;
    r->num = r->num * keep + num;
    r->den = r->den * keep + den;
    if (r->den < LEARN_LEAST) *r = (struct ratio){0, 0};
}

// num, but within LEARN_CLIP times what `believed` says of den; anything while nothing is believed. A mean
// of zero believes nothing: it would hold every sample at zero for ever.
static double clip(double num, double den, struct ratio believed) {
    if (!(believed.num > 0 && believed.den > 0)) return num;
    double usual = believed.num / believed.den * den;
    double most = usual * LEARN_CLIP, least = usual / LEARN_CLIP;
    return num > most ? most : num < least ? least : num;
}

void learn_booked(struct learnt *l, int64_t isl, int64_t cached) {
    add(&l->reuse, (double)cached, (double)isl, LEARN_FLEET_WINDOW);
}

void learn_prefilled(struct learnt *l, struct learnt_instance *in, int64_t ms, int64_t ahead,
                     double arrived) {
    if (ms <= 0 || ahead <= 0) return;
    double tokens = (double)ahead;
    double time = clip((double)ms, tokens, in->prefill.den > 0 ? in->prefill : l->prefill);
    add(&in->prefill, time, tokens, LEARN_WINDOW);
    add(&in->first, time, 1, LEARN_WINDOW);
    add(&l->prefill, time, tokens, LEARN_FLEET_WINDOW);
    add(&l->arrivals, clip(arrived, tokens, l->arrivals), tokens, LEARN_WINDOW);
}

void learn_ended(struct learnt *l, struct learnt_instance *in, int64_t ms, int64_t output) {
    if (output <= 0) return;
    double tokens = (double)output, most = l->output * LEARN_CLIP;
    l->output += ((tokens < most ? tokens : most) - l->output) / LEARN_WINDOW;
    if (ms <= 0 || output < 2) return;
    tokens = (double)(output - 1);
    double time = clip((double)ms, tokens, in->decode.den > 0 ? in->decode : l->decode);
    add(&in->decode, time, tokens, LEARN_WINDOW);
    add(&l->decode, time, tokens, LEARN_FLEET_WINDOW);
}

// ---- Predicting ----------------------------------------------------------------------------------

// Above 2^48 a double has no finer steps than these by itself.
static double sixteenths(double x) {
    return x < 0x1p48 ? (double)(int64_t)(x * 16 + 0.5) / 16 : x;
}

double learn_ttft(const struct learnt *l, const struct learnt_instance *in, uint64_t queued,
                  int64_t own) {
    double per_token = ratio_mean(in->prefill, ratio_mean(l->prefill, -1));
    return per_token < 0 ? -1 : sixteenths(per_token * ((double)queued + (double)own));
}

double learn_tpot(const struct learnt *l, const struct learnt_instance *in) {
    double per_token = ratio_mean(in->decode, ratio_mean(l->decode, -1));
    return per_token < 0 ? -1 : sixteenths(per_token);
}

// ---- As numbers ----------------------------------------------------------------------------------

void learnt_numbers(const struct learnt *l, double out[LEARNT_NUMBERS]) {
    const double all[] = {l->output,       l->decode.num,  l->decode.den,
                          l->prefill.num,  l->prefill.den, l->arrivals.num,
                          l->arrivals.den, l->reuse.num,   l->reuse.den};
    for (size_t i = 0; i < LEARNT_NUMBERS; i++)
        out[i] = all[i];
}

// Whether they can be sums and counts: no NaN, nothing negative, and nothing that arithmetic with a few
// of them could make infinite.
static bool good(const double *in, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!(in[i] >= 0 && in[i] <= LEARN_MOST)) return false;
    return true;
}

static bool good_ratios(const double *in, size_t n) {
    for (size_t i = 0; i + 1 < n; i += 2)
        if (in[i + 1] < LEARN_LEAST && (in[i] > 0 || in[i + 1] > 0)) return false;
    return good(in, n);
}

bool learnt_from(struct learnt *l, const double in[LEARNT_NUMBERS]) {
    *l = (struct learnt){in[0], {in[1], in[2]}, {in[3], in[4]}, {in[5], in[6]}, {in[7], in[8]}};
    return good(in, 1) && l->output >= LEARN_LEAST && good_ratios(in + 1, LEARNT_NUMBERS - 1);
}

void learnt_instance_numbers(const struct learnt_instance *l, double out[LEARNT_INSTANCE_NUMBERS]) {
    const double all[] = {l->decode.num,  l->decode.den, l->prefill.num,
                          l->prefill.den, l->first.num,  l->first.den};
    for (size_t i = 0; i < LEARNT_INSTANCE_NUMBERS; i++)
        out[i] = all[i];
}

bool learnt_instance_from(struct learnt_instance *l, const double in[LEARNT_INSTANCE_NUMBERS]) {
    *l = (struct learnt_instance){{in[0], in[1]}, {in[2], in[3]}, {in[4], in[5]}};
    return good_ratios(in, LEARNT_INSTANCE_NUMBERS);
}
