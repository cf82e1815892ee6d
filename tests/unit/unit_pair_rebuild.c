// SPDX-License-Identifier: Apache-2.0
// The state of the model built anew in a pool of its own, in random order; see unit_pair.h.
//
// The digest is a function of the state alone, so both pools must have the same one. The new pool
// gets there by a short way: one event an instance for its last holdings after enough empty ones,
// requests as claims, everything shuffled.
#include <stdlib.h>
#include <string.h>

#include "tests/support/support_alloc.h"
#include "unit_pair.h"

struct unit_rebuild {
    struct unit_pair *pair;
    const struct unit_model *model;
    struct kvr_pool *pool;
    uint64_t random;
};

static size_t below(struct unit_rebuild *b, size_t n) {
    b->random = b->random * 6364136223846793005u + 1442695040888963407u;
    return n ? (size_t)(b->random >> 33) % n : 0;
}

static size_t *shuffled(struct unit_rebuild *b, size_t n) {
    size_t *order = unit_must_alloc(n * sizeof *order);
    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t i = n; i > 1; i--) {
        size_t k = below(b, i), last = order[i - 1];
        order[i - 1] = order[k];
        order[k] = last;
    }
    return order;
}

static void must(struct unit_rebuild *b, enum kvr_err err, const char *what) {
    if (err != KVR_OK) unit_pair_differs(b->pair, "building anew: %s is refused (%d)", what, err);
}

static void add_worker(struct unit_rebuild *b, const struct unit_model_worker *w) {
    struct kvr_bytes labels[KVR_MAX_LABELS];
    for (size_t i = 0; i < w->n_labels; i++)
        labels[i] = (struct kvr_bytes){w->label[i].bytes, w->label[i].n};
    // A worker without a time of its own follows the pool's.
    unsigned all = 2 * KVR_SET_DRAIN - 1, ttl = w->ttl < 0 ? KVR_SET_TTL : 0;
    unsigned drain = w->drain_until ? 0 : KVR_SET_DRAIN;
    struct kvr_worker_settings set = {.set = all & ~ttl & ~drain,
                                      .addr = {w->addr, w->addr_len},
                                      .ranks = w->ranks,
                                      .capacity = w->capacity,
                                      .state = w->state,
                                      .ttl = w->ttl,
                                      .speed = w->speed,
                                      .labels = labels,
                                      .n_labels = w->n_labels,
                                      .max_requests = w->max_requests,
                                      .role = w->role};
    int created;
    must(b, kvr_worker_set(b->pool, w->seen, model_name(w), &set, &created), "a worker");
}

// By as many reports, under options with which they lead to the same state.
static void fail(struct unit_rebuild *b, const struct unit_model_worker *w) {
    struct kvr_options o = b->model->options;
    enum kvr_circuit circuit;
    bool changed;
    if (!w->failures) return;
    o.failures = w->tripped ? w->failures : KVR_MAX_FAILURES;
    must(b, kvr_pool_alter(b->pool, &o), "an option");
    for (uint64_t i = 0; i < w->failures; i++)
        must(b, kvr_report(b->pool, 1, model_name(w), false, &circuit, &changed), "a report");
    must(b, kvr_pool_alter(b->pool, &b->model->options), "an option");
}

// The path to a known block, first block first; the caller frees it.
static uint64_t *path_to(struct unit_rebuild *b, uint64_t hash, size_t *n) {
    const struct unit_row *r;
    *n = 1;
    for (r = unit_table_find(&b->model->known, hash, 0); r->has_parent; ++*n)
        r = unit_table_find(&b->model->known, r->parent, 0);
    uint64_t *path = unit_must_alloc(*n * sizeof *path);
    for (size_t i = *n; i-- > 0;) {
        path[i] = hash;
        hash = unit_table_find(&b->model->known, hash, 0)->parent;
    }
    return path;
}

// Everything that an instance holds, in one event: the path of each block stored, and what isn't
// held of it removed again.
static void store_all(struct unit_rebuild *b, const struct unit_model_worker *w, uint32_t rank,
                      const size_t *order) {
    const struct unit_model_rank *r = &w->rank[rank];
    const struct unit_table *held = &b->model->held;
    struct kvr_pool_op *ops = unit_must_alloc(held->n * 2 * sizeof *ops);
    size_t n = 0;
    struct unit_table stored = {0};
    for (size_t k = 0; k < held->cap; k++) {
        const struct unit_row *h = &held->rows[order[k]];
        if (!h->used || h->tag / KVR_TIERS != r->id) continue;
        int tier = (int)(h->tag % KVR_TIERS);
        if (unit_table_find(&stored, h->key, h->tag)) continue;
        size_t length, extra = 0;
        uint64_t *path = path_to(b, h->key, &length),
                 *unheld = unit_must_alloc(length * sizeof *unheld);
        for (size_t i = 0; i < length; i++) {
            if (unit_model_holds(b->model, r->id, tier, path[i]))
                unit_table_put(&stored, path[i], h->tag, NULL);
            else
                unheld[extra++] = path[i];
        }
        ops[n++] = (struct kvr_pool_op){KVR_STORED, tier, false, 0, path, length};
        ops[n++] = (struct kvr_pool_op){KVR_REMOVED, tier, false, 0, unheld, extra};
    }
    unit_table_free(&stored);
    struct kvr_event_result out;
    for (uint64_t seq = 1; seq <= r->seq; seq++)
        must(b,
             kvr_event(b->pool, model_name(w), rank, r->epoch, seq, ops, seq == r->seq ? n : 0,
                       false, &out),
             "an event");
    for (size_t i = 0; i < n; i++)
        free((void *)(uintptr_t)ops[i].hashes);
    free(ops);
}

