// SPDX-License-Identifier: Apache-2.0
// The ledger: live requests by id, their weight on their instance, their leases; and predictions.
#include <string.h>

#include "pool_impl.h"
#include <kvroute/hash.h>

// ---- Requests ------------------------------------------------------------------------------------

static uint64_t hash_of(const struct kvr_pool *p, struct kvr_bytes id) {
    return XXH3_64bits_withSeed(id.p, id.n, p->seed);
}

struct request *request_find(const struct kvr_pool *p, struct kvr_bytes id) {
    struct hmap_item *i = hmap_first(&p->requests, hash_of(p, id));
    for (; i; i = hmap_next(i)) {
        struct request *r = (struct request *)i;
        if (r->id_len == id.n && !memcmp(r->id, id.p, id.n)) return r;
    }
    return NULL;
}

static uint64_t output_blocks(const struct kvr_pool *p, int64_t output) {
    return ((uint64_t)output + p->options.block_size - 1) / p->options.block_size;
}

// Requests come in the order of booking, also saved ones, and leave the queue once.
static void enqueue(struct instance *in, struct request *r) {
    in->prefill_tokens += (uint64_t)(r->isl - r->cached);
    r->sooner = in->queue_last;
    *(r->sooner ? &r->sooner->later : &in->queue_first) = r;
    in->queue_last = r;
    in->queued++;
}

static void dequeue(struct instance *in, struct request *r) {
    in->prefill_tokens -= (uint64_t)(r->isl - r->cached);
    *(r->sooner ? &r->sooner->later : &in->queue_first) = r->later;
    *(r->later ? &r->later->sooner : &in->queue_last) = r->sooner;
    r->sooner = r->later = NULL;
    in->queued--;
}

// Both leave it to the caller to refresh the instance when all has changed.
static void add_load(struct kvr_pool *p, struct request *r) {
    struct instance *in = &p->instances[r->instance];
    in->requests++;
    if (!r->prefilled) enqueue(in, r);
    in->output_blocks += output_blocks(p, r->output);
}

static void take_load(struct kvr_pool *p, struct request *r) {
    struct instance *in = &p->instances[r->instance];
    in->requests--;
    if (!r->prefilled) dequeue(in, r);
    in->output_blocks -= output_blocks(p, r->output);
}

// Puts the request where its lease says, or out of the deadlines. Room was reserved.
static void set_due(struct kvr_pool *p, struct request *r) {
    int64_t at = r->renewed + r->lease;
    if (!r->lease)
        deadlines_remove(&p->leases, &r->due);
    else if (r->due.place)
        deadlines_move(&p->leases, &r->due, at);
    else
        deadlines_add(&p->leases, &r->due, at);
}

static size_t bytes_of(const struct request *r) {
    return sizeof *r + r->id_len;
}

enum kvr_err booking_check(const struct kvr_pool *p, const struct kvr_booking *b) {
    if (b->n > KVR_MAX_BLOCKS) return KVR_LIMIT;
    int64_t isl = b->isl < 0 ? (int64_t)b->n * p->options.block_size : b->isl;
    if (isl > KVR_MAX_TOKENS || b->osl < 0 || b->osl > KVR_MAX_TOKENS || b->cached < 0 ||
        b->cached > isl || b->output < 0 || b->output > KVR_MAX_TOKENS || b->lease > KVR_MAX_MS ||
        b->created < 0 || b->created > KVR_MAX_MS || b->renewed < 0 || b->renewed > KVR_MAX_MS ||
        b->predict_until < 0 || b->predict_until > 2 * KVR_MAX_MS || b->session.n > KVR_MAX_ID)
        return KVR_RANGE;
    return KVR_OK;
}

