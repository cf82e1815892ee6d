// SPDX-License-Identifier: Apache-2.0
// Reading a pool back; the form is in snapshot_format.h. Nothing that is read is trusted: a chunk's check comes
// first, and then every count, reference and order is checked all the same, because the checksum
// is no secret: anybody can make a valid one.
#include <kvroute/hash.h>

#include "module/core/rule/policy.h"
#include "module/core/state/instance.h"
#include "module/core/state/ledger.h"
#include "module/core/state/leg.h"
#include "module/core/state/prediction.h"
#include "module/core/state/prefill_queue.h"
#include "module/core/state/room.h"
#include "module/core/state/session.h"
#include "module/core/state/waiting.h"
#include "module/core/state/worker.h"
#include "module/core/state/worker_circuit.h"
#include "module/core/tree/tree_run.h"
#include "snapshot_read.h"

// ---- Records -------------------------------------------------------------------------------------

// What only grows, one at a time. A larger one is forged, and would begin again at 0: then what came later would count
// as sooner.
static bool is_total(uint64_t n) {
    return n <= INT64_MAX;
}

static enum kvr_err load_pool(struct kvr_loader *l, struct snapshot_reader *r) {
    l->format = get_u32(r);
    if (l->format < 1 || l->format > CORE_FORMAT_VERSION) return KVR_CORRUPT;
    uint64_t version = get(r, 8), bookings = get(r, 8);
    struct kvr_options o;
    kvr_options_default(&o);
    o.block_size = get_u32(r);
    struct kvr_bytes policy = get_bytes(r, KVR_MAX_NAME);
    o.rule.policy = kvr_policy_find(policy.p, policy.n);
    o.rule.overlap = get_f64(r);
    o.rule.prefill = get_f64(r);
    o.rule.requests = get_f64(r);
    o.rule.temperature = get_f64(r);
    o.host = get_f64(r);
    o.disk = get_f64(r);
    o.lease = get_i64(r);
    o.worker_ttl = get_i64(r);
    o.worker_grace = get_i64(r);
    o.predict = get_i64(r);
    if (l->format >= 2) {
        o.failures = get(r, 8);
        o.open_time = get_i64(r);
    }
    if (l->format >= 3) {
        o.session_ttl = get_i64(r);
        o.slo_ttft = get_i64(r);
        o.slo_tbt = get_i64(r);
        o.stick = get_f64(r);
    }
    uint64_t arrivals = 0;
    if (l->format >= 4) {
        o.max_requests = get(r, 8);
        o.max_prefill = get(r, 8);
        o.max_blocks = get(r, 8);
        o.max_waiting = get(r, 8);
        o.accept = get_i64(r);
        o.transfer = get_f64(r);
        o.local_prefill = get(r, 8);
        arrivals = get(r, 8);
    }
    struct kvr_stats s = {0};
    uint64_t *counters[] = {
        &s.selects,  &s.repeats,          &s.select_blocks,   &s.overlap_blocks,
        &s.events,   &s.stored_blocks,    &s.removed_blocks,  &s.gaps,
        &s.stale,    &s.expired_requests, &s.expired_workers, &s.expected_blocks,
        &s.admitted, &s.refused,          &s.limited};
    size_t n_counters =
        sizeof counters / sizeof *counters - (l->format < 3) - (l->format < 4 ? 3 : 0);
    for (size_t i = 0; i < n_counters; i++)
        *counters[i] = get(r, 8);
    if (r->bad || kvr_options_check(&o) || !is_total(version) || !is_total(bookings) ||
        !is_total(arrivals))
        return KVR_CORRUPT;
    l->pool = kvr_pool_new(&l->mem.alloc, &o, l->seed);
    if (!l->pool) return KVR_NOMEM;
    l->pool->version = version;
    l->pool->bookings = bookings;
    l->pool->queue.arrivals = arrivals;
    l->pool->stats = s;
    return KVR_OK;
}

