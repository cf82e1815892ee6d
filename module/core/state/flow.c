// SPDX-License-Identifier: Apache-2.0
#include "flow.h"

#include <kvroute/hash.h>
#include <string.h>

#include "instance.h"

static uint64_t hash_of(const struct kvr_pool *p, struct kvr_bytes name) {
    return XXH3_64bits_withSeed(name.p, name.n, p->seed + 2);
}

struct core_flow *core_flow_find(const struct kvr_pool *p, struct kvr_bytes name) {
    struct core_hash_map_item *i = core_hash_map_first(&p->queue.flows, hash_of(p, name));
    for (; i; i = core_hash_map_next(i)) {
        struct core_flow *f = (struct core_flow *)i;
        if (f->name_len == name.n && !memcmp(f->name, name.p, name.n)) return f;
    }
    return NULL;
}

struct core_flow *core_flow_take(struct kvr_pool *p, struct kvr_bytes name) {
    struct core_flow *f = core_flow_find(p, name);
    if (f) return f;
    if (core_hash_map_reserve(&p->queue.flows)) return NULL;
    f = core_mem_calloc(&p->mem, sizeof *f + name.n);
    if (!f) return NULL;
    f->weight = 1;
    f->name_len = (uint16_t)name.n;
    memcpy(f->name, name.p, name.n);
    core_hash_map_add(&p->queue.flows, &f->item, hash_of(p, name));
    return f;
}

void core_flow_drop(struct kvr_pool *p, struct core_flow *f) {
    if (f->registered || f->live || f->lines) return;
    core_hash_map_remove(&p->queue.flows, &f->item);
    core_mem_free(&p->mem, f, sizeof *f + f->name_len);
}

struct kvr_bytes core_flow_name(const struct core_flow *f) {
    return f ? (struct kvr_bytes){f->name, f->name_len} : (struct kvr_bytes){"", 0};
}

double core_flow_weight(const struct core_flow *f) {
    return f ? f->weight : 1;
}

int64_t core_flow_burst(const struct core_flow *f) {
    return f->burst ? f->burst : f->rate;
}

// ---- Live requests -------------------------------------------------------------------------------

void core_flow_join(struct kvr_pool *p, struct core_flow *f, struct core_request *r) {
    (void)p;
    r->flow = f;
    r->flow_next = f->requests;
    if (r->flow_next) r->flow_next->flow_prev = r;
    f->requests = r;
    f->live++;
}

void core_flow_leave(struct kvr_pool *p, struct core_request *r) {
    struct core_flow *f = r->flow;
    *(r->flow_prev ? &r->flow_prev->flow_next : &f->requests) = r->flow_next;
    if (r->flow_next) r->flow_next->flow_prev = r->flow_prev;
    r->flow = NULL;
    f->live--;
    core_flow_drop(p, f);
}

uint64_t core_flow_live(const struct kvr_pool *p, const struct core_flow *f, uint64_t max) {
    if (!p->dropped_requests) return f->live < max ? f->live : max;
    uint64_t live = 0;
    for (const struct core_request *r = f->requests; r && live < max; r = r->flow_next)
        live += core_request_live(p, r);
    return live;
}

bool core_flow_busy(const struct kvr_pool *p, const struct core_flow *f) {
    return f->max_requests && core_flow_live(p, f, f->max_requests) >= f->max_requests;
}

// ---- The bucket ----------------------------------------------------------------------------------

int64_t core_flow_left(const struct kvr_pool *p, const struct core_flow *f, int64_t now) {
    if (!f->rate) return 0;
    int64_t since = f->at > p->renewed ? f->at : p->renewed;
    int64_t full = core_flow_burst(f) * CORE_BUCKET_UNITS, ms = now - since;
    if (ms <= 0 || f->left >= full) return f->left < full ? f->left : full;
    return (full - f->left) / f->rate < ms ? full : f->left + f->rate * ms;
}

void core_flow_pay(struct kvr_pool *p, struct core_flow *f, int64_t at, int64_t tokens,
                   const int64_t *left) {
    if (!f->rate) return;
    f->left = left ? *left : core_flow_left(p, f, at) - tokens * CORE_BUCKET_UNITS;
    if (f->left < CORE_MIN_LEFT) f->left = CORE_MIN_LEFT;
    if (at > f->at) f->at = at; // or the time between would fill it twice
    if (at > p->latest) p->latest = at;
}

int64_t core_flow_wait(const struct kvr_pool *p, const struct core_flow *f, int64_t now,
                       int64_t tokens, int64_t before) {
    if (!f->rate) return 0;
    const int64_t most = (int64_t)1 << 50; // so that no sum overflows
    int64_t burst = core_flow_burst(f);
    int64_t need = (tokens < burst ? tokens : burst) * CORE_BUCKET_UNITS;
    if (before > most) before = most;
    int64_t missing = need - core_flow_left(p, f, now) + before * CORE_BUCKET_UNITS;
    return missing > 0 ? (missing + f->rate - 1) / f->rate : 0;
}

bool core_flow_lets(const struct kvr_pool *p, const struct core_waiting *w, int64_t now) {
    const struct core_flow *f = w->line->flow;
    return !f ||
           (!core_flow_busy(p, f) && !core_flow_wait(p, f, now, w->query.isl + w->query.osl, 0));
}

void core_flows_cap_time(struct kvr_pool *p, int64_t now) {
    const struct core_hash_map *h = &p->queue.flows;
    for (size_t b = 0; b < h->n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(h, b); i; i = i->next) {
            struct core_flow *f = (struct core_flow *)i;
            if (f->at > now) f->at = now;
        }
}

void core_flows_free(struct kvr_pool *p) {
    struct core_hash_map *h = &p->queue.flows;
    for (size_t b = 0; b < h->n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(h, b), *next; i; i = next) {
            struct core_flow *f = (struct core_flow *)i;
            next = i->next;
            core_mem_free(&p->mem, f, sizeof *f + f->name_len);
        }
    core_hash_map_free(h);
}

const char *core_flows_validate(const struct kvr_pool *p) {
    const struct core_hash_map *h = &p->queue.flows;
    const char *wrong = core_hash_map_validate(h);
    size_t registered = 0;
    for (size_t b = 0; b < h->n_buckets && !wrong; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(h, b); i; i = i->next) {
            const struct core_flow *f = (const struct core_flow *)i;
            registered += f->registered;
            if (core_flow_find(p, core_flow_name(f)) != f) return "flow: not found, or there twice";
            if (!f->registered && !f->live && !f->lines) return "flow: one that nobody needs";
            if (!f->registered && (f->rate || f->max_requests || f->weight != 1))
                return "flow: limits of one that isn't registered";
            uint64_t live = 0, waiting = 0, tokens = 0;
            for (const struct core_request *r = f->requests; r; r = r->flow_next, live++)
                if (r->flow != f) return "flow: another's request";
            for (const struct core_line *l = f->lines; l; l = l->next) {
                if (l->flow != f) return "flow: another's line";
                waiting += l->n;
                tokens += l->tokens;
            }
            if (live != f->live || waiting != f->waiting || tokens != f->tokens)
                return "flow: its numbers are wrong";
        }
    return wrong                            ? wrong
           : registered != p->queue.n_flows ? "flow: the number of flows is wrong"
                                            : NULL;
}
