// SPDX-License-Identifier: Apache-2.0
// The queue of pool and model; see unit_pair.h.
#include "module/core/state/pool_state.h"
#include "unit_pair.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

// ---- Admission -----------------------------------------------------------------------------------

// Some owners are there when they are admitted, the same ones whenever they are.
static bool called(void *ctx, struct kvr_bytes id) {
    (void)ctx;
    return id.n && id.p[id.n - 1] % 3 == 0;
}

static bool goes_there(struct unit_pair *p, const struct unit_model_waiting *w,
                       const struct unit_model_choice *all, size_t n,
                       const struct kvr_admission *got) {
    const struct kvr_pool_score named = {.worker = got->worker, .rank = got->rank};
    const struct kvr_pool_score *best = &unit_pair_choice(p, &w->q, all, n, &named)->score;
    return got->rank == best->rank && unit_bytes_compare(got->worker, best->worker) == 0;
}

static void check_admission(struct unit_pair *p, const struct unit_model_waiting *w,
                            const struct unit_model_choice *all, size_t n,
                            const struct kvr_admission *got) {
    const struct kvr_pool_score named = {.worker = got->worker, .rank = got->rank};
    const struct unit_model_choice *best = unit_pair_choice(p, &w->q, all, n, &named);
    const struct kvr_pool_score *chosen = &best->score;
    unit_pair_same_bytes(p, "admitted to", got->worker, chosen->worker);
    unit_pair_same(p, "rank", got->rank, chosen->rank);
    unit_pair_same_bytes(p, "channel", got->notify, w->q.notify);
    unit_pair_check_booking(p, &w->q, w->lease, best, &got->booked);
    int64_t waited = p->now > w->since ? p->now - w->since : 0;
    unit_pair_same(p, "waited", (uint64_t)got->booked.waited, (uint64_t)waited);
    unit_pair_same(p, "uncalled", got->booked.uncalled, !called(NULL, model_bytes(&w->id)));
    unit_model_selected(&p->model, chosen, w->q.n, false);
}

// Whether time alone, or what has still to be swept, may have made room since all were looked at.
static bool unnoticed(struct unit_pair *p) {
    struct kvr_stats stats;
    kvr_pool_stats(p->pool, p->now, &stats);
    return stats.unswept || p->now != p->looked;
}

// scanned: just now, so that what is kept is as it has to be.
static void check_nobody(struct unit_pair *p, bool scanned, const struct unit_model_waiting *w,
                         const struct unit_model_waiting *without) {
    if (kvr_admit_left(p->pool, p->now)) return;
    if (w && !unnoticed(p))
        unit_pair_differs(p, "nobody is admitted, '%.*s' could be", (int)w->id.n, w->id.bytes);
    if (without && scanned && !unnoticed(p))
        unit_pair_differs(p, "nothing is kept for '%.*s'", (int)without->id.n, without->id.bytes);
}