static enum kvr_err load_learnt(struct kvr_loader *l, struct snapshot_reader *r) {
    double numbers[CORE_LEARNT_NUMBERS];
    for (size_t i = 0; i < CORE_LEARNT_NUMBERS; i++)
        numbers[i] = get_f64(r);
    if (!core_learnt_from(&l->pool->learnt, numbers)) return KVR_CORRUPT;
    if (l->format < 4) return KVR_OK;
    l->pool->room.num = get_f64(r);
    l->pool->room.den = get_f64(r);
    return core_room_good(l->pool->room) ? KVR_OK : KVR_CORRUPT;
}

// Speed, labels and limit of a worker.
static bool get_traits(struct snapshot_reader *r, uint32_t format, struct kvr_worker_settings *s,
                       struct kvr_bytes labels[KVR_MAX_LABELS], int64_t *drain_until) {
    s->speed = get_f64(r);
    s->n_labels = get_u32(r);
    if (s->n_labels > KVR_MAX_LABELS) return false;
    for (size_t i = 0; i < s->n_labels; i++)
        labels[i] = get_bytes(r, KVR_MAX_LABEL);
    s->labels = labels;
    s->max_requests = format >= 4 ? get(r, 8) : 0;
    s->role = format >= 4 ? (enum kvr_role)get(r, 1) : KVR_ROLE_BOTH;
    *drain_until = format >= 4 ? get_i64(r) : 0;
    s->set |= KVR_SET_SPEED | KVR_SET_LABELS | KVR_SET_MAX_REQUESTS | KVR_SET_ROLE;
    return true;
}

static enum kvr_err load_instance(struct kvr_loader *l, struct snapshot_reader *r,
                                  uint32_t instance) {
    struct kvr_pool *p = l->pool;
    struct core_instance *in = &p->instances[instance];
    double learnt[CORE_LEARNT_INSTANCE_NUMBERS] = {0};
    in->epoch = get(r, 8);
    in->seq = get(r, 8);
    in->booked = get(r, 8);
    for (size_t i = 0; l->format >= 3 && i < CORE_LEARNT_INSTANCE_NUMBERS; i++)
        learnt[i] = get_f64(r);
    if (l->format >= 4) in->busy_since = get_i64(r);
    if (in->busy_since < 0 || in->busy_since > KVR_MAX_MS) return KVR_CORRUPT;
    if (in->epoch > INT64_MAX || in->seq > INT64_MAX || in->booked > p->bookings ||
        !in->epoch != !in->seq || !core_learnt_instance_from(&in->learnt, learnt))
        return KVR_CORRUPT;
    core_instance_refresh(p, instance);
    l->instances[l->n_instances++] = instance;
    return KVR_OK;
}

static enum kvr_err load_worker(struct kvr_loader *l, struct snapshot_reader *r) {
    struct kvr_pool *p = l->pool;
    struct kvr_bytes name = get_bytes(r, KVR_MAX_NAME), addr = get_bytes(r, KVR_MAX_ADDR);
    struct kvr_worker_settings s = {
        .set = KVR_SET_ADDR | KVR_SET_RANKS | KVR_SET_CAPACITY | KVR_SET_STATE, .addr = addr};
    s.capacity = get(r, 8);
    s.state = (enum kvr_state)get(r, 1);
    int64_t ttl = get_i64(r), seen = get_i64(r), open_until = 0;
    uint64_t failures = 0;
    if (l->format >= 2) {
        failures = get(r, 8);
        open_until = get_i64(r);
    }
    struct kvr_bytes labels[KVR_MAX_LABELS];
    int64_t drain_until = 0;
    if (l->format >= 3 && !get_traits(r, l->format, &s, labels, &drain_until)) return KVR_CORRUPT;
    s.ranks = get_u32(r);
    if (drain_until < 0 || drain_until > 2 * KVR_MAX_MS || (drain_until && s.state != KVR_DRAINING))
        return KVR_CORRUPT;
    if (r->bad || ttl < -1 || ttl > KVR_MAX_MS || seen < 0 || seen > KVR_MAX_MS ||
        failures > KVR_MAX_FAILURES || open_until < 0 || open_until > 2 * KVR_MAX_MS ||
        (open_until && !failures) || (size_t)(r->end - r->at) / 24 < s.ranks)
        return KVR_CORRUPT;
    size_t place = 0;
    if (core_worker_find(p, name, &place) >= 0 || place != p->n_workers) return KVR_CORRUPT;
    uint64_t version = p->version;
    int created;
    enum kvr_err err = kvr_worker_set(p, seen, name, &s, &created);
    if (err) return err == KVR_NOMEM ? KVR_NOMEM : KVR_CORRUPT;
    p->version = version;
    struct core_worker *w = p->workers[p->n_workers - 1];
    w->ttl = ttl;
    w->drain_until = drain_until;
    core_circuit_set(p, w, failures, open_until);
    core_worker_refresh(p, w);
    if (core_mem_grow(&l->mem, &l->instances, &l->cap_instances, l->n_instances + w->ranks,
                      sizeof *l->instances))
        return KVR_NOMEM;
    for (uint32_t i = 0; i < w->ranks && !err; i++)
        err = load_instance(l, r, w->instances[i]);
    return err;
}