static void claim(struct unit_rebuild *b, const struct unit_model_request *r) {
    struct kvr_booking booking = {.hashes = r->hashes,
                                  .n = r->n,
                                  .isl = r->isl,
                                  .osl = r->osl,
                                  .cached = r->cached,
                                  .output = r->output,
                                  .prefilled = r->prefilled,
                                  .lease = r->lease,
                                  .created = r->created,
                                  .renewed = r->renewed,
                                  .session = {r->session, r->session_len},
                                  .service_class = model_bytes(&r->service_class),
                                  .flow = model_bytes(&r->flow),
                                  .prefill_worker = model_bytes(&r->prefill_worker),
                                  .prefill_rank = r->prefill_rank,
                                  .prefill_overlap = r->prefill_overlap,
                                  .prefill_cached = r->isl - r->own,
                                  .waited = r->waited,
                                  .uncalled = r->uncalled};
    uint32_t rank;
    const struct unit_model_worker *w = unit_model_owner(b->model, r->instance, &rank);
    int booked;
    if (r->uncalled) { // it has as long as it was said when it was booked
        struct kvr_options o = b->model->options;
        o.accept = r->accept;
        must(b, kvr_pool_alter(b->pool, &o), "an option");
    }
    must(b,
         kvr_claim(b->pool, (struct kvr_bytes){r->id, r->id_len}, model_name(w), rank, &booking,
                   &booked),
         "a claim");
    if (r->uncalled) must(b, kvr_pool_alter(b->pool, &b->model->options), "an option");
}

// A session is where its last booking went, so one more is booked there and ended.
static void settle_sessions(struct unit_rebuild *b) {
    const struct unit_model *m = b->model;
    for (size_t i = 0; i < m->n_sessions; i++) {
        const struct unit_model_session *s = &m->sessions[i];
        struct kvr_booking booking = {.created = s->booked, .session = {s->name, s->name_len}};
        struct kvr_bytes id = {"\1 of a session", 14};
        uint32_t rank;
        const struct unit_model_worker *w = unit_model_owner(m, s->instance, &rank);
        int booked;
        must(b, kvr_claim(b->pool, id, model_name(w), rank, &booking, &booked), "a session");
        kvr_release(b->pool, 0, &id, 1, KVR_LAPSED);
    }
    // Requests may name sessions that are forgotten.
    for (size_t i = 0; i < m->n_requests; i++) {
        struct kvr_bytes name = {m->requests[i].session, m->requests[i].session_len};
        if (name.n && !unit_model_find_session(m, name)) kvr_session_del(b->pool, &name, 1);
    }
}

// What classes and flows have had comes of a history, which isn't built again: only while nobody has had anything.
static bool shares_are_new(const struct unit_model *m) {
    for (size_t i = 0; i < m->queue.n_classes; i++) {
        const struct unit_model_class *c = &m->queue.classes[i];
        if (c->share.finish > 0 || c->v > 0) return false;
        if (unit_model_class_waiting(m, c) && c->share.start > 0) return false;
        for (size_t k = 0; k < c->n_turns; k++)
            if (c->turns[k].share.finish > 0 || c->turns[k].share.start > 0) return false;
    }
    for (size_t i = 0; i < m->queue.n_levels; i++)
        if (m->queue.levels[i].v > 0) return false;
    return true;
}

// Nobody can be booked with a prompt that is computed by who has gone.
static bool all_prompts_are_here(const struct unit_model *m) {
    for (size_t i = 0; i < m->n_requests; i++) {
        const struct unit_model_request *r = &m->requests[i];
        if (r->prefill_worker.n && !r->prefilled && !r->prefill_instance) return false;
    }
    return true;
}