// Adds a request with its session (NULL: none), which on success is one live request richer. What it
// teaches is left to the caller, and to refresh the instance.
static enum kvr_err add(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                        const struct kvr_booking *b, struct session *session,
                        struct request **out) {
    if (hmap_reserve(&p->requests) || deadlines_reserve(&p->leases)) return KVR_NOMEM;
    struct request *r = mem_calloc(&p->mem, sizeof *r + id.n);
    if (!r) return KVR_NOMEM;
    r->id_len = (uint16_t)id.n;
    uint64_t fresh;
    if (live_add(&p->live, instance, b->hashes, b->n, &r->end, &fresh)) {
        request_free(p, r);
        return KVR_NOMEM;
    }
    if (b->predict_until &&
        prediction_add(p, instance, b->hashes, b->n, b->predict_until, p->bookings + 1, r)) {
        live_remove(&p->live, instance, r->end);
        request_free(p, r);
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

    struct instance *in = &p->instances[instance];
    r->next = in->first;
    if (r->next) r->next->prev = r;
    in->first = r;
    in->live_blocks += fresh;
    in->booked = r->number = r->due.number = ++p->bookings;
    hmap_add(&p->requests, &r->item, hash_of(p, id));
    set_due(p, r);
    add_load(p, r);
    r->session = session;
    if (session) session_join(p, session);
    *out = r;
    return KVR_OK;
}

enum kvr_err request_load(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                          const struct kvr_booking *b, struct request **out) {
    enum kvr_err err = booking_check(p, b);
    if (err) return err;
    struct session *session = b->session.n ? session_take(p, b->session) : NULL;
    if (b->session.n && !session) return KVR_NOMEM;
    err = add(p, id, instance, b, session, out);
    if (err && session) session_drop(p, session);
    return err;
}

struct forecast_case instance_case(const struct kvr_pool *p, const struct instance *in, int64_t now,
                                   int64_t own) {
    double rate = learn_rate(&p->learnt, &in->learnt);
    double queue = learn_left((double)in->prefill_tokens, instance_oldest(in), in->learnt.free_at,
                              (double)now, rate);
    return (struct forecast_case){.own = (double)own,
                                  .requests = (double)in->requests,
                                  .wait = rate > 0    ? queue / rate
                                          : queue > 0 ? -1
                                                      : 0,
                                  .waiting = (double)in->queued};
}

enum kvr_err request_add(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                         const struct kvr_booking *b) {
    struct instance *in = &p->instances[instance];
    int64_t isl = b->isl < 0 ? (int64_t)b->n * p->options.block_size : b->isl;
    int64_t own = b->prefilled ? 0 : isl - b->cached;
    struct forecast_case kind = instance_case(p, in, b->created, own);
    struct request *r;
    enum kvr_err err = request_load(p, id, instance, b, &r);
    if (err) return err;
    if (r->session) session_book(p, r->session, instance, r->created, r->number);
    r->ahead = r->prefilled ? 0 : (int64_t)in->prefill_tokens;
    r->kind = kind;
    r->ttft = r->prefilled ? -1 : learn_ttft(&p->learnt, &in->learnt, &kind);
    r->tpot = learn_tpot(&p->learnt, &in->learnt);
    learn_booked(&p->learnt, &in->learnt, r->created, r->isl, r->cached, own);
    instance_refresh(p, instance);
    return KVR_OK;
}

void request_free(struct kvr_pool *p, struct request *r) {
    mem_free(&p->mem, r, bytes_of(r));
}

// r has just left the queue.
static void first_token(struct kvr_pool *p, struct request *r, int64_t at) {
    struct instance *in = &p->instances[r->instance];
    r->prefilled = true;
    r->prefilled_at = at;
    const struct learn_first t = {
        .booked = r->created,
        .at = at,
        .ahead = r->ahead,
        .queued = (int64_t)in->prefill_tokens,
        .arrived = (double)(p->bookings - r->number) / (double)p->live_instances,
        .kind = r->kind,
        .forecast = r->ttft,
    };
    learn_prefilled(&p->learnt, &in->learnt, &t);
}

void request_end(struct kvr_pool *p, struct request *r) {
    struct instance *in = &p->instances[r->instance];
    if (r->prev)
        r->prev->next = r->next;
    else
        in->first = r->next;
    if (r->next) r->next->prev = r->prev;
    in->live_blocks -= live_remove(&p->live, r->instance, r->end);
    if (!r->prefilled) learn_gone(&p->learnt, &in->learnt, r->isl - r->cached);
    take_load(p, r);
    instance_refresh(p, r->instance);
    hmap_remove(&p->requests, &r->item);
    deadlines_remove(&p->leases, &r->due);
    if (r->prediction) r->prediction->request = NULL;
    if (r->session) session_leave(p, r->session);
    request_free(p, r);
}

enum kvr_err kvr_claim(struct kvr_pool *p, struct kvr_bytes id, struct kvr_bytes worker,
                       uint32_t rank, const struct kvr_booking *b, int *booked) {
    if (id.n < 1 || id.n > KVR_MAX_ID) return KVR_RANGE;
    enum kvr_err err = booking_check(p, b);
    if (err) return err;
    uint32_t instance = instance_find(p, worker, rank);
    if (instance == NO_INSTANCE) return KVR_NOWORKER;
    *booked = 0;
    if (request_find(p, id)) return KVR_OK;
    if ((err = request_add(p, id, instance, b))) return err;
    *booked = 1;
    circuit_booked(p, p->instances[instance].worker, b->created);
    p->version++;
    return KVR_OK;
}

enum kvr_err kvr_update(struct kvr_pool *p, int64_t now, struct kvr_bytes id, bool prefilled,
                        int64_t output, int64_t lease, int *live) {
    if (output > KVR_MAX_TOKENS || lease > KVR_MAX_MS || now < 0 || now > KVR_MAX_MS)
        return KVR_RANGE;
    struct request *r = request_find(p, id);
    *live = r != NULL;
    if (!r) return KVR_OK;
    if (lease >= 0 && deadlines_reserve(&p->leases)) return KVR_NOMEM;
    struct instance *in = &p->instances[r->instance];
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
    instance_refresh(p, r->instance);
    p->version++;
    return KVR_OK;
}

bool kvr_release_teaches(const struct kvr_pool *p, const struct kvr_bytes *ids, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const struct request *r = request_find(p, ids[i]);
        if (r && r->output > 0) return true;
    }
    return false;
}

