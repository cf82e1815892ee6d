// SPDX-License-Identifier: Apache-2.0
#include "ledger.h"

#include <kvroute/hash.h>
#include <string.h>

#include "instance.h"
#include "prediction.h"
#include "session.h"
#include "worker.h"
#include "worker_circuit.h"

// ---- Requests ------------------------------------------------------------------------------------

static uint64_t hash_of(const struct kvr_pool *p, struct kvr_bytes id) {
    return XXH3_64bits_withSeed(id.p, id.n, p->seed);
}

struct core_request *core_request_find(const struct kvr_pool *p, struct kvr_bytes id) {
    struct core_hash_map_item *i = core_hash_map_first(&p->requests, hash_of(p, id));
    for (; i; i = core_hash_map_next(i)) {
        struct core_request *r = (struct core_request *)i;
        if (r->id_len == id.n && !memcmp(r->id, id.p, id.n)) return r;
    }
    return NULL;
}

static uint64_t output_blocks(const struct kvr_pool *p, int64_t output) {
    return ((uint64_t)output + p->options.block_size - 1) / p->options.block_size;
}

// Requests come in the order of booking, also saved ones, and leave the queue once.
static void enqueue(struct core_instance *in, struct core_request *r) {
    in->prefill_tokens += (uint64_t)(r->isl - r->cached);
    r->sooner = in->queue_last;
    *(r->sooner ? &r->sooner->later : &in->queue_first) = r;
    in->queue_last = r;
    in->queued++;
}

static void dequeue(struct core_instance *in, struct core_request *r) {
    in->prefill_tokens -= (uint64_t)(r->isl - r->cached);
    *(r->sooner ? &r->sooner->later : &in->queue_first) = r->later;
    *(r->later ? &r->later->sooner : &in->queue_last) = r->sooner;
    r->sooner = r->later = NULL;
    in->queued--;
}

// Both leave it to the caller to refresh the instance when all has changed.
static void add_load(struct kvr_pool *p, struct core_request *r) {
    struct core_instance *in = &p->instances[r->instance];
    in->requests++;
    if (!r->prefilled) enqueue(in, r);
    in->output_blocks += output_blocks(p, r->output);
}

static void take_load(struct kvr_pool *p, struct core_request *r) {
    struct core_instance *in = &p->instances[r->instance];
    in->requests--;
    if (!r->prefilled) dequeue(in, r);
    in->output_blocks -= output_blocks(p, r->output);
}

// Puts the request where its lease says, or out of the deadlines. Room was reserved.
static void set_due(struct kvr_pool *p, struct core_request *r) {
    int64_t at = r->renewed + r->lease;
    if (!r->lease)
        core_deadlines_remove(&p->leases, &r->due);
    else if (r->due.place)
        core_deadlines_move(&p->leases, &r->due, at);
    else
        core_deadlines_add(&p->leases, &r->due, at);
}

static size_t bytes_of(const struct core_request *r) {
    return sizeof *r + r->id_len;
}

enum kvr_err core_booking_check(const struct kvr_pool *p, const struct kvr_booking *b) {
    if (b->n > KVR_MAX_BLOCKS) return KVR_LIMIT;
    int64_t isl = b->isl < 0 ? (int64_t)b->n * p->options.block_size : b->isl;
    if (isl > KVR_MAX_TOKENS || b->osl < 0 || b->osl > KVR_MAX_TOKENS || b->cached < 0 ||
        b->cached > isl || b->output < 0 || b->output > KVR_MAX_TOKENS || b->lease > KVR_MAX_MS ||
        b->created < 0 || b->created > KVR_MAX_MS || b->renewed < 0 || b->renewed > KVR_MAX_MS ||
        b->predict_until < 0 || b->predict_until > 2 * KVR_MAX_MS || b->session.n > KVR_MAX_ID)
        return KVR_RANGE;
    return KVR_OK;
}

// Adds a request, and counts it in its session (NULL: none). The caller refreshes the instance and learns from
// the booking.
static enum kvr_err add(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                        const struct kvr_booking *b, struct core_session *session,
                        struct core_request **out) {
    if (core_hash_map_reserve(&p->requests) || core_deadlines_reserve(&p->leases)) return KVR_NOMEM;
    struct core_request *r = core_mem_calloc(&p->mem, sizeof *r + id.n);
    if (!r) return KVR_NOMEM;
    r->id_len = (uint16_t)id.n;
    uint64_t fresh;
    if (core_live_add(&p->live, instance, b->hashes, b->n, &r->end, &fresh)) {
        core_request_free(p, r);
        return KVR_NOMEM;
    }
    if (b->predict_until &&
        core_prediction_add(p, instance, b->hashes, b->n, b->predict_until, p->bookings + 1, r)) {
        core_live_remove(&p->live, instance, r->end);
        core_request_free(p, r);
        return KVR_NOMEM;
    }
    r->instance = instance;
    r->blocks = (uint32_t)b->n;
    r->prefilled = b->prefilled;
    r->isl = b->isl < 0 ? (int64_t)b->n * p->options.block_size : b->isl;
    r->osl = b->osl;
    r->cached = b->cached;
    r->output = b->output;
    r->lease = b->lease < 0 ? p->options.lease : b->lease;
    r->created = b->created;
    r->renewed = b->renewed;
    uint32_t blocks = (uint32_t)(b->cached / p->options.block_size);
    r->overlap = b->overlap || b->expected ? b->overlap : blocks;
    r->expected = b->expected ? b->expected : blocks;
    if (r->expected < r->overlap) r->expected = r->overlap;
    r->cost = b->cost;
    memcpy(r->id, id.p, id.n);

    struct core_instance *in = &p->instances[instance];
    r->next = in->first;
    if (r->next) r->next->prev = r;
    in->first = r;
    in->live_blocks += fresh;
    in->booked = r->number = r->due.number = ++p->bookings;
    core_hash_map_add(&p->requests, &r->item, hash_of(p, id));
    set_due(p, r);
    add_load(p, r);
    r->session = session;
    if (session) core_session_join(p, session);
    *out = r;
    return KVR_OK;
}