bool unit_pair_admit(struct unit_pair *p, size_t *looks, double random) {
    struct kvr_admission got;
    struct unit_model_choice *all = NULL;
    size_t n = 0, before = *looks;
    uint64_t failures = p->mem.failures;
    bool left = kvr_admit_left(p->pool, p->now), resumed = p->pool->queue.scanning;
    memset(&got, 0, sizeof got);
    bool admitted = kvr_admit(p->pool, p->now, looks, random, called, NULL, &got);
    if (*looks > before) unit_pair_differs(p, "%zu looks of %zu are left", *looks, before);
    if (admitted && !left) unit_pair_differs(p, "somebody is admitted, nobody was left");
    if (!resumed) p->began = p->now;
    if (left && !admitted && !kvr_admit_left(p->pool, p->now) &&
        p->pool->queue.all_round != p->looked_round) {
        p->looked_round = p->pool->queue.all_round;
        p->looked = p->began;
    }
    const struct unit_model_waiting *without;
    struct unit_model_waiting *w = admitted ? unit_model_find_waiting(&p->model, got.id) : NULL;
    if (admitted && !w) unit_pair_differs(p, "'%.*s' doesn't wait", (int)got.id.n, got.id.p);
    struct unit_model_holds holds;
    unit_pair_holds(p, &holds);
    bool lenient =
        admitted && p->began < p->now; // he may have been passed whom time has made room for
    const struct unit_model_waiting *favour = w;
    w = unit_model_next(&p->model, p->now, favour, true, lenient, &holds, &all, &n, &without);
    // Of classes that are level another may have been first, and then what is kept for those counts.
    if (admitted && w == favour && !goes_there(p, w, all, n, &got)) {
        struct unit_model_choice *others = NULL;
        size_t n_others = 0;
        bool same = unit_model_next(&p->model, p->now, favour, false, lenient, &holds, &others,
                                    &n_others, &without) == favour;
        if (n_others) {
            free(same ? all : others);
            all = same ? others : all;
            n = same ? n_others : n;
        }
    }
    free(holds.all);
    if (!admitted) {
        if (w) free(all);
        if (p->mem.failures > failures)
            p->no_memory++;
        else
            check_nobody(p, left, w, without);
        return false;
    }
    unit_pair_log(p, "admitted %.*s to %.*s/%u at %" PRId64, (int)got.id.n, got.id.p,
                  (int)got.worker.n, got.worker.p, got.rank, p->now);
    if (!w) unit_pair_differs(p, "'%.*s' is admitted, nobody can be", (int)got.id.n, got.id.p);
    unit_pair_same_bytes(p, "admitted", got.id, model_bytes(&w->id));
    check_admission(p, w, all, n, &got);
    free(all);
    struct unit_model_name id = w->id, worker = {.n = got.worker.n};
    memcpy(worker.bytes, got.worker.p, got.worker.n);
    bool applied;
    unit_pair_same_error(p,
                         unit_model_admitted(&p->model, model_bytes(&id), model_bytes(&worker),
                                             got.rank, &got.booked, &applied),
                         KVR_OK);
    if (!p->copy) return true;
    unit_pair_same_error(p,
                         kvr_admitted(p->copy, model_bytes(&id), model_bytes(&worker), got.rank,
                                      &got.booked, &applied),
                         KVR_OK);
    unit_pair_same(p, "copied", applied, 1);
    return true;
}

size_t unit_pair_admit_all(struct unit_pair *p) {
    size_t looks = SIZE_MAX, n = 0;
    while (unit_pair_admit(p, &looks, 0.5))
        n++;
    return n;
}

void unit_pair_come(struct unit_pair *p, struct kvr_bytes id) {
    unit_pair_log(p, "come %.*s", (int)id.n, id.p);
    bool got, want;
    struct unit_model_request *r = unit_model_find_request(&p->model, id);
    unit_pair_same(p, "uncalled", kvr_uncalled(p->pool, id), r && r->uncalled);
    unit_pair_same_error(p, kvr_come(p->pool, p->now, id, &got), KVR_OK);
    unit_pair_same_error(p, unit_model_come(&p->model, p->now, id, &want), KVR_OK);
    unit_pair_same(p, "came", got, want);
    if (p->copy && want) unit_pair_same_error(p, kvr_come(p->copy, p->now, id, &got), KVR_OK);
}

struct unit_ended_waiting {
    struct unit_model_name id[8];
    size_t n;
};

static void note_ended(void *ctx, struct kvr_bytes id) {
    struct unit_ended_waiting *e = ctx;
    e->id[e->n].n = id.n;
    memcpy(e->id[e->n++].bytes, id.p, id.n);
}

void unit_pair_end_waiting(struct unit_pair *p, size_t max) {
    static struct unit_ended_waiting e;
    struct kvr_bytes ids[8];
    unit_pair_log(p, "end who waited long enough at %" PRId64, p->now);
    size_t due = 0;
    for (size_t i = 0; i < p->model.queue.n_waiting; i++)
        due += unit_model_waiting_end(&p->model, &p->model.queue.waiting[i]) <= p->now;
    unit_pair_same(p, "somebody waited long enough", kvr_due_waiting(p->pool, p->now), due > 0);
    e.n = 0;
    size_t n = kvr_end_waiting(p->pool, p->now, max, note_ended, &e);
    unit_pair_same(p, "ended", n, e.n);
    unit_pair_same(p, "ended", n, due < max ? due : max);
    for (size_t i = 0; i < n; i++) {
        const struct unit_model_waiting *w =
            unit_model_find_waiting(&p->model, model_bytes(&e.id[i]));
        if (!w || unit_model_waiting_end(&p->model, w) > p->now)
            unit_pair_differs(p, "the wrong one was ended");
        ids[i] = model_bytes(&e.id[i]);
    }
    unit_pair_same(p, "ended", unit_model_release(&p->model, p->now, ids, n, KVR_LAPSED), n);
    unit_pair_copy_release(p, ids, n, KVR_LAPSED, n);
}