size_t kvr_release(struct kvr_pool *p, int64_t at, const struct kvr_bytes *ids, size_t n,
                   enum kvr_end how) {
    size_t live = 0;
    for (size_t i = 0; i < n; i++) {
        struct request *r = request_find(p, ids[i]);
        if (!r) continue;
        if (how == KVR_RELEASED)
            learn_ended(&p->learnt, &p->instances[r->instance].learnt,
                        r->prefilled_at ? at - r->prefilled_at : -1, r->output);
        // The engine may never have seen the prompt. One that has put something out has; so says who
        // saw only the end of an answer, and can't tell when its first token came.
        if (!r->prefilled && !r->output && r->prediction) prediction_end(p, r->prediction);
        request_end(p, r);
        live++;
    }
    if (live) p->version++;
    return live;
}

static int64_t lease_end(const struct kvr_pool *p, const struct request *r) {
    return (r->renewed > p->renewed ? r->renewed : p->renewed) + r->lease;
}

bool kvr_request_get(const struct kvr_pool *p, int64_t now, struct kvr_bytes id,
                     struct kvr_request_info *out) {
    const struct request *r = request_find(p, id);
    if (!r) return false;
    const struct instance *in = &p->instances[r->instance];
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
        for (struct hmap_item *i = hmap_bucket(&p->requests, cursor); i; i = i->next) {
            const struct request *r = (const struct request *)i;
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
        struct deadline *first = deadlines_first(&p->leases);
        if (!first || first->at > now) return false;
        struct request *r = (struct request *)((char *)first - offsetof(struct request, due));
        if (first->at == lease_end(p, r)) {
            *id = (struct kvr_bytes){r->id, r->id_len};
            return true;
        }
        deadlines_move(&p->leases, first, lease_end(p, r));
    }
}

void kvr_renew_all(struct kvr_pool *p, int64_t now) {
    if (now > p->renewed) p->renewed = now;
}

int64_t kvr_renewed(const struct kvr_pool *p) {
    return p->renewed;
}

void kvr_count_expired(struct kvr_pool *p, uint64_t requests, uint64_t workers) {
    p->stats.expired_requests += requests;
    p->stats.expired_workers += workers;
}

// ---- Predictions ---------------------------------------------------------------------------------

enum kvr_err prediction_add(struct kvr_pool *p, uint32_t instance, const uint64_t *hashes, size_t n,
                            int64_t until, uint64_t number, struct request *of) {
    struct instance *in = &p->instances[instance];
    uint64_t capacity = in->worker->capacity, fresh;
    if (capacity && n > capacity) n = capacity; // a head of it is still a prefix
    if (!n) return KVR_OK;
    if (deadlines_reserve(&p->predictions)) return KVR_NOMEM;
    struct prediction *f = mem_calloc(&p->mem, sizeof *f);
    if (!f) return KVR_NOMEM;
    if (live_add(&p->predicted, instance, hashes, n, &f->end, &fresh)) {
        mem_free(&p->mem, f, sizeof *f);
        return KVR_NOMEM;
    }
    f->instance = instance;
    f->blocks = (uint32_t)n;
    f->request = of;
    if (of) of->prediction = f;
    f->prev = in->newest;
    if (in->newest)
        in->newest->next = f;
    else
        in->oldest = f;
    in->newest = f;
    in->predicted += fresh;
    f->due.number = number;
    deadlines_add(&p->predictions, &f->due, until);
    predictions_cap(p, instance);
    return KVR_OK;
}

// At most the worker's capacity stays, the newest.
void predictions_cap(struct kvr_pool *p, uint32_t instance) {
    struct instance *in = &p->instances[instance];
    uint64_t capacity = in->worker->capacity;
    while (capacity && in->predicted > capacity)
        prediction_end(p, in->oldest);
}

void prediction_end(struct kvr_pool *p, struct prediction *f) {
    struct instance *in = &p->instances[f->instance];
    if (f->prev)
        f->prev->next = f->next;
    else
        in->oldest = f->next;
    if (f->next)
        f->next->prev = f->prev;
    else
        in->newest = f->prev;
    in->predicted -= live_remove(&p->predicted, f->instance, f->end);
    instance_refresh(p, f->instance);
    deadlines_remove(&p->predictions, &f->due);
    if (f->request) f->request->prediction = NULL;
    mem_free(&p->mem, f, sizeof *f);
}

void predictions_drop(struct kvr_pool *p, uint32_t instance) {
    while (p->instances[instance].oldest)
        prediction_end(p, p->instances[instance].oldest);
}

bool kvr_due_prediction(const struct kvr_pool *p, int64_t now) {
    const struct deadline *first = deadlines_first(&p->predictions);
    return first && first->at <= now;
}

size_t kvr_forget(struct kvr_pool *p, int64_t at, size_t max) {
    size_t n = 0;
    while (n < max && kvr_due_prediction(p, at)) {
        char *first = (char *)deadlines_first(&p->predictions);
        prediction_end(p, (struct prediction *)(first - offsetof(struct prediction, due)));
        n++;
    }
    if (n) p->version++;
    return n;
}
