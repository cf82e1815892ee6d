// SPDX-License-Identifier: Apache-2.0
#include "router_minutes.h"

enum { MINUTES_STEP_US = ROUTER_MINUTES_STEP_MS * 1000, MINUTES_RING = ROUTER_MINUTES_STEPS + 1 };

// ---- Classes of times ----------------------------------------------------------------------------
// Class c has the times from 256 µs × 2^(c ÷ 8) × (8 + c mod 8) ÷ 8 on: 256 µs to 268 s. The first
// and the last one also have what is below and above.

enum { CLASS_LOWEST = 8, CLASS_PARTS = 3 }; // 2^8 µs; 2^3 parts of an octave

static size_t class_of(int64_t us) {
    if (us < 1 << CLASS_LOWEST) return 0;
    int octave = 63 - __builtin_clzll((unsigned long long)us);
    size_t part = (size_t)(us >> (octave - CLASS_PARTS)) & ((1 << CLASS_PARTS) - 1);
    size_t c = ((size_t)(octave - CLASS_LOWEST) << CLASS_PARTS) + part;
    return c < ROUTER_MINUTES_CLASSES ? c : ROUTER_MINUTES_CLASSES - 1;
}

// ms.
static double middle_of(size_t c) {
    double low = (double)((int64_t)1 << (CLASS_LOWEST + (c >> CLASS_PARTS)));
    double part = (double)(c & ((1 << CLASS_PARTS) - 1));
    return low * (1 + (part + 0.5) / (1 << CLASS_PARTS)) / 1000;
}

static double percentile(const struct router_minutes_step *s, double share) {
    uint64_t all = 0, seen = 0;
    for (size_t c = 0; c < ROUTER_MINUTES_CLASSES; c++)
        all += s->first[c];
    for (size_t c = 0; all && c < ROUTER_MINUTES_CLASSES; c++) {
        seen += s->first[c];
        if ((double)seen >= share * (double)all) return middle_of(c);
    }
    return -1;
}

// ---- Steps ---------------------------------------------------------------------------------------

static struct router_minutes_step *step_at(struct router_minutes *m, int64_t now_us) {
    int64_t number = now_us / MINUTES_STEP_US;
    struct router_minutes_step *s = &m->ring[number % MINUTES_RING];
    if (s->number != number) *s = (struct router_minutes_step){.number = number};
    return s;
}

void router_minutes_request(struct router_minutes *m, int64_t now_us, int failed) {
    struct router_minutes_step *s = step_at(m, now_us);
    s->requests++;
    s->failed += failed != 0;
}

void router_minutes_prompt(struct router_minutes *m, int64_t now_us, int64_t tokens,
                           int64_t cached) {
    struct router_minutes_step *s = step_at(m, now_us);
    if (tokens <= 0) return;
    s->prompt += (uint64_t)tokens;
    if (cached > 0) s->cached += (uint64_t)(cached < tokens ? cached : tokens);
}

void router_minutes_first(struct router_minutes *m, int64_t now_us, int64_t first_us) {
    step_at(m, now_us)->first[class_of(first_us)]++;
}

void router_minutes_output(struct router_minutes *m, int64_t now_us, int64_t tokens) {
    if (tokens > 0) step_at(m, now_us)->output += (uint64_t)tokens;
}

static void add_step(struct router_minutes_step *to, const struct router_minutes_step *s) {
    if (s->number < to->number) return;
    if (s->number > to->number) {
        *to = *s;
        return;
    }
    to->requests += s->requests;
    to->failed += s->failed;
    to->output += s->output;
    to->prompt += s->prompt;
    to->cached += s->cached;
    for (size_t c = 0; c < ROUTER_MINUTES_CLASSES; c++)
        to->first[c] += s->first[c];
}

void router_minutes_add(struct router_minutes *to, const struct router_minutes *m) {
    for (size_t i = 0; i < MINUTES_RING; i++)
        add_step(&to->ring[i], &m->ring[i]);
}

size_t router_minutes_read(const struct router_minutes *m, int64_t began_us, int64_t now_us,
                           struct router_minutes_figures out[ROUTER_MINUTES_STEPS]) {
    int64_t end = now_us / MINUTES_STEP_US, first = began_us / MINUTES_STEP_US;
    if (first < end - ROUTER_MINUTES_STEPS) first = end - ROUTER_MINUTES_STEPS;
    size_t n = 0;
    for (int64_t number = first; number < end; number++) {
        const struct router_minutes_step *s = &m->ring[number % MINUTES_RING];
        struct router_minutes_figures *f = &out[n++];
        *f = (struct router_minutes_figures){.p50 = -1, .p95 = -1};
        if (s->number != number) continue; // nothing happened
        f->requests = s->requests;
        f->failed = s->failed;
        f->output = s->output;
        f->prompt = s->prompt;
        f->cached = s->cached;
        f->p50 = percentile(s, 0.5);
        f->p95 = percentile(s, 0.95);
    }
    return n;
}