// ---- Classes and flows ---------------------------------------------------------------------------

enum kvr_err unit_pair_class_set(struct unit_pair *p, struct kvr_bytes name, unsigned set,
                                 const struct kvr_class_info *c) {
    unit_pair_log(p,
                  "class set %.*s set=%x priority=%d weight=%g waiting=%" PRIu64 " room=%" PRIu64,
                  (int)name.n, name.p, set, c->priority, c->weight, c->max_waiting, c->room);
    int created = -1, want = -1;
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_class_set(p->pool, name, set, c, &created);
    if (unit_pair_out_of_memory(p, err, failures)) return err;
    unit_pair_same_error(p, err, unit_model_class_set(&p->model, name, set, c, &want));
    if (err != KVR_OK) return err;
    unit_pair_same(p, "created", (uint64_t)created, (uint64_t)want);
    if (p->copy) unit_pair_same_error(p, kvr_class_set(p->copy, name, set, c, &created), KVR_OK);
    return err;
}

enum kvr_err unit_pair_class_del(struct unit_pair *p, struct kvr_bytes name) {
    unit_pair_log(p, "class del %.*s", (int)name.n, name.p);
    int deleted = -1, want = -1;
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_class_del(p->pool, name, &deleted);
    if (unit_pair_out_of_memory(p, err, failures)) return err;
    unit_pair_same_error(p, err, unit_model_class_del(&p->model, name, &want));
    if (err != KVR_OK) return err;
    unit_pair_same(p, "deleted", (uint64_t)deleted, (uint64_t)want);
    if (p->copy && want) unit_pair_same_error(p, kvr_class_del(p->copy, name, &deleted), KVR_OK);
    return err;
}

enum kvr_err unit_pair_flow_set(struct unit_pair *p, struct kvr_bytes name, unsigned set,
                                const struct kvr_flow_info *f) {
    unit_pair_log(
        p, "flow set %.*s set=%x weight=%g requests=%" PRIu64 " rate=%" PRId64 " burst=%" PRId64,
        (int)name.n, name.p, set, f->weight, f->max_requests, f->rate, f->burst);
    int created = -1, want = -1;
    int64_t left = 0, want_left = 0;
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_flow_set(p->pool, p->now, name, set, f, false, &left, &created);
    if (unit_pair_out_of_memory(p, err, failures)) return err;
    unit_pair_same_error(
        p, err, unit_model_flow_set(&p->model, p->now, name, set, f, false, &want_left, &want));
    if (err != KVR_OK) return err;
    unit_pair_same(p, "created", (uint64_t)created, (uint64_t)want);
    unit_pair_same(p, "left", (uint64_t)left, (uint64_t)want_left);
    if (p->copy)
        unit_pair_same_error(p, kvr_flow_set(p->copy, p->now, name, set, f, true, &left, &created),
                             KVR_OK);
    return err;
}

enum kvr_err unit_pair_flow_del(struct unit_pair *p, struct kvr_bytes name) {
    unit_pair_log(p, "flow del %.*s", (int)name.n, name.p);
    int deleted = -1, want = -1;
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_flow_del(p->pool, name, &deleted);
    if (unit_pair_out_of_memory(p, err, failures)) return err;
    unit_pair_same_error(p, err, unit_model_flow_del(&p->model, name, &want));
    if (err != KVR_OK) return err;
    unit_pair_same(p, "deleted", (uint64_t)deleted, (uint64_t)want);
    if (p->copy && want) unit_pair_same_error(p, kvr_flow_del(p->copy, name, &deleted), KVR_OK);
    return err;
}

// ---- Comparing -----------------------------------------------------------------------------------

static int by_name(const void *a, const void *b) {
    const struct unit_model_class *const *x = a, *const *y = b;
    return unit_bytes_compare(model_bytes(&(*x)->name), model_bytes(&(*y)->name));
}

