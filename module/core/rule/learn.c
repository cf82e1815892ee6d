// SPDX-License-Identifier: Apache-2.0
#include "learn.h"

// What a ratio's sums can be. Samples are of at least one and of less than 2^60 tokens or ms, clipped at
// that a mean far below: so only what wasn't learnt is outside.
#define RATIO_MIN 1e-30
#define RATIO_MAX 1e60

void core_learn_start(struct core_learnt *l) {
    *l = (struct core_learnt){.output = CORE_LEARN_OUTPUT};
}

static void add(struct core_ratio *r, double num, double den, double window) {
    double keep = 1 - 1 / window;
    r->num = r->num * keep + num;
    r->den = r->den * keep + den;
    if (r->den < RATIO_MIN) *r = (struct core_ratio){0, 0};
}

// num, but within CORE_LEARN_CLIP times what `believed` says of den; anything while nothing is believed. A mean
// of zero believes nothing: it would hold every sample at zero for ever.
static double clip(double num, double den, struct core_ratio believed) {
    if (!(believed.num > 0 && believed.den > 0)) return num;
    double usual = believed.num / believed.den * den;
    double max = usual * CORE_LEARN_CLIP, min = usual / CORE_LEARN_CLIP;
    return num > max ? max : num < min ? min : num;
}

// ms that so many tokens of prefill take.
static double time_of(const struct core_learnt *l, const struct core_learnt_instance *in,
                      int64_t tokens) {
    double rate = core_learn_rate(l, in);
    return rate > 0 ? (double)tokens / rate : 0;
}

void core_learn_booked(struct core_learnt *l, struct core_learnt_instance *in, int64_t at,
                       int64_t isl, int64_t cached, int64_t own) {
    add(&l->reuse, (double)cached, (double)isl, CORE_FLEET_WINDOW);
    double from = in->free_at > (double)at ? in->free_at : (double)at;
    in->free_at = from + time_of(l, in, own);
}

// A prompt is computed from when the one before was through, or from its booking.
static void learn_rates(struct core_learnt *l, struct core_learnt_instance *in,
                        const struct core_learn_first *t) {
    double at = (double)t->at, own = t->kind.own;
    double from = in->last_first > (double)t->booked ? in->last_first : (double)t->booked;
    if (at >= from && own > 0) {
        double time = clip(at - from, own, in->prefill.num > 0 ? in->prefill : l->prefill);
        add(&in->prefill, time, own, CORE_LEARN_WINDOW);
        add(&l->prefill, time, own, CORE_FLEET_WINDOW);
    }
    in->last_first = at; // also where the clock has gone back
}

static double slowness(const struct core_learnt_instance *in) {
    enum { SLOWNESS_PRIOR = 2 * CORE_LEARN_PRIOR };
    return (in->slowness.num + SLOWNESS_PRIOR) / (in->slowness.den + SLOWNESS_PRIOR);
}

static void learn_forecast(struct core_learnt *l, struct core_learnt_instance *in,
                           const struct core_learn_first *t) {
    double ms = (double)(t->at - t->booked), slow = slowness(in);
    add(&in->first, clip(ms, 1, in->first), 1, CORE_LEARN_WINDOW);
    if (t->kind.wait < 0) return;
    if (t->forecast > 0) {
        double max = t->forecast * CORE_LEARN_CLIP, min = t->forecast / CORE_LEARN_CLIP;
        ms = ms > max ? max : ms < min ? min : ms;
        add(&in->slowness, ms / t->forecast * slow, 1, CORE_LEARN_WINDOW);
    }
    struct core_forecast_case kind = t->kind;
    kind.wait /= slow;
    core_forecast_learn(&l->first, &kind, ms / slow, t->forecast < 0 ? -1 : t->forecast / slow);
}

void core_learn_prefilled(struct core_learnt *l, struct core_learnt_instance *in,
                          const struct core_learn_first *t) {
    if (t->ahead > 0 && t->at > t->booked) {
        learn_forecast(l, in, t);
        double tokens = (double)t->ahead;
        add(&l->arrivals, clip(t->arrived, tokens, l->arrivals), tokens, CORE_LEARN_WINDOW);
    }
    learn_rates(l, in, t);
    in->free_at = (double)t->at + time_of(l, in, t->queued);
}

void core_learn_gone(const struct core_learnt *l, struct core_learnt_instance *in, int64_t own) {
    in->free_at -= time_of(l, in, own);
    in->free_at = in->free_at > 0 ? in->free_at : 0;
}