static void add_classes(struct unit_rebuild *b) {
    const struct unit_model_queue *q = &b->model->queue;
    size_t *order = shuffled(b, q->n_classes);
    for (size_t i = 0; i < q->n_classes; i++) {
        const struct unit_model_class *c = &q->classes[order[i]];
        struct kvr_class_info set = {.priority = c->priority,
                                     .weight = c->weight,
                                     .max_waiting = c->max_waiting,
                                     .room = c->room};
        int created;
        must(b, kvr_class_set(b->pool, model_bytes(&c->name), 15, &set, &created), "a class");
    }
    free(order);
}

// Live requests keep the names of classes that have been deleted: these are there while they are claimed.
static void lost_classes(struct unit_rebuild *b, bool there) {
    const struct unit_model *m = b->model;
    const struct kvr_class_info set = {.weight = 1};
    for (size_t i = 0; i < m->n_requests; i++) {
        struct kvr_bytes name = model_bytes(&m->requests[i].service_class);
        int done;
        if (unit_model_find_class(m, name)) continue;
        if (there)
            must(b, kvr_class_set(b->pool, name, 0, &set, &done), "a class");
        else
            must(b, kvr_class_del(b->pool, name, &done), "a class");
    }
}

// With what their buckets hold in the end: bookings pay on the way.
static void add_flows(struct unit_rebuild *b) {
    const struct unit_model_queue *q = &b->model->queue;
    size_t *order = shuffled(b, q->n_flows);
    for (size_t i = 0; i < q->n_flows; i++) {
        const struct unit_model_flow *f = &q->flows[order[i]];
        struct kvr_flow_info set = {.weight = f->weight,
                                    .max_requests = f->max_requests,
                                    .rate = f->rate,
                                    .burst = f->burst};
        int64_t left = f->left;
        int created;
        must(b,
             kvr_flow_set(b->pool, f->at, model_bytes(&f->name), 15, &set, true, &left, &created),
             "a flow");
    }
    free(order);
}

// Somebody comes and goes, so that the next one's number is the following.
static void skip_number(struct unit_rebuild *b) {
    struct kvr_query q = {.wait = 1, .rule = b->model->options.rule};
    struct kvr_bytes id = {"\1 who goes", 10};
    bool applied;
    must(b, kvr_enqueue(b->pool, 0, id, &q, -1, &applied), "somebody");
    kvr_release(b->pool, 0, &id, 1, KVR_LAPSED);
}

static void add_waiting(struct unit_rebuild *b) {
    uint64_t number = 1;
    for (size_t i = 0; i < b->model->queue.n_waiting; i++) {
        const struct unit_model_waiting *w = &b->model->queue.waiting[i];
        bool applied;
        for (; number < w->number; number++)
            skip_number(b);
        number++;
        must(b, kvr_enqueue(b->pool, w->since, model_bytes(&w->id), &w->q, w->lease, &applied),
             "waiting");
    }
}

void unit_pair_check_rebuilt(struct unit_pair *p, uint64_t random) {
    struct support_alloc mem = {0};
    struct kvr_alloc a = support_alloc_use(&mem);
    const struct unit_model *m = &p->model;
    if (!shares_are_new(m) || !all_prompts_are_here(m)) return;
    struct unit_rebuild b = {p, m, kvr_pool_new(&a, &m->options, random), random};
    if (!b.pool) unit_pair_differs(p, "building anew: no pool");
    size_t *workers = shuffled(&b, m->n_workers), *requests = shuffled(&b, m->n_requests);
    size_t *holdings = shuffled(&b, m->held.cap);
    add_classes(&b);
    add_waiting(&b);
    for (size_t i = 0; i < m->n_workers; i++) {
        add_worker(&b, &m->workers[workers[i]]);
        fail(&b, &m->workers[workers[i]]);
    }
    lost_classes(&b, true);
    for (size_t i = 0; i < m->n_requests / 2; i++)
        claim(&b, &m->requests[requests[i]]);
    for (size_t i = m->n_workers; i-- > 0;)
        for (uint32_t k = 0; k < m->workers[workers[i]].ranks; k++)
            store_all(&b, &m->workers[workers[i]], k, holdings);
    for (size_t i = m->n_requests / 2; i < m->n_requests; i++)
        claim(&b, &m->requests[requests[i]]);
    lost_classes(&b, false);
    settle_sessions(&b);
    add_flows(&b);
    free(workers);
    free(requests);
    free(holdings);
    const char *broken = kvr_pool_validate(b.pool);
    if (broken) unit_pair_differs(p, "built anew, it is invalid: %s", broken);
    uint8_t was[KVR_DIGEST_BYTES], is[KVR_DIGEST_BYTES];
    kvr_pool_digest(p->pool, was);
    kvr_pool_digest(b.pool, is);
    if (memcmp(was, is, sizeof was) != 0) unit_pair_differs(p, "built anew, it has another digest");
    kvr_pool_free(b.pool);
    support_alloc_check_freed(&mem, "built anew");
}