static void check_class(struct unit_pair *p, struct kvr_class_info got,
                        const struct unit_model_class *c) {
    uint64_t waiting = 0, tokens = 0;
    int64_t oldest = 0;
    for (size_t k = p->model.queue.n_waiting; k-- > 0;) {
        const struct unit_model_waiting *w = &p->model.queue.waiting[k];
        if (unit_model_find_class(&p->model, w->q.service_class) != c) continue;
        waiting++;
        tokens += (uint64_t)(w->q.isl + w->q.osl);
        oldest = p->now > w->since ? p->now - w->since : 0;
    }
    unit_pair_same_bytes(p, "class", got.name, model_bytes(&c->name));
    unit_pair_same(p, "priority", (uint64_t)(int64_t)got.priority, (uint64_t)(int64_t)c->priority);
    if (got.weight != c->weight)
        unit_pair_differs(p, "weight %g instead of %g", got.weight, c->weight);
    unit_pair_same(p, "max_waiting", got.max_waiting, c->max_waiting);
    unit_pair_same(p, "room", got.room, c->room);
    unit_pair_same(p, "waiting of a class", got.waiting, waiting);
    unit_pair_same(p, "tokens of a class", got.tokens, tokens);
    unit_pair_same(p, "oldest of a class", (uint64_t)got.oldest, (uint64_t)oldest);
    unit_pair_same(p, "admitted of a class", got.admitted, c->admitted);
    unit_pair_same(p, "refused of a class", got.refused, c->refused);
}

static void check_classes(struct unit_pair *p) {
    size_t n = p->model.queue.n_classes;
    const struct unit_model_class **order = unit_must_alloc(n * sizeof *order);
    for (size_t i = 0; i < n; i++)
        order[i] = &p->model.queue.classes[i];
    qsort(order, n, sizeof *order, by_name);
    unit_pair_same(p, "classes", kvr_class_count(p->pool), n);
    struct kvr_class_info *all = unit_must_alloc(n * sizeof *all);
    kvr_classes(p->pool, p->now, all);
    for (size_t i = 0; i < n; i++)
        check_class(p, all[i], order[i]);
    free(all);
    free(order);
}

struct unit_flow_scan {
    struct unit_pair *pair;
    size_t seen;
};

static void scanned_flow(void *ctx, struct kvr_bytes name) {
    struct unit_flow_scan *s = ctx;
    struct unit_pair *p = s->pair;
    struct kvr_stats stats;
    kvr_pool_stats(p->pool, p->now, &stats);
    bool registered = unit_model_find_flow(&p->model, name) != NULL;
    if (!registered && !unit_model_flow_live(&p->model, name) &&
        !unit_model_flow_waiting(&p->model, name) && !stats.unswept)
        unit_pair_differs(p, "scan gave flow '%.*s'", (int)name.n, name.p);
    s->seen += registered;
}

static void check_flow_use(struct unit_pair *p, struct kvr_bytes name) {
    struct kvr_flow_info got;
    uint64_t live = unit_model_flow_live(&p->model, name);
    uint64_t waiting = unit_model_flow_waiting(&p->model, name);
    bool known = unit_model_find_flow(&p->model, name) || live || waiting;
    if (!kvr_flow_get(p->pool, p->now, name, &got)) {
        if (known) unit_pair_differs(p, "flow '%.*s' is unknown", (int)name.n, name.p);
        return;
    }
    unit_pair_same_bytes(p, "flow", got.name, name);
    unit_pair_same(p, "live of a flow", got.requests, live);
    unit_pair_same(p, "waiting of a flow", got.waiting, waiting);
}

static void check_flows(struct unit_pair *p) {
    for (size_t i = 0; i < p->model.queue.n_flows; i++) {
        const struct unit_model_flow *f = &p->model.queue.flows[i];
        struct kvr_flow_info got;
        if (!kvr_flow_get(p->pool, p->now, model_bytes(&f->name), &got))
            unit_pair_differs(p, "a flow is gone");
        if (got.weight != f->weight)
            unit_pair_differs(p, "weight %g instead of %g", got.weight, f->weight);
        unit_pair_same(p, "max_requests", got.max_requests, f->max_requests);
        unit_pair_same(p, "rate", (uint64_t)got.rate, (uint64_t)f->rate);
        int64_t left = -1;
        if (f->rate) { // whole tokens, of a debt the larger number
            left = unit_model_flow_left(&p->model, f, p->now);
            left = left >= 0 ? left / 1000 : -((-left + 999) / 1000);
        }
        unit_pair_same(p, "left", (uint64_t)got.left, (uint64_t)left);
        check_flow_use(p, model_bytes(&f->name));
    }
    for (size_t i = 0; i < p->model.queue.n_waiting; i++)
        if (p->model.queue.waiting[i].q.flow.n) check_flow_use(p, p->model.queue.waiting[i].q.flow);
    struct unit_flow_scan s = {p, 0};
    uint64_t cursor = 0;
    size_t steps = 0;
    do {
        cursor = kvr_flow_scan(p->pool, cursor, 1 + steps % 7, scanned_flow, &s);
        if (++steps > 1000000) unit_pair_differs(p, "the scan doesn't end");
    } while (cursor);
    unit_pair_same(p, "scanned flows", s.seen, p->model.queue.n_flows);
}

