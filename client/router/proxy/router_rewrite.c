// SPDX-License-Identifier: Apache-2.0
#include "router_rewrite.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/router/prompt/router_json_walk.h"

// In the order of their places.
static struct router_rewrite *add(struct router_rewrites *w, size_t from, size_t to) {
    size_t i = w->n;
    if (i == ROUTER_MAX_REWRITES) return NULL; // fields are fewer
    for (; i > 0 && w->all[i - 1].from > from; i--)
        w->all[i] = w->all[i - 1];
    w->n++;
    w->all[i].from = from;
    w->all[i].to = to;
    w->all[i].with = NULL;
    w->all[i].n = 0;
    return &w->all[i];
}

void router_rewrite_remove(struct router_rewrites *w, const struct router_event *e,
                           enum router_event_field f) {
    if (e->at[f].end) add(w, e->at[f].name, e->at[f].end);
}

void router_rewrite_set(struct router_rewrites *w, const struct router_event *e,
                        enum router_event_field f, const char *with, size_t n) {
    struct router_rewrite *one = e->at[f].end ? add(w, e->at[f].value, e->at[f].end) : NULL;
    if (!one) return;
    one->with = with;
    one->n = n;
}

void router_rewrite_set_number(struct router_rewrites *w, const struct router_event *e,
                               enum router_event_field f, int64_t number) {
    struct router_rewrite *one = e->at[f].end ? add(w, e->at[f].value, e->at[f].end) : NULL;
    if (!one) return;
    one->n = (size_t)snprintf(one->number, sizeof one->number, "%" PRId64, number);
    one->with = "";
}

// A member goes with one comma: the one before it, or, if it is now the object's first, the one behind.
static void widen(struct router_rewrite *one, const char *text, size_t written, size_t n) {
    size_t before = one->from, behind = one->to;
    while (before > written && router_json_blank(text[before - 1]))
        before--;
    if (before > written && text[before - 1] == ',') {
        one->from = before - 1;
        return;
    }
    while (behind < n && router_json_blank(text[behind]))
        behind++;
    if (behind < n && text[behind] == ',') one->to = behind + 1;
}

// Small pieces are put together first: a buffer takes about as long for one as for a thousand bytes.
struct rewrite_output {
    struct evbuffer *out;
    size_t n;
    bool failed;
    char bytes[1024];
};

static void put_out(struct rewrite_output *o) {
    if (o->n && evbuffer_add(o->out, o->bytes, o->n)) o->failed = true;
    o->n = 0;
}

static void put_bytes(struct rewrite_output *o, const char *bytes, size_t n) {
    if (o->n + n > sizeof o->bytes) put_out(o);
    if (n > sizeof o->bytes) {
        if (evbuffer_add(o->out, bytes, n)) o->failed = true;
    } else if (n) {
        memcpy(o->bytes + o->n, bytes, n);
        o->n += n;
    }
}

bool router_rewrite_apply(struct router_rewrites *w, const struct router_event *e,
                          const char *whole, size_t size, size_t n, struct evbuffer *out) {
    struct rewrite_output o;
    const char *written = whole;
    o.out = out;
    o.n = 0;
    o.failed = false;
    for (size_t i = 0; i < w->n; i++) {
        struct router_rewrite *one = &w->all[i];
        size_t before = written > e->text ? (size_t)(written - e->text) : 0;
        if (!one->with) widen(one, e->text, before, n);
        const char *with = one->with && !*one->with ? one->number : one->with;
        put_bytes(&o, written, (size_t)(e->text + one->from - written));
        put_bytes(&o, with, one->n);
        written = e->text + one->to;
    }
    put_bytes(&o, written, (size_t)(whole + size - written));
    put_out(&o);
    return !o.failed;
}
