// SPDX-License-Identifier: Apache-2.0
#include "session.h"

#include <kvroute/hash.h>
#include <string.h>

#include "instance.h"

static uint64_t hash_of(const struct kvr_pool *p, struct kvr_bytes name) {
    return XXH3_64bits_withSeed(name.p, name.n, p->seed + 1);
}

struct core_session *core_session_find(const struct kvr_pool *p, struct kvr_bytes name) {
    struct core_hash_map_item *i = core_hash_map_first(&p->sessions, hash_of(p, name));
    for (; i; i = core_hash_map_next(i)) {
        struct core_session *s = (struct core_session *)i;
        if (s->name_len == name.n && !memcmp(s->name, name.p, name.n)) return s;
    }
    return NULL;
}

bool core_session_valid(const struct kvr_pool *p, const struct core_session *s) {
    const struct core_instance *in = &p->instances[s->instance];
    return s->remembered && in->worker && in->generation == s->generation;
}

struct core_session *core_session_take(struct kvr_pool *p, struct kvr_bytes name) {
    struct core_session *s = core_session_find(p, name);
    if (s) return s;
    if (core_hash_map_reserve(&p->sessions) ||
        core_deadlines_reserve_all(&p->session_ends, p->sessions.count + 1))
        return NULL;
    s = core_mem_calloc(&p->mem, sizeof *s + name.n);
    if (!s) return NULL;
    s->name_len = (uint16_t)name.n;
    memcpy(s->name, name.p, name.n);
    core_hash_map_add(&p->sessions, &s->item, hash_of(p, name));
    return s;
}

// Puts it into the deadlines or takes it out. Room was reserved.
static void watch(struct kvr_pool *p, struct core_session *s) {
    if (!s->remembered || s->live)
        core_deadlines_remove(&p->session_ends, &s->due);
    else if (s->due.place)
        core_deadlines_move(&p->session_ends, &s->due, s->booked);
    else
        core_deadlines_add(&p->session_ends, &s->due, s->booked);
}

// It isn't remembered where it is any more: takes it out of the counts.
static void uncount(struct kvr_pool *p, const struct core_session *s) {
    if (core_session_valid(p, s)) {
        p->instances[s->instance].sessions--;
        p->n_sessions--;
    } else if (s->remembered) {
        p->stale_sessions--;
    }
}

void core_session_book(struct kvr_pool *p, struct core_session *s, uint32_t instance, int64_t at,
                       uint64_t number) {
    uncount(p, s);
    s->instance = instance;
    s->generation = p->instances[instance].generation;
    p->instances[instance].sessions++;
    p->n_sessions++;
    s->booked = at;
    if (at > p->latest) p->latest = at;
    s->remembered = true;
    if (s->due.number != number) core_deadlines_remove(&p->session_ends, &s->due);
    s->due.number = number;
    watch(p, s);
}

void core_session_join(struct kvr_pool *p, struct core_request *r) {
    struct core_session *s = r->session;
    r->session_next = s->requests;
    if (r->session_next) r->session_next->session_prev = r;
    s->requests = r;
    if (!s->live++) watch(p, s);
}

void core_session_leave(struct kvr_pool *p, struct core_request *r) {
    struct core_session *s = r->session;
    *(r->session_prev ? &r->session_prev->session_next : &s->requests) = r->session_next;
    if (r->session_next) r->session_next->session_prev = r->session_prev;
    if (--s->live) return;
    watch(p, s);
    core_session_drop(p, s);
}

uint64_t core_session_live(const struct kvr_pool *p, const struct core_session *s, uint64_t max) {
    if (!p->dropped_requests) return s->live < max ? s->live : max;
    uint64_t live = 0;
    for (const struct core_request *r = s->requests; r && live < max; r = r->session_next)
        live += core_request_live(p, r);
    return live;
}

void core_session_drop(struct kvr_pool *p, struct core_session *s) {
    if (s->remembered || s->live) return;
    core_hash_map_remove(&p->sessions, &s->item);
    core_mem_free(&p->mem, s, sizeof *s + s->name_len);
}

static void forget(struct kvr_pool *p, struct core_session *s) {
    uncount(p, s);
    s->remembered = false;
    watch(p, s);
    core_session_drop(p, s);
}

bool core_sessions_sweep(struct kvr_pool *p, size_t max) {
    if (!p->stale_sessions) return false;
    for (size_t n = 0; n < max && p->stale_sessions; n++) {
        struct core_hash_map_item *next, *i = core_hash_map_bucket(&p->sessions, p->swept_sessions);
        for (; i; i = next) {
            struct core_session *s = (struct core_session *)i;
            next = i->next;
            if (s->remembered && !core_session_valid(p, s)) forget(p, s);
        }
        if (++p->swept_sessions == p->sessions.n_buckets) p->swept_sessions = 0;
    }
    return p->stale_sessions > 0;
}

void core_sessions_cap_time(struct kvr_pool *p, int64_t now) {
    for (size_t b = 0; b < p->sessions.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->sessions, b); i; i = i->next) {
            struct core_session *s = (struct core_session *)i;
            if (s->booked > now) s->booked = now;
            if (s->due.place) s->due.at = s->booked;
        }
    core_deadlines_reorder(&p->session_ends);
}