void core_learn_ended(struct core_learnt *l, struct core_learnt_instance *in, int64_t ms,
                      int64_t output) {
    if (output <= 0) return;
    double tokens = (double)output, max = l->output * CORE_LEARN_CLIP;
    l->output += ((tokens < max ? tokens : max) - l->output) / CORE_LEARN_WINDOW;
    if (ms <= 0 || output < 2) return;
    tokens = (double)(output - 1);
    double time = clip((double)ms, tokens, in->decode.den > 0 ? in->decode : l->decode);
    add(&in->decode, time, tokens, CORE_LEARN_WINDOW);
    add(&l->decode, time, tokens, CORE_FLEET_WINDOW);
}

// ---- Predicting ----------------------------------------------------------------------------------

// Above 2^48 a double has no finer steps than these by itself.
static double sixteenths(double x) {
    return x < 0x1p48 ? (double)(int64_t)(x * 16 + 0.5) / 16 : x;
}

double core_learn_ttft(struct core_learnt *l, const struct core_learnt_instance *in,
                       const struct core_forecast_case *c) {
    if (c->wait < 0) return -1;
    double slow = slowness(in);
    struct core_forecast_case kind = *c;
    kind.wait /= slow;
    double ms = core_forecast_ms(&l->first, &kind);
    return ms < 0 ? -1 : sixteenths(ms * slow);
}

double core_learn_tpot(const struct core_learnt *l, const struct core_learnt_instance *in) {
    double per_token = core_ratio_mean(in->decode, core_ratio_mean(l->decode, -1));
    return per_token < 0 ? -1 : sixteenths(per_token);
}

// ---- As numbers ----------------------------------------------------------------------------------

static size_t put_ratio(double *out, struct core_ratio r) {
    out[0] = r.num;
    out[1] = r.den;
    return 2;
}

static size_t get_ratio(const double *in, struct core_ratio *r) {
    *r = (struct core_ratio){in[0], in[1]};
    return 2;
}

void core_learnt_numbers(const struct core_learnt *l, double out[CORE_LEARNT_NUMBERS]) {
    out[0] = l->output;
    size_t n = 1;
    n += put_ratio(out + n, l->decode);
    n += put_ratio(out + n, l->prefill);
    n += put_ratio(out + n, l->arrivals);
    n += put_ratio(out + n, l->reuse);
    for (size_t i = 0; i < CORE_FORECAST_PAIRS; i++)
        out[n++] = l->first.products[i];
    for (size_t i = 0; i < CORE_FORECAST_TERMS; i++)
        out[n++] = l->first.times[i];
}

// Whether they can be sums and counts: no NaN, nothing negative, and nothing that arithmetic with a few
// of them could make infinite.
static bool good(const double *in, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!(in[i] >= 0 && in[i] <= RATIO_MAX)) return false;
    return true;
}

static bool good_ratios(const double *in, size_t n) {
    for (size_t i = 0; i + 1 < n; i += 2)
        if (in[i + 1] < RATIO_MIN && (in[i] > 0 || in[i + 1] > 0)) return false;
    return good(in, n);
}

bool core_learnt_from(struct core_learnt *l, const double in[CORE_LEARNT_NUMBERS]) {
    *l = (struct core_learnt){.output = in[0]};
    size_t n = 1;
    n += get_ratio(in + n, &l->decode);
    n += get_ratio(in + n, &l->prefill);
    n += get_ratio(in + n, &l->arrivals);
    n += get_ratio(in + n, &l->reuse);
    size_t ratios = n;
    for (size_t i = 0; i < CORE_FORECAST_PAIRS; i++)
        l->first.products[i] = in[n++];
    for (size_t i = 0; i < CORE_FORECAST_TERMS; i++)
        l->first.times[i] = in[n++];
    return good(in, CORE_LEARNT_NUMBERS) && l->output >= RATIO_MIN &&
           good_ratios(in + 1, ratios - 1);
}

void core_learnt_instance_numbers(const struct core_learnt_instance *l,
                                  double out[CORE_LEARNT_INSTANCE_NUMBERS]) {
    size_t n = 0;
    n += put_ratio(out + n, l->decode);
    n += put_ratio(out + n, l->prefill);
    n += put_ratio(out + n, l->first);
    n += put_ratio(out + n, l->slowness);
    out[n++] = l->free_at;
    out[n++] = l->last_first;
}

bool core_learnt_instance_from(struct core_learnt_instance *l,
                               const double in[CORE_LEARNT_INSTANCE_NUMBERS]) {
    size_t n = 0;
    n += get_ratio(in + n, &l->decode);
    n += get_ratio(in + n, &l->prefill);
    n += get_ratio(in + n, &l->first);
    n += get_ratio(in + n, &l->slowness);
    l->free_at = in[n++];
    l->last_first = in[n++];
    return good(in, n) && good_ratios(in, n - 2);
}
