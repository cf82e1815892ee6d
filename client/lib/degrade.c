// SPDX-License-Identifier: Apache-2.0
// Choosing without a primary: of the instances that were last known to be ready, the one with the
// fewest requests of this handle, and one whose circuit was open only if all were; of equals, the one
// that such a choice fell on longest ago.
//
// Overlap plays no part: what we remember of it is one handle's share of the truth, and an outage is
// no time for herding onto it.
#include <string.h>

#include "client_impl.h"

static bool named(const char **at, size_t n, struct kvr_bytes name) {
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        struct kvr_bytes b = wire_next(at);
        found |= b.n == name.n && !memcmp(b.p, name.p, b.n);
    }
    return found;
}

static size_t labels_among(const char **at, size_t n, const struct instance *i) {
    size_t found = 0;
    for (size_t k = 0; k < n; k++)
        found += instance_has_label(i, wire_next(at));
    return found;
}

static void skip_head(const char **at) { // a list's word and its length
    wire_next(at);
    wire_next(at);
}

// Of each list of names that the command ends with: whether this instance may be chosen.
static bool allowed(const struct op *o, const struct instance *i) {
    const char *at = o->command.base + o->names_at;
    if (o->among) {
        skip_head(&at);
        if (!named(&at, o->n_among, i->worker)) return false;
    }
    if (o->n_exclude) {
        skip_head(&at);
        if (named(&at, o->n_exclude, i->worker)) return false;
    }
    if (o->n_with) {
        skip_head(&at);
        if (labels_among(&at, o->n_with, i) < o->n_with) return false;
    }
    if (!o->n_without) return true;
    skip_head(&at);
    return !labels_among(&at, o->n_without, i);
}

static bool better(const struct instance *a, const struct instance *b) {
    if (!b || a->open != b->open) return !b || b->open;
    if (a->requests != b->requests) return a->requests < b->requests;
    return a->chosen < b->chosen;
}

bool degrade_choose(struct op *o, struct kvr_result *r) {
    struct memory *m = &o->client->memory;
    struct instance *best = NULL;
    for (struct kvr_list_item *i = m->instances.next; i != &m->instances; i = i->next) {
        struct instance *at =
            (struct instance *)(void *)((char *)i - offsetof(struct instance, in));
        if (!at->listed || at->state != KVR_READY || !better(at, best)) continue;
        if (allowed(o, at)) best = at;
    }
    if (!best) return false;
    best->chosen = ++m->choices;
    *r = result_of(KVR_CODE_OK, "");
    r->degraded = true;
    r->choice = (struct kvr_choice){.worker = best->worker,
                                    .addr = best->addr,
                                    .rank = best->rank,
                                    .version = -1,
                                    .ttft = -1,
                                    .tpot = -1};
    return true;
}

// ---- Knowing the workers -------------------------------------------------------------------------

static void take_list(struct kvr_client *c, const struct kvr_result *r) {
    struct memory *m = &c->memory;
    instances_unlist(m);
    for (size_t i = 0; i < r->n; i++) {
        const struct kvr_worker *w = &r->workers[i];
        for (size_t k = 0; k < w->n_ranks; k++) {
            struct instance *at = instance_get(m, w->name, w->ranks[k].rank);
            if (!at) continue;
            instance_addr(m, at, w->addr);
            instance_labels(m, at, w->labels, w->n_labels);
            at->listed = true;
            at->state = w->state;
            at->open = w->circuit == KVR_OPEN;
        }
    }
    instances_sweep(m);
}

static void list_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    struct kvr_client *c = ctx;
    const redisReply *r = reply;
    (void)ac;
    c->refreshing = false;
    if (!link_heard(&c->primary, reply, clock_ms()) || r->type == REDIS_REPLY_ERROR) return;
    struct kvr_result result = result_of(KVR_CODE_OK, "");
    kvr_arena_empty(&c->passing);
    // A pool that has just come back empty says nothing about who is there.
    if (answer_read(ANSWER_WORKERS, r, &c->passing, &result) == KVR_CODE_OK &&
        (result.n || !c->lost_at || clock_ms() - c->lost_at > RECOVERING))
        take_list(c, &result);
}

void degrade_refresh(struct kvr_client *c, int64_t now) {
    const char *pool = c->pool;
    if (!c->degrade || c->refreshing || now < c->refresh_at) return;
    c->refresh_at = now + client_jitter(c, c->refresh);
    c->refreshing = !link_words(&c->primary, list_reply, c, "KVROUTE.WORKER LIST", &pool, 1);
}