void core_sessions_free(struct kvr_pool *p) {
    for (size_t b = 0; b < p->sessions.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->sessions, b), *next; i;
             i = next) {
            struct core_session *s = (struct core_session *)i;
            next = i->next;
            core_mem_free(&p->mem, s, sizeof *s + s->name_len);
        }
    core_hash_map_free(&p->sessions);
    core_deadlines_free(&p->session_ends);
}

static int64_t session_end(const struct kvr_pool *p, const struct core_session *s) {
    return (s->booked > p->renewed ? s->booked : p->renewed) + p->options.session_ttl;
}

bool core_session_lasts(const struct kvr_pool *p, const struct core_session *s, int64_t now) {
    return now < session_end(p, s) || core_session_live(p, s, 1);
}

bool kvr_session_get(const struct kvr_pool *p, int64_t now, struct kvr_bytes name,
                     struct kvr_session_info *out) {
    const struct core_session *s = core_session_find(p, name);
    if (!s || !core_session_valid(p, s) || !core_session_lasts(p, s, now)) return false;
    const struct core_instance *in = &p->instances[s->instance];
    int64_t left = session_end(p, s) - now;
    *out = (struct kvr_session_info){
        .name = {s->name, s->name_len},
        .worker = {in->worker->name, in->worker->name_len},
        .rank = in->rank,
        .requests = core_session_live(p, s, UINT64_MAX),
        .ttl_left = left > 0 ? left : 0,
    };
    return true;
}

uint64_t kvr_session_scan(const struct kvr_pool *p, uint64_t cursor, size_t count,
                          void (*f)(void *ctx, struct kvr_bytes name), void *ctx) {
    for (; cursor < p->sessions.n_buckets; cursor++) {
        if (count-- == 0) return cursor;
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->sessions, cursor); i;
             i = i->next) {
            const struct core_session *s = (const struct core_session *)i;
            if (core_session_valid(p, s)) f(ctx, (struct kvr_bytes){s->name, s->name_len});
        }
    }
    return 0;
}

size_t kvr_session_del(struct kvr_pool *p, const struct kvr_bytes *names, size_t n) {
    size_t gone = 0;
    for (size_t i = 0; i < n; i++) {
        struct core_session *s = core_session_find(p, names[i]);
        if (!s || !core_session_valid(p, s)) continue;
        forget(p, s);
        gone++;
    }
    if (gone) p->version++;
    return gone;
}

// In the deadlines is when a session was booked, so that session_ttl may change and kvr_renew_all come at
// any time.
static struct core_session *due_session(struct kvr_pool *p, int64_t now) {
    int64_t booked_by = now - p->options.session_ttl;
    if (p->renewed > booked_by) return NULL;
    for (;;) {
        struct core_deadline *first = core_deadlines_first(&p->session_ends);
        if (!first || first->at > booked_by) return NULL;
        struct core_session *s =
            (struct core_session *)((char *)first - offsetof(struct core_session, due));
        if (core_session_valid(p, s)) return s;
        forget(p, s);
    }
}

bool kvr_due_session(struct kvr_pool *p, int64_t now, struct kvr_bytes *name) {
    const struct core_session *s = due_session(p, now);
    if (s) *name = (struct kvr_bytes){s->name, s->name_len};
    return s != NULL;
}

size_t kvr_end_sessions(struct kvr_pool *p, int64_t now, size_t max,
                        void (*f)(void *ctx, struct kvr_bytes name), void *ctx) {
    size_t n = 0;
    for (struct core_session *s; n < max && (s = due_session(p, now)); n++) {
        f(ctx, (struct kvr_bytes){s->name, s->name_len});
        forget(p, s);
    }
    if (n) p->version++;
    return n;
}

// ---- Invariants ----------------------------------------------------------------------------------

const char *core_sessions_validate(const struct kvr_pool *p) {
    const char *wrong = core_hash_map_validate(&p->sessions);
    if (!wrong) wrong = core_deadlines_validate(&p->session_ends);
    if (wrong) return wrong;
    uint64_t valid = 0, stale = 0, live = 0, watched = 0, counted = 0, of_requests = 0;
    for (size_t b = 0; b < p->sessions.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->sessions, b); i; i = i->next) {
            const struct core_session *s = (const struct core_session *)i;
            if (core_session_find(p, (struct kvr_bytes){s->name, s->name_len}) != s)
                return "session: one isn't found, or there twice";
            if (!s->remembered && !s->live) return "session: one that nobody needs";
            bool idle = s->remembered && !s->live;
            if (idle != !!s->due.place) return "session: one that nobody watches";
            if (idle && s->due.at != s->booked) return "session: another's deadline";
            watched += idle;
            valid += core_session_valid(p, s);
            stale += s->remembered && !core_session_valid(p, s);
            live += s->live;
            uint64_t listed = 0;
            for (const struct core_request *r = s->requests; r; r = r->session_next, listed++)
                if (r->session != s) return "session: another's request";
            if (listed != s->live) return "session: its requests are lost";
        }
    for (uint32_t i = 0; i < p->n_instances; i++) {
        counted += p->instances[i].sessions;
        for (const struct core_request *r = p->instances[i].first; r; r = r->next)
            of_requests += r->session != NULL;
    }
    if (valid != p->n_sessions || counted != valid || stale != p->stale_sessions)
        return "session: the number of sessions is wrong";
    if (watched != p->session_ends.n) return "session: a deadline of none";
    if (p->session_ends.cap < p->sessions.count) return "session: no room for a deadline";
    return live == of_requests ? NULL : "session: the number of live requests is wrong";
}