static enum kvr_err load_holder(struct kvr_loader *l, struct snapshot_reader *r, uint32_t run) {
    struct core_tree *t = &l->pool->tree;
    uint32_t number = get_u32(r);
    unsigned tier = (unsigned)get(r, 1), depth = (unsigned)get(r, 2);
    if (number >= l->n_instances || tier >= KVR_TIERS || depth < 1 ||
        depth > core_tree_run(t, run)->len)
        return KVR_CORRUPT;
    struct core_instance *in = &l->pool->instances[l->instances[number]];
    uint32_t *slot = &in->slot[tier];
    if (!*slot && !(*slot = core_instance_new_slot(l->pool, in, (int)tier))) return KVR_NOMEM;
    if (core_run_depth(t, run, *slot)) return KVR_CORRUPT;
    return core_tree_build_holder(t, run, *slot, depth) ? KVR_NOMEM : KVR_OK;
}

static enum kvr_err load_run(struct kvr_loader *l, struct snapshot_reader *r) {
    uint32_t parent = get_u32(r), blocks = (uint32_t)get(r, 2);
    if (r->bad || parent > l->runs || blocks < 1 || blocks > CORE_MAX_RUN) return KVR_CORRUPT;
    const uint8_t *hashes = take(r, blocks * sizeof(uint64_t));
    if (!hashes) return KVR_CORRUPT;
    uint32_t run = core_tree_build_run(&l->pool->tree, parent, hashes, blocks);
    if (!run) return KVR_NOMEM;
    if (run != ++l->runs) return KVR_CORRUPT;
    uint32_t holders = get_u32(r);
    if (r->bad || (size_t)(r->end - r->at) / CORE_HOLDER_BYTES < holders) return KVR_CORRUPT;
    enum kvr_err err = KVR_OK;
    for (uint32_t i = 0; i < holders && !err; i++)
        err = load_holder(l, r, run);
    return err;
}

// What is a request's beside its booking.
struct saved_lesson {
    int64_t ahead, prefilled_at;
    uint64_t number;
    double ttft, tpot;
    struct core_forecast_case kind;
};

static void get_taught(struct snapshot_reader *r, struct kvr_booking *b, struct saved_lesson *t) {
    b->session = get_bytes(r, KVR_MAX_ID);
    b->expected = get_u32(r);
    t->ahead = get_i64(r);
    t->number = get(r, 8);
    t->prefilled_at = get_i64(r);
    t->ttft = get_f64(r);
    t->tpot = get_f64(r);
    t->kind.requests = get_f64(r);
    t->kind.wait = get_f64(r);
    t->kind.waiting = get_f64(r);
}

// Milliseconds, or -1.
static bool is_prediction(double ms) {
    return ms == -1 || (ms >= 0 && ms <= 1e300);
}

static bool is_count(double n) {
    return n >= 0 && n <= 0x1p53;
}

// Where the prompt of a pair is computed, or was; see core_leg.
struct saved_leg {
    struct kvr_bytes worker;
    uint32_t rank, overlap;
    int64_t tokens;
};

