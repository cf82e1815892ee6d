// SPDX-License-Identifier: Apache-2.0
// Put together by hand: as values of jansson, and these as text, it was a fifth of what a choice costs here. What is
// unusual is still left to it, so that there is one opinion of how such texts and numbers are written.
#include "router_advice_answer.h"

#include <stdlib.h>

#include "client/http1/h1_buffer.h"
#include "client/router/prompt/router_json.h"
#include "client/router/router_exchange.h"

enum {
    ANSWER_ROOM = 768, // for all but the bytes of texts: names, and numbers of 32 bytes at most
    ANSWER_ESCAPE = 6, // what a byte of a text may become
};

struct advice_answer {
    char *at, *end;
    bool failed; // no memory, or a number that JSON has none for
};

static void put_json(struct advice_answer *a, json_t *value) {
    size_t room = (size_t)(a->end - a->at);
    size_t n = value ? json_dumpb(value, a->at, room, JSON_ENCODE_ANY) : 0;
    json_decref(value);
    if (n && n <= room)
        a->at += n;
    else
        a->failed = true;
}

static bool is_plain(struct kvr_bytes b) {
    for (size_t i = 0; i < b.n; i++) {
        unsigned char c = (unsigned char)b.p[i];
        if (c < ' ' || c > '~' || c == '"' || c == '\\') return false;
    }
    return true;
}

static void put_text(struct advice_answer *a, const char *name, struct kvr_bytes b) {
    a->at = h1_put_text(a->at, name);
    if (!is_plain(b)) {
        put_json(a, router_json_text(b));
        return;
    }
    *a->at++ = '"';
    if (b.n) a->at = h1_put_bytes(a->at, b.p, b.n);
    *a->at++ = '"';
}

static void put_whole(struct advice_answer *a, const char *name, int64_t n) {
    a->at = h1_put_text(a->at, name);
    if (n < 0) *a->at++ = '-';
    a->at = h1_put_number(a->at, n < 0 ? -(uint64_t)n : (uint64_t)n);
}

static void put_real(struct advice_answer *a, const char *name, double x) {
    if (x > -1e9 && x < 1e9 && x == (double)(int64_t)x) {
        put_whole(a, name, (int64_t)x);
        a->at = h1_put_text(a->at, ".0");
        return;
    }
    a->at = h1_put_text(a->at, name);
    put_json(a, json_real(x));
}

static void put_flag(struct advice_answer *a, const char *name, bool is) {
    a->at = h1_put_text(h1_put_text(a->at, name), is ? "true" : "false");
}

void router_advice_answer(struct router_exchange *x, struct kvr_bytes request,
                          const struct kvr_result *r, bool repeat) {
    const struct kvr_choice *c = &r->choice;
    size_t room = ANSWER_ROOM + ANSWER_ESCAPE * (request.n + c->worker.n + c->addr.n);
    char *text = malloc(room);
    struct advice_answer a = {text, text + room, !text};
    if (text) {
        put_text(&a, "{\"request\":", request);
        put_text(&a, ",\"worker\":", c->worker);
        put_text(&a, ",\"address\":", c->addr);
        put_whole(&a, ",\"rank\":", c->rank);
        put_whole(&a, ",\"overlap\":", c->overlap);
        put_whole(&a, ",\"cached\":", c->cached);
        put_whole(&a, ",\"blocks\":", c->blocks);
        put_real(&a, ",\"cost\":", c->cost);
        put_flag(&a, ",\"repeat\":", repeat);
        put_whole(&a, ",\"version\":", (int64_t)c->version);
        put_flag(&a, ",\"degraded\":", r->degraded);
        put_whole(&a, ",\"expected\":", c->expected);
        put_real(&a, ",\"ttft\":", c->ttft);
        put_real(&a, ",\"tpot\":", c->tpot);
        put_whole(&a, ",\"waited\":", c->waited);
        *a.at++ = '}';
    }
    if (a.failed)
        router_json(x, 200, NULL);
    else
        h1_exchange_send(&x->h1, 200, "application/json", text, (size_t)(a.at - text));
    free(text);
}
