// SPDX-License-Identifier: Apache-2.0
// Sessions: where the last booking of each went.
#include <string.h>

#include <kvroute/hash.h>

#include "pool_impl.h"

static uint64_t hash_of(const struct kvr_pool *p, struct kvr_bytes name) {
    return XXH3_64bits_withSeed(name.p, name.n, p->seed + 1);
}

struct session *session_find(const struct kvr_pool *p, struct kvr_bytes name) {
    struct hmap_item *i = hmap_first(&p->sessions, hash_of(p, name));
    for (; i; i = hmap_next(i)) {
        struct session *s = (struct session *)i;
        if (s->name_len == name.n && !memcmp(s->name, name.p, name.n)) return s;
    }
    return NULL;
}

bool session_valid(const struct kvr_pool *p, const struct session *s) {
    const struct instance *in = &p->instances[s->instance];
    return s->remembered && in->worker && in->generation == s->generation;
}

struct session *session_take(struct kvr_pool *p, struct kvr_bytes name) {
    struct session *s = session_find(p, name);
    if (s) return s;
    if (hmap_reserve(&p->sessions) || deadlines_reserve(&p->session_ends)) return NULL;
    s = mem_calloc(&p->mem, sizeof *s + name.n);
    if (!s) return NULL;
    s->name_len = (uint16_t)name.n;
    memcpy(s->name, name.p, name.n);
    return s;
}

void session_book(struct kvr_pool *p, struct session *s, uint32_t instance, int64_t at) {
    if (session_valid(p, s)) {
        p->instances[s->instance].sessions--;
        p->n_sessions--;
    }
    s->instance = instance;
    s->generation = p->instances[instance].generation;
    s->booked = at;
    p->instances[instance].sessions++;
    p->n_sessions++;
    int64_t end = at + p->options.session_ttl;
    if (s->remembered) {
        deadlines_move(&p->session_ends, &s->due, end);
        return;
    }
    s->remembered = true;
    hmap_add(&p->sessions, &s->item, hash_of(p, (struct kvr_bytes){s->name, s->name_len}));
    deadlines_add(&p->session_ends, &s->due, end);
}

void session_drop(struct kvr_pool *p, struct session *s) {
    if (s->remembered || s->live) return;
    mem_free(&p->mem, s, sizeof *s + s->name_len);
}

void session_forget(struct kvr_pool *p, struct session *s) {
    if (session_valid(p, s)) {
        p->instances[s->instance].sessions--;
        p->n_sessions--;
    }
    s->remembered = false;
    hmap_remove(&p->sessions, &s->item);
    deadlines_remove(&p->session_ends, &s->due);
    session_drop(p, s);
}

void sessions_free(struct kvr_pool *p) {
    for (size_t b = 0; b < p->sessions.n_buckets; b++)
        for (struct hmap_item *i = hmap_bucket(&p->sessions, b), *next; i; i = next) {
            struct session *s = (struct session *)i;
            next = i->next;
            mem_free(&p->mem, s, sizeof *s + s->name_len);
        }
    hmap_free(&p->sessions);
    deadlines_free(&p->session_ends);
}

static int64_t session_end(const struct kvr_pool *p, const struct session *s) {
    return (s->booked > p->renewed ? s->booked : p->renewed) + p->options.session_ttl;
}

bool session_lasts(const struct kvr_pool *p, const struct session *s, int64_t now) {
    return s->live || now < session_end(p, s);
}

bool kvr_session_get(const struct kvr_pool *p, int64_t now, struct kvr_bytes name,
                     struct kvr_session_info *out) {
    const struct session *s = session_find(p, name);
    if (!s || !session_valid(p, s) || !session_lasts(p, s, now)) return false;
    const struct instance *in = &p->instances[s->instance];
    int64_t left = session_end(p, s) - now;
    *out = (struct kvr_session_info){
        .name = {s->name, s->name_len},
        .worker = {in->worker->name, in->worker->name_len},
        .rank = in->rank,
        .requests = s->live,
        .ttl_left = left > 0 ? left : 0,
    };
    return true;
}

uint64_t kvr_session_scan(const struct kvr_pool *p, uint64_t cursor, size_t count,
                          void (*f)(void *ctx, struct kvr_bytes name), void *ctx) {
    for (; cursor < p->sessions.n_buckets; cursor++) {
        if (count-- == 0) return cursor;
        for (struct hmap_item *i = hmap_bucket(&p->sessions, cursor); i; i = i->next) {
            const struct session *s = (const struct session *)i;
            if (session_valid(p, s)) f(ctx, (struct kvr_bytes){s->name, s->name_len});
        }
    }
    return 0;
}

size_t kvr_session_del(struct kvr_pool *p, const struct kvr_bytes *names, size_t n) {
    size_t gone = 0;
    bool changed = false;
    for (size_t i = 0; i < n; i++) {
        struct session *s = session_find(p, names[i]);
        if (!s) continue;
        gone += session_valid(p, s);
        changed = true;
        session_forget(p, s);
    }
    if (changed) p->version++;
    return gone;
}

// A deadline in the heap may be earlier than the true one: after kvr_renew_all, after a change of
// session_ttl, and while a booking of the session is live. It is put right when its turn comes.
bool kvr_due_session(struct kvr_pool *p, int64_t now, struct kvr_bytes *name) {
    enum { LOOK_AGAIN = 1000 }; // ms
    for (;;) {
        struct deadline *first = deadlines_first(&p->session_ends);
        if (!first || first->at > now) return false;
        struct session *s = (struct session *)((char *)first - offsetof(struct session, due));
        int64_t end = session_end(p, s);
        if (end > now)
            deadlines_move(&p->session_ends, first, end);
        else if (s->live)
            deadlines_move(&p->session_ends, first, now + LOOK_AGAIN);
        else {
            *name = (struct kvr_bytes){s->name, s->name_len};
            return true;
        }
    }
}