static bool get_leg(struct snapshot_reader *r, struct kvr_booking *b, struct saved_leg *g) {
    g->worker = get_bytes(r, KVR_MAX_NAME);
    if (!g->worker.n) return true;
    bool at_work = get(r, 1);
    g->rank = get_u32(r);
    g->overlap = get_u32(r);
    g->tokens = get_i64(r);
    if (r->bad || g->tokens < 0 || g->tokens > b->isl || (at_work && b->prefilled)) return false;
    if (!at_work) return true;
    b->prefill_worker = g->worker;
    b->prefill_rank = g->rank;
    b->prefill_overlap = g->overlap;
    b->prefill_cached = b->isl - g->tokens;
    return true;
}

static enum kvr_err load_request(struct kvr_loader *l, struct snapshot_reader *r) {
    struct kvr_pool *p = l->pool;
    struct kvr_bytes id = get_bytes(r, KVR_MAX_ID);
    uint32_t number = get_u32(r);
    struct kvr_booking b = {.prefilled = get(r, 1)};
    b.isl = get_i64(r);
    b.osl = get_i64(r);
    b.cached = get_i64(r);
    b.output = get_i64(r);
    b.lease = get_i64(r);
    b.created = get_i64(r);
    b.renewed = get_i64(r);
    b.overlap = get_u32(r);
    b.cost = get_f64(r);
    int64_t lease = b.lease;
    struct saved_leg leg = {.worker = {"", 0}};
    struct saved_lesson t = {.ttft = -1, .tpot = -1, .kind = {.wait = -1}};
    if (l->format >= 3) get_taught(r, &b, &t);
    if (l->format >= 4) {
        b.service_class = get_bytes(r, KVR_MAX_ID);
        b.flow = get_bytes(r, KVR_MAX_ID);
        b.uncalled = get(r, 1);
        b.lease = get_i64(r);
        b.waited = get_i64(r);
        if (!get_leg(r, &b, &leg)) return KVR_CORRUPT;
        if ((!b.uncalled && b.lease != lease) || (b.uncalled && lease < 1) || lease > KVR_MAX_MS)
            return KVR_CORRUPT;
    }
    b.n = get_u32(r);
    if (r->bad || !id.n || number >= l->n_instances || b.isl < 0 || b.lease < 0 ||
        core_request_find(p, id) || t.number > p->bookings || t.number < l->number || t.ahead < 0 ||
        t.prefilled_at < 0 || (t.prefilled_at && !b.prefilled) || !is_prediction(t.ttft) ||
        !is_prediction(t.tpot) || !is_prediction(t.kind.wait) || !is_count(t.kind.requests) ||
        !is_count(t.kind.waiting))
        return KVR_CORRUPT;
    enum kvr_err err = get_hashes(l, r, b.n);
    if (err) return err;
    b.hashes = l->hashes;
    if (core_booking_check(p, &b)) return KVR_CORRUPT;
    // Booking counts; what was counted before the save stands.
    struct core_instance *in = &p->instances[l->instances[number]];
    uint64_t bookings = p->bookings, booked = in->booked, leg_booked = 0;
    uint32_t prefill = core_instance_find(p, leg.worker, leg.rank);
    if (prefill == l->instances[number]) return KVR_CORRUPT;
    if (prefill != CORE_NO_INSTANCE) leg_booked = p->instances[prefill].booked;
    struct core_request *q;
    err = core_request_load(p, id, l->instances[number], &b, &q);
    p->bookings = bookings;
    in->booked = booked;
    core_instance_refresh(p, l->instances[number]);
    if (prefill != CORE_NO_INSTANCE) {
        p->instances[prefill].booked = leg_booked;
        core_instance_refresh(p, prefill);
    }
    if (err) return err == KVR_NOMEM ? KVR_NOMEM : KVR_CORRUPT;
    q->lease = lease;
    if (leg.worker.n && !q->leg) {
        if (!q->prefilled) core_prefill_dequeue(in, q); // nobody computes its prompt any more
        if (core_leg_remember(p, q, leg.worker, leg.rank, leg.overlap, leg.tokens))
            return KVR_NOMEM;
        core_instance_refresh(p, l->instances[number]);
    }
    q->number = l->number = t.number;
    core_deadlines_remove(&p->leases, &q->due);
    q->due.number = t.number;
    if (q->lease) core_deadlines_add(&p->leases, &q->due, q->renewed + q->lease);
    q->ahead = t.ahead;
    q->prefilled_at = t.prefilled_at;
    q->ttft = t.ttft;
    q->tpot = t.tpot;
    q->kind = t.kind;
    q->kind.own = q->prefilled ? 0 : (double)core_prefill_tokens(q);
    return KVR_OK;
}