enum kvr_err core_request_load(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                               const struct kvr_booking *b, struct core_request **out) {
    enum kvr_err err = core_booking_check(p, b);
    if (err) return err;
    struct core_session *session = b->session.n ? core_session_take(p, b->session) : NULL;
    if (b->session.n && !session) return KVR_NOMEM;
    err = add(p, id, instance, b, session, out);
    if (err && session) core_session_drop(p, session);
    return err;
}

struct core_forecast_case core_instance_case(const struct kvr_pool *p,
                                             const struct core_instance *in, int64_t now,
                                             int64_t own) {
    double rate = core_learn_rate(&p->learnt, &in->learnt);
    double queue = core_learn_left((double)in->prefill_tokens, core_instance_oldest(in),
                                   in->learnt.free_at, (double)now, rate);
    return (struct core_forecast_case){.own = (double)own,
                                       .requests = (double)in->requests,
                                       .wait = rate > 0    ? queue / rate
                                               : queue > 0 ? -1
                                                           : 0,
                                       .waiting = (double)in->queued};
}

enum kvr_err core_request_add(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                              const struct kvr_booking *b) {
    struct core_instance *in = &p->instances[instance];
    int64_t isl = b->isl < 0 ? (int64_t)b->n * p->options.block_size : b->isl;
    int64_t own = b->prefilled ? 0 : isl - b->cached;
    struct core_forecast_case kind = core_instance_case(p, in, b->created, own);
    struct core_request *r;
    enum kvr_err err = core_request_load(p, id, instance, b, &r);
    if (err) return err;
    if (r->session) core_session_book(p, r->session, instance, r->created, r->number);
    r->ahead = r->prefilled ? 0 : (int64_t)in->prefill_tokens;
    r->kind = kind;
    r->ttft = r->prefilled ? -1 : core_learn_ttft(&p->learnt, &in->learnt, &kind);
    r->tpot = core_learn_tpot(&p->learnt, &in->learnt);
    core_learn_booked(&p->learnt, &in->learnt, r->created, r->isl, r->cached, own);
    core_instance_refresh(p, instance);
    return KVR_OK;
}

void core_request_free(struct kvr_pool *p, struct core_request *r) {
    core_mem_free(&p->mem, r, bytes_of(r));
}

// r has just left the queue.
static void first_token(struct kvr_pool *p, struct core_request *r, int64_t at) {
    struct core_instance *in = &p->instances[r->instance];
    r->prefilled = true;
    r->prefilled_at = at;
    const struct core_learn_first t = {
        .booked = r->created,
        .at = at,
        .ahead = r->ahead,
        .queued = (int64_t)in->prefill_tokens,
        .arrived = (double)(p->bookings - r->number) / (double)p->live_instances,
        .kind = r->kind,
        .forecast = r->ttft,
    };
    core_learn_prefilled(&p->learnt, &in->learnt, &t);
}

void core_request_end(struct kvr_pool *p, struct core_request *r) {
    struct core_instance *in = &p->instances[r->instance];
    if (r->prev)
        r->prev->next = r->next;
    else
        in->first = r->next;
    if (r->next) r->next->prev = r->prev;
    in->live_blocks -= core_live_remove(&p->live, r->instance, r->end);
    if (!r->prefilled) core_learn_gone(&p->learnt, &in->learnt, r->isl - r->cached);
    take_load(p, r);
    core_instance_refresh(p, r->instance);
    core_hash_map_remove(&p->requests, &r->item);
    core_deadlines_remove(&p->leases, &r->due);
    if (r->prediction) r->prediction->request = NULL;
    if (r->session) core_session_leave(p, r->session);
    core_request_free(p, r);
}

