// SPDX-License-Identifier: Apache-2.0
// A record as a line of JSON. Each line says of itself what it is and in which version, so that any part of a log can
// be read, and lines of several logs lie in one file.
#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>

#include "decision_record.h"

enum { DECISION_VERSION = 1 };

// Text under way: what doesn't fit is counted and not written.
struct line_text {
    char *out;
    size_t room, n;
};

static void put(struct line_text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void put(struct line_text *t, const char *format, ...) {
    va_list args;
    size_t left = t->n < t->room ? t->room - t->n : 0;
    va_start(args, format);
    int n = vsnprintf(left ? t->out + t->n : NULL, left, format, args);
    va_end(args);
    if (n > 0) t->n += (size_t)n;
}

// JSON has no infinity; nothing here is infinite but what a rule may have added up from the greatest weights.
static void put_number(struct line_text *t, const char *name, double v) {
    if (fabs(v) < 0x1p53 && v == trunc(v)) // most are, and this is much faster
        put(t, ",\"%s\":%" PRId64, name, (int64_t)v);
    else if (isfinite(v))
        put(t, ",\"%s\":%.17g", name, v);
    else
        put(t, ",\"%s\":null", name);
}

// Names are bytes. Those that aren't plain ASCII stand as \u00XX, each byte for itself.
static void put_name(struct line_text *t, struct kvr_bytes name) {
    for (size_t i = 0; i < name.n; i++) {
        unsigned char byte = (unsigned char)name.p[i];
        bool plain = byte >= ' ' && byte < 0x7f && byte != '"' && byte != '\\';
        put(t, plain ? "%c" : "\\u%04x", byte);
    }
}

static const char *result_of(const struct kvr_decision_record *r) {
    switch (r->result) {
    case KVR_OK:
        return r->waits ? "WAIT" : "OK";
    case KVR_NOROOM:
        return "NOROOM";
    case KVR_LIMITED:
        return "LIMITED";
    default:
        return "NOWORKER";
    }
}

static void put_hash(struct line_text *t, uint64_t hash) {
    for (int shift = 60; shift >= 0; shift -= 4, t->n++)
        if (t->n < t->room) t->out[t->n] = "0123456789abcdef"[hash >> shift & 15];
}

static void put_candidate(struct line_text *t, const struct kvr_decision_candidate *c) {
    put(t, "{\"worker\":\"");
    put_name(t, c->worker);
    put(t, "\",\"rank\":%" PRIu32 ",\"reason\":\"%s\"", c->rank, kvr_reason_names[c->reason]);
    put_number(t, "cost", c->cost);
    put_number(t, "ttft", c->ttft);
    put_number(t, "tpot", c->tpot);
    put(t, ",\"overlap\":%" PRIu32 ",\"expected\":%" PRIu32, c->overlap, c->expected);
    put_number(t, "credit", c->told.credit);
    put_number(t, "prefill_tokens", c->told.prefill_tokens);
    put_number(t, "queue", c->told.queue);
    put_number(t, "decode_blocks", c->told.decode_blocks);
    put_number(t, "live", c->told.live_prefix);
    put_number(t, "begun", c->told.begun);
    put_number(t, "requests", c->told.requests);
    put_number(t, "pace", c->told.pace);
    put_number(t, "full", c->told.full);
    put(t, ",\"capacity\":%" PRIu64 ",\"booked\":%" PRIu64 "}", c->capacity, c->booked);
}

static void put_select(struct line_text *t, const struct kvr_decision_record *r) {
    put(t, ",\"result\":\"%s\",\"by\":\"%s\",\"pair\":%d", result_of(r), kvr_decider_names[r->by],
        r->pair);
    put(t,
        ",\"isl\":%" PRId64 ",\"osl\":%" PRId64 ",\"blocks\":%" PRIu32 ",\"block_size\":%" PRIu32,
        r->isl, r->osl, r->blocks, r->block_size);
    put(t, ",\"policy\":\"%s\"", kvr_policies[r->rule.policy].name);
    put_number(t, "overlap_weight", r->rule.overlap);
    put_number(t, "prefill_weight", r->rule.prefill);
    put_number(t, "requests_weight", r->rule.requests);
    put_number(t, "temperature", r->rule.temperature);
    put_number(t, "output", r->output);
    put_number(t, "first_weight", r->first_weight);
    put_number(t, "arrivals", r->arrivals);
    put_number(t, "reuse", r->reuse);
    put_number(t, "stick", r->stick);
    put(t, ",\"session\":%d,\"chosen\":%d", r->session, r->chosen);
    put_number(t, "cost", r->cost);
    put(t, ",\"left_out\":%" PRIu64 ",\"candidates\":[", r->left_out);
    for (uint32_t i = 0; i < r->n; i++) {
        if (i) put(t, ",");
        put_candidate(t, &r->candidates[i]);
    }
    put(t, "]");
    if (!r->n_hashes) return;
    put(t, ",\"hashes\":\"");
    for (uint32_t i = 0; i < r->n_hashes; i++)
        put_hash(t, r->hashes[i]);
    put(t, "\"");
}

static void put_end(struct line_text *t, const struct kvr_decision_record *r) {
    put(t, ",\"ttft\":%" PRId64 ",\"duration\":%" PRId64 ",\"output\":%" PRId64 ",\"lapsed\":%d",
        r->ttft, r->duration, r->output_tokens, r->lapsed);
}

size_t kvr_decision_line_room(const struct kvr_decision_record *r) {
    enum { LINE_HEAD = 2048, LINE_CANDIDATE = 1024, LINE_ESCAPED = 6, LINE_DIGITS = 16 };
    size_t names = 0;
    for (uint32_t i = 0; i < r->n; i++)
        names += r->candidates[i].worker.n;
    return LINE_HEAD + r->n * LINE_CANDIDATE + names * LINE_ESCAPED +
           r->n_hashes * (size_t)LINE_DIGITS;
}

size_t kvr_decision_line(const struct kvr_decision_record *r, char *out, size_t room) {
    bool select = r->kind == KVR_DECISION_SELECT;
    struct line_text t = {out, room, 0};
    put(&t, "{\"decision\":%d,\"serial\":%" PRIu64 ",\"event\":\"%s\"", DECISION_VERSION, r->serial,
        select ? "select" : "end");
    put(&t, ",\"at\":%" PRId64 ",\"request\":\"%016" PRIx64 "\"", r->at, r->request);
    if (select)
        put_select(&t, r);
    else
        put_end(&t, r);
    put(&t, "}");
    if (room) out[t.n < room ? t.n : room - 1] = 0;
    return t.n;
}