static enum kvr_err load_session(struct kvr_loader *l, struct snapshot_reader *r) {
    struct kvr_bytes name = get_bytes(r, KVR_MAX_ID);
    uint32_t number = get_u32(r);
    int64_t booked = get_i64(r);
    uint64_t of = get(r, 8);
    if (r->bad || of > l->pool->bookings || !name.n || number >= l->n_instances || booked < 0 ||
        booked > KVR_MAX_MS || core_session_find(l->pool, name))
        return KVR_CORRUPT;
    struct core_session *s = core_session_take(l->pool, name);
    if (!s) return KVR_NOMEM;
    core_session_book(l->pool, s, l->instances[number], booked, of);
    return KVR_OK;
}

static uint32_t leg_instance(const struct kvr_pool *p, const struct core_request *r) {
    return core_instance_find(p, (struct kvr_bytes){r->leg->name, r->leg->name_len}, r->leg->rank);
}

static enum kvr_err load_prediction(struct kvr_loader *l, struct snapshot_reader *r) {
    struct kvr_bytes id = {"", 0};
    if (l->format >= 3) id = get_bytes(r, KVR_MAX_ID);
    bool leg = l->format >= 4 && get(r, 1);
    uint32_t number = get_u32(r);
    int64_t until = get_i64(r);
    uint64_t booking = l->format >= 3 ? get(r, 8) : 0;
    size_t n = get_u32(r);
    if (r->bad || number >= l->n_instances || until < 0 || until > 2 * KVR_MAX_MS || !n ||
        booking > l->pool->bookings)
        return KVR_CORRUPT;
    struct core_request *of = id.n ? core_request_find(l->pool, id) : NULL;
    if (id.n && !of) return KVR_CORRUPT;
    enum kvr_err err = get_hashes(l, r, n);
    if (err) return err;
    // A pair's request has two: where it is booked, and where its prompt is computed, or was.
    uint32_t instance = l->instances[number];
    if (of && leg && (!of->leg || of->leg->prediction || leg_instance(l->pool, of) != instance))
        return KVR_CORRUPT;
    if (of && !leg && (of->prediction || of->instance != instance)) return KVR_CORRUPT;
    err = core_prediction_add(l->pool, instance, l->hashes, n, until, booking, of, leg);
    if (!err) core_predictions_cap(l->pool, instance);
    return err;
}

// What the records can't show one by one: a run that nobody needs.
static enum kvr_err finish(struct kvr_loader *l, struct snapshot_reader *r) {
    if (get(r, 8) != l->records || r->bad || r->at != r->end) return KVR_CORRUPT;
    const struct core_tree *t = &l->pool->tree;
    for (uint32_t id = 1; id < t->n_runs; id++) {
        const struct core_run *run = core_tree_run(t, id);
        if (!run->child && run->held != run->len) return KVR_CORRUPT;
    }
    // How full an instance is follows from records that came after its own.
    for (uint32_t i = 0; i < l->pool->n_instances; i++)
        core_instance_refresh(l->pool, i);
    if (l->queued && core_waiting_validate(l->pool)) return KVR_CORRUPT;
    l->done = true;
    return KVR_OK;
}

// ---- The loader ----------------------------------------------------------------------------------

