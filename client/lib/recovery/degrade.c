// SPDX-License-Identifier: Apache-2.0
#include "degrade.h"

#include <string.h>

#include "client/common/clock.h"
#include "client/lib/calls/result.h"

static bool named(const char **at, size_t n, struct kvr_bytes name) {
    bool found = false;
    for (size_t i = 0; i < n; i++) {
        struct kvr_bytes b = kvr_wire_next(at);
        found |= b.n == name.n && !memcmp(b.p, name.p, b.n);
    }
    return found;
}

static size_t labels_among(const char **at, size_t n, const struct kvr_instance *i) {
    size_t found = 0;
    for (size_t k = 0; k < n; k++)
        found += kvr_instance_has_label(i, kvr_wire_next(at));
    return found;
}

// Of each list of names that the command ends with: whether this instance may be chosen.
static bool allowed(const struct kvr_operation *o, const struct kvr_instance *i) {
    const char *at = o->names;
    for (int list = 0; list < KVR_NAME_LISTS; list++) {
        size_t n = o->n_names[list];
        if (!n && !(list == KVR_AMONG && o->among)) continue;
        kvr_wire_next(&at); // the list's word
        kvr_wire_next(&at); // its length
        bool labels = list == KVR_WITH || list == KVR_WITHOUT;
        size_t found = labels ? labels_among(&at, n, i) : named(&at, n, i->worker);
        bool good = list == KVR_AMONG ? found > 0 : list == KVR_WITH ? found == n : !found;
        if (!good) return false;
    }
    return true;
}

static bool better(const struct kvr_instance *a, const struct kvr_instance *b) {
    if (!b || a->open != b->open) return !b || b->open;
    if (a->requests != b->requests) return a->requests < b->requests;
    return a->chosen < b->chosen;
}

bool kvr_degrade_choose(struct kvr_recovery *rec, const struct kvr_operation *o,
                        struct kvr_result *r) {
    struct kvr_instances *m = &rec->memory.instances;
    struct kvr_instance *best = NULL;
    for (struct kvr_list_item *i = m->list.next; i != &m->list; i = i->next) {
        struct kvr_instance *at = kvr_instance_of(i);
        if (!at->listed || at->state != KVR_READY || !better(at, best)) continue;
        if (at->role == KVR_ROLE_PREFILL) continue; // there are no pairs without a pool
        if (allowed(o, at)) best = at;
    }
    if (!best) return false;
    best->chosen = ++m->choices;
    *r = kvr_result_of(KVR_CODE_OK, "");
    r->degraded = true;
    r->choice = (struct kvr_choice){.worker = best->worker,
                                    .addr = best->addr,
                                    .rank = best->rank,
                                    .version = -1,
                                    .ttft = -1,
                                    .tpot = -1,
                                    .prefill_worker = {"", 0},
                                    .prefill_addr = {"", 0}};
    return true;
}

// ---- Knowing the workers -------------------------------------------------------------------------

static void take_list(struct kvr_instances *m, const struct kvr_result *r) {
    kvr_instances_unlist(m);
    for (size_t i = 0; i < r->n; i++) {
        const struct kvr_worker *w = &r->workers[i];
        for (size_t k = 0; k < w->n_ranks; k++) {
            struct kvr_instance *at = kvr_instance_get(m, w->name, w->ranks[k].rank);
            if (!at) continue;
            kvr_instance_set_addr(m, at, w->addr);
            kvr_instance_set_labels(m, at, w->labels, w->n_labels);
            at->listed = true;
            at->state = w->state;
            at->role = w->role;
            at->open = w->circuit == KVR_OPEN;
        }
    }
    kvr_instances_sweep(m);
}

static void list_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    struct kvr_recovery *r = ctx;
    struct kvr_arena *strings = &r->calls->passing;
    const redisReply *list = reply;
    r->refreshing = false;
    kvr_context_wake(r->context, r->refresh_at);
    if (!kvr_connection_received(ac->data, reply, kvr_clock_ms()) ||
        list->type == REDIS_REPLY_ERROR)
        return;
    struct kvr_result result = kvr_result_of(KVR_CODE_OK, "");
    kvr_arena_empty(strings);
    // A pool that has just come back empty says nothing about who is there.
    if (kvr_result_read(KVR_REPLY_IS_WORKERS, list, strings, &result) == KVR_CODE_OK &&
        (result.n || !kvr_recovery_coming_back(r, kvr_clock_ms())))
        take_list(&r->memory.instances, &result);
}

void kvr_degrade_refresh(struct kvr_recovery *r, int64_t now) {
    const char *pool = r->context->pool;
    if (!r->degrade || r->refreshing || now < r->refresh_at) return;
    r->refresh_at = now + kvr_context_jitter(r->context, r->refresh);
    r->refreshing = !kvr_connection_send_words(&r->transport->primary, list_reply, r,
                                               "KVROUTE.WORKER LIST", &pool, 1);
}