struct unit_listed {
    struct unit_pair *pair;
    struct unit_model_waiting **order;
    size_t seen;
};

static void listed(void *ctx, const struct kvr_waiting_info *got) {
    struct unit_listed *l = ctx;
    struct unit_pair *p = l->pair;
    const struct unit_model_waiting *w = unit_model_find_waiting(&p->model, got->id);
    if (!w) unit_pair_differs(p, "'%.*s' doesn't wait", (int)got->id.n, got->id.p);
    unit_pair_same_bytes(p, "in order", got->id, model_bytes(&l->order[l->seen]->id));
    const struct unit_model_class *c = unit_model_find_class(&p->model, w->q.service_class);
    unit_pair_same_bytes(p, "class of a waiting", got->service_class, model_bytes(&c->name));
    unit_pair_same_bytes(p, "flow of a waiting", got->flow, w->q.flow);
    unit_pair_same(p, "position", got->position, l->seen);
    unit_pair_same(p, "blocks", got->blocks, w->q.n);
    unit_pair_same(p, "waited", (uint64_t)got->waited,
                   (uint64_t)(p->now > w->since ? p->now - w->since : 0));
    l->seen++;
}

static void check_copy(struct unit_pair *p) {
    uint8_t mine[KVR_DIGEST_BYTES], copy[KVR_DIGEST_BYTES];
    const char *broken = kvr_pool_validate(p->copy);
    if (broken) unit_pair_differs(p, "the copy is invalid: %s", broken);
    unit_pair_same(p, "version of the copy", kvr_pool_version(p->copy), p->model.stats.version);
    kvr_pool_digest(p->pool, mine);
    kvr_pool_digest(p->copy, copy);
    if (memcmp(mine, copy, sizeof mine) != 0) unit_pair_differs(p, "the copy has another digest");
    kvr_pool_digest_learnt(p->pool, mine);
    kvr_pool_digest_learnt(p->copy, copy);
    if (memcmp(mine, copy, sizeof mine) != 0)
        unit_pair_differs(p, "the copy learnt something else");
}

void unit_pair_check_queue(struct unit_pair *p) {
    size_t n = p->model.queue.n_waiting;
    for (size_t i = 0; i < n; i++)
        if (!kvr_waits(p->pool, model_bytes(&p->model.queue.waiting[i].id)))
            unit_pair_differs(p, "somebody doesn't wait any more");
    if (kvr_waits(p->pool, text("no such request"))) unit_pair_differs(p, "nobody waits");
    for (size_t i = 0; i < p->model.n_requests; i++) {
        const struct unit_model_request *r = &p->model.requests[i];
        struct kvr_bytes id = {r->id, r->id_len};
        unit_pair_same(p, "uncalled", kvr_uncalled(p->pool, id), r->uncalled);
        if (kvr_waits(p->pool, id)) unit_pair_differs(p, "a live request waits");
    }
    int64_t estimate;
    struct unit_listed l = {.pair = p};
    l.order = unit_model_foreseen(&p->model);
    uint64_t failures = p->mem.failures;
    enum kvr_err err = kvr_queue(p->pool, p->now, n + 3, listed, &l, &estimate);
    free(l.order);
    if (!unit_pair_out_of_memory(p, err, failures)) {
        unit_pair_same_error(p, err, KVR_OK);
        unit_pair_same(p, "listed", l.seen, n);
        if (estimate < -1) unit_pair_differs(p, "an estimate of %" PRId64, estimate);
    }
    check_classes(p);
    check_flows(p);
    if (p->copy) check_copy(p);
}