// Records come in the order of this list; those of one kind together.
static const struct record_reader {
    enum core_record kind;
    enum kvr_err (*load)(struct kvr_loader *l, struct snapshot_reader *r);
} readers[] = {
    {CORE_RECORD_POOL, load_pool},
    {CORE_RECORD_LEARNT, load_learnt},
    {CORE_RECORD_CLASS, core_snapshot_load_class},
    {CORE_RECORD_FLOW, core_snapshot_load_flow},
    {CORE_RECORD_WORKER, load_worker},
    {CORE_RECORD_RUN, load_run},
    {CORE_RECORD_SESSION, load_session},
    {CORE_RECORD_REQUEST, load_request},
    {CORE_RECORD_PREDICTION, load_prediction},
    {CORE_RECORD_WAITING, core_snapshot_load_waiting},
    {CORE_RECORD_LINE, core_snapshot_load_line},
    {CORE_RECORD_TAGS, core_snapshot_load_tags},
    {CORE_RECORD_END, finish},
};

static int order_of(unsigned kind) {
    for (int i = 0; i < (int)(sizeof readers / sizeof *readers); i++)
        if (readers[i].kind == kind) return i;
    return -1;
}

static bool is_of_queue(unsigned kind) {
    return kind == CORE_RECORD_CLASS || kind == CORE_RECORD_FLOW || kind == CORE_RECORD_WAITING ||
           kind == CORE_RECORD_LINE || kind == CORE_RECORD_TAGS;
}

static enum kvr_err load_record(struct kvr_loader *l, struct snapshot_reader *r) {
    unsigned kind = (unsigned)get(r, 1);
    int order = order_of(kind), before = l->records ? order_of(l->kind) : -1;
    bool first = l->records == 0;
    if (order < 0 || order < before || (order == before && kind == CORE_RECORD_LEARNT) ||
        first != (kind == CORE_RECORD_POOL) || l->done ||
        (l->format < 3 && (kind == CORE_RECORD_LEARNT || kind == CORE_RECORD_SESSION)) ||
        (l->format < 4 && is_of_queue(kind)) ||
        (l->format >= 3 && before == order_of(CORE_RECORD_POOL) && kind != CORE_RECORD_LEARNT))
        return KVR_CORRUPT;
    enum kvr_err err = KVR_OK;
    if (l->kind == CORE_RECORD_RUN && kind != CORE_RECORD_RUN)
        err = core_tree_build_index(&l->pool->tree);
    l->kind = (enum core_record)kind;
    l->queued |= is_of_queue(kind);
    if (!err) err = readers[order].load(l, r);
    l->records++;
    return err ? err : r->bad ? KVR_CORRUPT : KVR_OK;
}

struct kvr_loader *kvr_loader_new(const struct kvr_alloc *a, uint64_t seed) {
    struct core_mem mem = {.alloc = *a};
    struct kvr_loader *l = core_mem_calloc(&mem, sizeof *l);
    if (!l) return NULL;
    l->mem = mem;
    l->seed = seed;
    return l;
}

enum kvr_err kvr_loader_feed(struct kvr_loader *l, const void *bytes, size_t n) {
    if (n < CORE_CHECK_BYTES || l->done) return KVR_CORRUPT;
    struct snapshot_reader r = {bytes, (const uint8_t *)bytes + n - CORE_CHECK_BYTES, false};
    uint64_t check;
    memcpy(&check, r.end, sizeof check);
    l->check = XXH3_64bits_withSeed(bytes, n - CORE_CHECK_BYTES, l->check);
    if (check != l->check) return KVR_CORRUPT;
    enum kvr_err err = KVR_OK;
    while (!err && r.at < r.end)
        err = load_record(l, &r);
    return err;
}

bool kvr_loader_done(const struct kvr_loader *l) {
    return l->done;
}

void kvr_loader_free(struct kvr_loader *l) {
    if (!l) return;
    kvr_pool_free(l->pool);
    core_mem_free(&l->mem, l->instances, l->cap_instances * sizeof *l->instances);
    core_mem_free(&l->mem, l->hashes, l->cap_hashes * sizeof *l->hashes);
    core_mem_free(&l->mem, l->names, l->cap_names * sizeof *l->names);
    struct core_mem mem = l->mem;
    core_mem_free(&mem, l, sizeof *l);
}

struct kvr_pool *kvr_loader_finish(struct kvr_loader *l) {
    struct kvr_pool *p = l->done ? l->pool : NULL;
    if (p) l->pool = NULL;
    kvr_loader_free(l);
    return p;
}