enum kvr_err kvr_claim(struct kvr_pool *p, struct kvr_bytes id, struct kvr_bytes worker,
                       uint32_t rank, const struct kvr_booking *b, int *booked) {
    if (id.n < 1 || id.n > KVR_MAX_ID) return KVR_RANGE;
    enum kvr_err err = core_booking_check(p, b);
    if (err) return err;
    uint32_t instance = core_instance_find(p, worker, rank);
    if (instance == CORE_NO_INSTANCE) return KVR_NOWORKER;
    *booked = 0;
    if (core_request_find(p, id)) return KVR_OK;
    if ((err = core_request_add(p, id, instance, b))) return err;
    *booked = 1;
    core_circuit_booked(p, p->instances[instance].worker, b->created);
    p->version++;
    return KVR_OK;
}

enum kvr_err kvr_update(struct kvr_pool *p, int64_t now, struct kvr_bytes id, bool prefilled,
                        int64_t output, int64_t lease, int *live) {
    if (output > KVR_MAX_TOKENS || lease > KVR_MAX_MS || now < 0 || now > KVR_MAX_MS)
        return KVR_RANGE;
    struct core_request *r = core_request_find(p, id);
    *live = r != NULL;
    if (!r) return KVR_OK;
    if (lease >= 0 && core_deadlines_reserve(&p->leases)) return KVR_NOMEM;
    struct core_instance *in = &p->instances[r->instance];
    if (prefilled && !r->prefilled) {
        dequeue(in, r);
        first_token(p, r, now);
    }
    if (output > r->output) {
        in->output_blocks += output_blocks(p, output) - output_blocks(p, r->output);
        r->output = output;
    }
    if (lease >= 0) r->lease = lease;
    r->renewed = now;
    set_due(p, r);
    core_instance_refresh(p, r->instance);
    p->version++;
    return KVR_OK;
}

bool kvr_release_teaches(const struct kvr_pool *p, const struct kvr_bytes *ids, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct core_request *r = core_request_find(p, ids[i]);
        if (r && r->output > 0) return true;
    }
    return false;
}

size_t kvr_release(struct kvr_pool *p, int64_t at, const struct kvr_bytes *ids, size_t n,
                   enum kvr_end how) {
    size_t live = 0;
    for (size_t i = 0; i < n; i++) {
        struct core_request *r = core_request_find(p, ids[i]);
        if (!r) continue;
        if (how == KVR_RELEASED)
            core_learn_ended(&p->learnt, &p->instances[r->instance].learnt,
                             r->prefilled_at ? at - r->prefilled_at : -1, r->output);
        // The engine may never have seen the prompt. One that has put something out has; so says who
        // saw only the end of an answer, and can't tell when its first token came.
        if (!r->prefilled && !r->output && r->prediction) core_prediction_end(p, r->prediction);
        core_request_end(p, r);
        live++;
    }
    if (live) p->version++;
    return live;
}

static int64_t lease_end(const struct kvr_pool *p, const struct core_request *r) {
    return (r->renewed > p->renewed ? r->renewed : p->renewed) + r->lease;
}

bool kvr_request_get(const struct kvr_pool *p, int64_t now, struct kvr_bytes id,
                     struct kvr_request_info *out) {
    const struct core_request *r = core_request_find(p, id);
    if (!r) return false;
    const struct core_instance *in = &p->instances[r->instance];
    int64_t age = now - r->created, left = lease_end(p, r) - now;
    *out = (struct kvr_request_info){
        .id = {r->id, r->id_len},
        .worker = {in->worker->name, in->worker->name_len},
        .rank = in->rank,
        .isl = r->isl,
        .osl = r->osl,
        .cached = r->cached,
        .output = r->output,
        .blocks = r->blocks,
        .prefilled = r->prefilled,
        .age = age > 0 ? age : 0,
        .lease_left = !r->lease  ? -1
                      : left > 0 ? left
                                 : 0,
        .session = r->session ? (struct kvr_bytes){r->session->name, r->session->name_len}
                              : (struct kvr_bytes){"", 0},
    };
    return true;
}

uint64_t kvr_request_scan(const struct kvr_pool *p, uint64_t cursor, size_t count,
                          void (*f)(void *ctx, struct kvr_bytes id), void *ctx) {
    for (; cursor < p->requests.n_buckets; cursor++) {
        if (count-- == 0) return cursor;
        for (struct core_hash_map_item *i = core_hash_map_bucket(&p->requests, cursor); i;
             i = i->next) {
            const struct core_request *r = (const struct core_request *)i;
            f(ctx, (struct kvr_bytes){r->id, r->id_len});
        }
    }
    return 0;
}

// ---- Time ----------------------------------------------------------------------------------------

// A deadline in the heap may be earlier than the true one after kvr_renew_all; it is put right when
// its turn comes.
bool kvr_due_request(struct kvr_pool *p, int64_t now, struct kvr_bytes *id) {
    for (;;) {
        struct core_deadline *first = core_deadlines_first(&p->leases);
        if (!first || first->at > now) return false;
        struct core_request *r =
            (struct core_request *)((char *)first - offsetof(struct core_request, due));
        if (first->at == lease_end(p, r)) {
            *id = (struct kvr_bytes){r->id, r->id_len};
            return true;
        }
        core_deadlines_move(&p->leases, first, lease_end(p, r));
    }
}
