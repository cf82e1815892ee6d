// SPDX-License-Identifier: Apache-2.0
#include "ledger.h"

#include <kvroute/hash.h>
#include <math.h>
#include <string.h>

#include "fair_order.h"
#include "flow.h"
#include "instance.h"
#include "leg.h"
#include "prediction.h"
#include "prefill_queue.h"
#include "queue_round.h"
#include "room.h"
#include "service_class.h"
#include "session.h"
#include "waiting.h"
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
        if (r->id_len == id.n && !memcmp(r->id, id.p, id.n) && core_request_live(p, r)) return r;
    }
    return NULL;
}

static uint64_t output_blocks(const struct kvr_pool *p, int64_t output) {
    return ((uint64_t)output + p->options.block_size - 1) / p->options.block_size;
}

// Both leave it to the caller to refresh the instance when all has changed.
static void add_load(struct kvr_pool *p, struct core_request *r) {
    struct core_instance *in = &p->instances[r->instance];
    in->requests++;
    uint32_t prefill = core_prefill_instance(r);
    if (prefill != CORE_NO_INSTANCE) core_prefill_enqueue(&p->instances[prefill], r);
    in->output_blocks += output_blocks(p, r->output);
}

static void take_load(struct kvr_pool *p, struct core_request *r) {
    struct core_instance *in = &p->instances[r->instance];
    in->requests--;
    if (!r->prefilled && !r->leg) core_prefill_dequeue(in, r);
    in->output_blocks -= output_blocks(p, r->output);
}

// Puts the request where its lease says, or out of the deadlines. Room was reserved.
static void set_due(struct kvr_pool *p, struct core_request *r) {
    int64_t at = r->renewed + r->lease;
    if (r->renewed > p->latest) p->latest = r->renewed;
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
        b->predict_until < 0 || b->predict_until > 2 * KVR_MAX_MS || b->session.n > KVR_MAX_ID ||
        b->service_class.n > KVR_MAX_ID || b->flow.n > KVR_MAX_ID || b->waited < 0 ||
        b->waited > KVR_MAX_MS || b->prefill_worker.n > KVR_MAX_NAME || b->prefill_cached < 0 ||
        b->prefill_cached > isl)
        return KVR_RANGE;
    return KVR_OK;
}

// What a booking counts in beside its instance, found or made before anything else.
struct booking_names {
    struct core_session *session; // NULL: of none; and so the flow
    struct core_class *service_class;
    struct core_flow *flow;
};

static void names_drop(struct kvr_pool *p, const struct booking_names *n) {
    if (n->session) core_session_drop(p, n->session);
    if (n->flow) core_flow_drop(p, n->flow);
    if (n->service_class) core_class_drop(p, n->service_class);
}

static enum kvr_err names_take(struct kvr_pool *p, const struct kvr_booking *b,
                               struct booking_names *n) {
    *n = (struct booking_names){0};
    enum kvr_err err = core_class_take(p, b->service_class, &n->service_class);
    if (!err && b->flow.n && !(n->flow = core_flow_take(p, b->flow))) err = KVR_NOMEM;
    if (!err && b->session.n && !(n->session = core_session_take(p, b->session))) err = KVR_NOMEM;
    if (err) names_drop(p, n);
    return err;
}

// Adds a request, and counts it in its session, class and flow. The caller refreshes the instance and learns
// from the booking.
static enum kvr_err add(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                        const struct kvr_booking *b, const struct booking_names *names,
                        uint32_t leg, int64_t tokens, struct core_request **out) {
    if (core_hash_map_reserve(&p->requests) || core_deadlines_reserve(&p->leases)) return KVR_NOMEM;
    struct core_request *r = core_mem_calloc(&p->mem, sizeof *r + id.n);
    if (!r) return KVR_NOMEM;
    r->id_len = (uint16_t)id.n;
    uint64_t fresh;
    if (core_live_add(&p->live, instance, b->hashes, b->n, &r->end, &fresh)) {
        core_request_free(p, r);
        return KVR_NOMEM;
    }
    if (b->predict_until && core_prediction_add(p, instance, b->hashes, b->n, b->predict_until,
                                                p->bookings + 1, r, false)) {
        core_live_remove(&p->live, instance, r->end);
        core_request_free(p, r);
        return KVR_NOMEM;
    }
    r->prefilled = b->prefilled;
    r->instance = instance;
    bool computed = b->prefilled && b->prefill_worker.n;
    if ((leg != CORE_NO_INSTANCE && core_leg_add(p, r, leg, b, tokens, p->bookings + 1)) ||
        (computed &&
         core_leg_remember(p, r, b->prefill_worker, b->prefill_rank, b->prefill_overlap, 0))) {
        if (r->prediction) core_prediction_end(p, r->prediction);
        core_live_remove(&p->live, instance, r->end);
        core_request_free(p, r);
        return KVR_NOMEM;
    }
    core_predictions_cap(p, instance);
    if (leg != CORE_NO_INSTANCE) core_predictions_cap(p, leg);
    r->blocks = (uint32_t)b->n;
    r->isl = b->isl < 0 ? (int64_t)b->n * p->options.block_size : b->isl;
    r->osl = b->osl;
    r->cached = b->cached;
    r->output = b->output;
    r->own_lease = b->lease < 0 ? p->options.lease : b->lease;
    r->uncalled = b->uncalled;
    r->lease = r->uncalled ? p->options.accept : r->own_lease;
    r->waited = b->waited;
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
    if (leg != CORE_NO_INSTANCE) p->instances[leg].booked = p->bookings;
    core_hash_map_add(&p->requests, &r->item, hash_of(p, id));
    set_due(p, r);
    add_load(p, r);
    if (leg != CORE_NO_INSTANCE) core_instance_refresh(p, leg);
    r->session = names->session;
    if (r->session) core_session_join(p, r);
    r->service_class = names->service_class;
    r->service_class->live++;
    if (names->flow) core_flow_join(p, names->flow, r);
    *out = r;
    return KVR_OK;
}

enum kvr_err core_request_load(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                               const struct kvr_booking *b, struct core_request **out) {
    enum kvr_err err = core_booking_check(p, b);
    if (err) return err;
    uint32_t leg = CORE_NO_INSTANCE;
    int64_t tokens = 0;
    if (!b->prefilled && (err = core_leg_find(p, b, &leg, &tokens))) return err;
    struct booking_names names;
    if ((err = names_take(p, b, &names))) return err;
    err = add(p, id, instance, b, &names, leg, tokens, out);
    if (err) names_drop(p, &names);
    return err;
}

struct core_forecast_case core_instance_case(const struct kvr_pool *p,
                                             const struct core_instance *in, int64_t now,
                                             int64_t own) {
    double rate = core_learn_rate(&p->learnt, &in->learnt);
    double queue = core_learn_left((double)in->prefill_tokens, core_instance_oldest(in),
                                   in->learnt.free_at, (double)now, rate);
    return (struct core_forecast_case){.own = (double)own,
                                       .requests = (double)core_instance_requests(in),
                                       .wait = rate > 0    ? queue / rate
                                               : queue > 0 ? -1
                                                           : 0,
                                       .waiting = (double)in->queued};
}

static enum kvr_err book(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                         const struct kvr_booking *b) {
    uint32_t prefill = CORE_NO_INSTANCE;
    int64_t isl = b->isl < 0 ? (int64_t)b->n * p->options.block_size : b->isl, own = 0;
    enum kvr_err err = b->prefilled ? KVR_OK : core_leg_find(p, b, &prefill, &own);
    if (err) return err;
    if (prefill == CORE_NO_INSTANCE) {
        prefill = instance;
        own = b->prefilled ? 0 : isl - b->cached;
    }
    struct core_instance *in = &p->instances[prefill]; // whoever computes the prompt teaches of it
    struct core_forecast_case kind = core_instance_case(p, in, b->created, own);
    struct core_request *r;
    if ((err = core_request_load(p, id, instance, b, &r))) return err;
    if (r->session) core_session_book(p, r->session, instance, r->created, r->number);
    r->ahead = r->prefilled ? 0 : (int64_t)in->prefill_tokens;
    r->kind = kind;
    r->ttft = r->prefilled ? -1 : core_learn_ttft(&p->learnt, &in->learnt, &kind);
    r->tpot = core_learn_tpot(&p->learnt, &p->instances[instance].learnt);
    core_learn_booked(&p->learnt, &in->learnt, r->created, r->isl,
                      prefill == instance ? r->cached : isl - own, own);
    if (r->flow)
        core_flow_pay(p, r->flow, r->created, r->isl + r->osl, b->has_left ? &b->left : NULL);
    core_instance_refresh(p, instance);
    core_room_track(p, instance, r->created);
    if (prefill == instance) return KVR_OK;
    core_instance_refresh(p, prefill);
    core_room_track(p, prefill, r->created);
    return KVR_OK;
}

enum kvr_err core_request_add(struct kvr_pool *p, struct kvr_bytes id, uint32_t instance,
                              const struct kvr_booking *b) {
    bool itself = b->prefill_worker.n && b->prefill_rank == p->instances[instance].rank &&
                  core_worker_named(p->instances[instance].worker, b->prefill_worker);
    if (!itself) return book(p, id, instance, b);
    struct kvr_booking whole = *b; // no pair
    whole.prefill_worker.n = 0;
    return book(p, id, instance, &whole);
}

void core_request_free(struct kvr_pool *p, struct core_request *r) {
    core_leg_free(p, r);
    core_mem_free(&p->mem, r, bytes_of(r));
}

// Whoever computed its prompt is through with it, and learns from it, if it is still there.
static void first_token(struct kvr_pool *p, struct core_request *r, int64_t at) {
    uint32_t prefill = core_prefill_instance(r);
    bool learns = prefill != CORE_NO_INSTANCE && p->instances[prefill].worker;
    struct core_instance *in = learns ? &p->instances[prefill] : NULL;
    if (r->leg)
        core_leg_stop(p, r);
    else
        core_prefill_dequeue(in, r);
    r->prefilled = true;
    r->prefilled_at = at;
    if (!learns) return;
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
    core_instance_refresh(p, prefill);
    core_queue_gained(p, prefill);
    core_room_came(p, prefill, at, r->leg != NULL, true);
    if (r->leg) core_room_track(p, prefill, at); // else the caller does
}

static void end_leg(struct kvr_pool *p, struct core_request *r) {
    if (!r->leg) return;
    if (core_leg_live(p, r)) core_queue_gained(p, r->leg->instance);
    if (r->leg->prediction) r->leg->prediction->request = NULL;
    core_leg_stop(p, r);
    core_leg_free(p, r);
}

void core_request_end(struct kvr_pool *p, struct core_request *r) {
    struct core_instance *in = &p->instances[r->instance];
    if (r->prev)
        r->prev->next = r->next;
    else
        in->first = r->next;
    if (r->next) r->next->prev = r->prev;
    in->live_blocks -= core_live_remove(&p->live, r->instance, r->end);
    uint32_t prefill = core_prefill_instance(r);
    if (prefill != CORE_NO_INSTANCE)
        core_learn_gone(&p->learnt, &p->instances[prefill].learnt, core_prefill_tokens(r));
    take_load(p, r);
    end_leg(p, r);
    core_instance_refresh(p, r->instance);
    core_hash_map_remove(&p->requests, &r->item);
    core_deadlines_remove(&p->leases, &r->due);
    if (r->prediction) r->prediction->request = NULL;
    if (r->session) core_session_leave(p, r);
    struct core_flow *flow = r->flow;
    if (flow && flow->max_requests) core_flow_ready(p, flow);
    if (flow) core_flow_leave(p, r);
    r->service_class->live--;
    core_class_drop(p, r->service_class);
    if (in->worker)
        core_queue_gained(p, r->instance);
    else
        p->dropped_requests--;
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
    if (!core_class_find(p, b->service_class)) return KVR_NOCLASS;
    if ((err = core_request_add(p, id, instance, b))) return err;
    *booked = 1;
    struct core_waiting *waiting = core_waiting_find(p, id);
    if (waiting) core_waiting_end(p, waiting, -1);
    core_circuit_booked(p, p->instances[instance].worker, b->created);
    const struct core_request *r = b->prefill_worker.n ? core_request_find(p, id) : NULL;
    if (r && core_leg_live(p, r))
        core_circuit_booked(p, p->instances[r->leg->instance].worker, b->created);
    p->version++;
    return KVR_OK;
}

// Its owner knows where it is booked: its own lease begins. The caller says when.
static void come(struct core_request *r) {
    if (!r->uncalled) return;
    r->uncalled = false;
    r->lease = r->own_lease;
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
    if (prefilled && !r->prefilled) first_token(p, r, now);
    come(r);
    if (output > r->output) {
        in->output_blocks += output_blocks(p, output) - output_blocks(p, r->output);
        r->output = output;
    }
    if (lease >= 0) r->lease = r->own_lease = lease;
    r->renewed = now;
    set_due(p, r);
    core_instance_refresh(p, r->instance);
    core_room_track(p, r->instance, now);
    p->version++;
    return KVR_OK;
}

bool kvr_uncalled(const struct kvr_pool *p, struct kvr_bytes id) {
    const struct core_request *r = core_request_find(p, id);
    return r && r->uncalled;
}

enum kvr_err kvr_come(struct kvr_pool *p, int64_t at, struct kvr_bytes id, bool *applied) {
    if (at < 0 || at > KVR_MAX_MS) return KVR_RANGE;
    struct core_request *r = core_request_find(p, id);
    *applied = r && r->uncalled;
    if (!*applied) return KVR_OK;
    come(r);
    r->renewed = at;
    set_due(p, r);
    core_room_track(p, r->instance, at); // as kvr_update, which is its effect
    p->version++;
    return KVR_OK;
}

bool kvr_release_teaches(const struct kvr_pool *p, const struct kvr_bytes *ids, size_t n) {
    if (core_room_limited(p)) return n > 0; // how long an instance had no room
    for (size_t i = 0; i < n; i++) {
        const struct core_request *r = core_request_find(p, ids[i]);
        if (r && r->output > 0) return true;
    }
    return false;
}

// The engine may never have seen the prompt. One that has put something out has; so says who saw only the end of
// an answer, and can't tell when its first token came.
static void release(struct kvr_pool *p, struct core_request *r, int64_t at) {
    uint32_t instance = r->instance;
    uint32_t prefill = core_leg_live(p, r) ? r->leg->instance : instance;
    bool computed = !r->prefilled && !r->leg; // or given up
    bool unseen = !r->prefilled && !r->output;
    if (unseen && r->prediction) core_prediction_end(p, r->prediction);
    if (unseen && r->leg && r->leg->prediction) core_prediction_end(p, r->leg->prediction);
    core_request_end(p, r);
    core_room_came(p, instance, at, true, computed);
    core_room_track(p, instance, at);
    if (prefill == instance) return;
    core_room_came(p, prefill, at, true, true);
    core_room_track(p, prefill, at);
}

size_t kvr_release(struct kvr_pool *p, int64_t at, const struct kvr_bytes *ids, size_t n,
                   enum kvr_end how) {
    size_t live = 0;
    for (size_t i = 0; i < n; i++) {
        struct core_request *r = core_request_find(p, ids[i]);
        struct core_waiting *waiting = r ? NULL : core_waiting_find(p, ids[i]);
        if (waiting) {
            core_waiting_end(p, waiting, -1);
            live++;
        }
        if (!r) continue;
        if (how == KVR_RELEASED)
            core_learn_ended(&p->learnt, &p->instances[r->instance].learnt,
                             r->prefilled_at ? at - r->prefilled_at : -1, r->output);
        release(p, r, how == KVR_UNTOLD ? 0 : at);
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
        .ttft = r->prefilled_at ? r->prefilled_at - r->created : -1,
        .session = r->session ? (struct kvr_bytes){r->session->name, r->session->name_len}
                              : (struct kvr_bytes){"", 0},
        .service_class = core_class_name(r->service_class),
        .flow = core_flow_name(r->flow),
        .prefill_worker =
            r->leg ? (struct kvr_bytes){r->leg->name, r->leg->name_len} : (struct kvr_bytes){"", 0},
        .prefill_rank = r->leg ? r->leg->rank : 0,
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
            if (core_request_live(p, r)) f(ctx, (struct kvr_bytes){r->id, r->id_len});
        }
    }
    return 0;
}

// ---- Dropped with their instance -----------------------------------------------------------------

// Whoever computes prompts for requests of an instance that goes is rid of them at once: what another instance has to
// do doesn't wait for a sweep. They are at the front of the list, as few have been computing for long.
static void call_back(struct kvr_pool *p, struct core_instance *in) {
    for (struct core_request *r = in->first; r && in->n_away; r = r->next) {
        if (!r->leg || !r->leg->at_work) continue;
        uint32_t prefill = r->leg->instance;
        core_learn_gone(&p->learnt, &p->instances[prefill].learnt, core_prefill_tokens(r));
        core_leg_stop(p, r);
        core_room_track(p, prefill, 0);
    }
}

void core_instance_retire(struct kvr_pool *p, uint32_t instance) {
    struct core_instance *in = &p->instances[instance];
    call_back(p, in);
    in->worker = NULL;
    p->columns.ttl[instance] = -INFINITY;
    p->live_instances--;
    if (!in->first && !in->legs) {
        core_instance_free(p, instance);
        return;
    }
    p->dropped_requests += in->requests;
    in->next_free = p->dropped_instances;
    p->dropped_instances = instance + 1;
}

bool core_requests_sweep(struct kvr_pool *p, size_t max) {
    size_t done = 0;
    while (p->dropped_instances && done < max) {
        uint32_t i = p->dropped_instances - 1;
        struct core_instance *in = &p->instances[i];
        for (; in->first && done < max; done++) {
            done += in->first->blocks / CORE_BLOCKS_A_UNIT;
            core_request_end(p, in->first);
        }
        for (; in->legs && done < max; done++)
            core_leg_stop(p, in->legs->request);
        if (in->first || in->legs) break;
        p->dropped_instances = in->next_free;
        core_instance_free(p, i);
    }
    return p->dropped_instances != 0;
}

const char *core_dropped_validate(const struct kvr_pool *p) {
    uint64_t dropped = 0, listed = 0;
    for (uint32_t i = 0; i < p->n_instances; i++) {
        uint64_t requests = 0;
        for (const struct core_request *r = p->instances[i].first; r; r = r->next)
            requests++;
        if (requests != p->instances[i].requests) return "ledger: the number of requests is wrong";
        if (!p->instances[i].worker) dropped += requests;
    }
    for (uint32_t next = p->dropped_instances; next; next = p->instances[next - 1].next_free) {
        const struct core_instance *in = &p->instances[next - 1];
        if (in->worker) return "ledger: nothing to sweep";
        listed += in->requests;
    }
    return dropped == p->dropped_requests && listed == dropped
               ? NULL
               : "ledger: the number of dropped requests is wrong";
}

// ---- Time ----------------------------------------------------------------------------------------

void core_requests_cap_time(struct kvr_pool *p, int64_t now) {
    for (size_t i = 0; i < p->leases.n; i++) {
        struct core_deadline *due = p->leases.heap[i];
        struct core_request *r =
            (struct core_request *)((char *)due - offsetof(struct core_request, due));
        if (r->renewed > now) r->renewed = now;
        due->at = r->renewed + r->lease;
    }
    core_deadlines_reorder(&p->leases);
}

// A deadline in the heap may be earlier than the true one after kvr_renew_all; it is put right when
// its turn comes. One that was dropped is in the way until it is swept, or found here.
static struct core_request *due_request(struct kvr_pool *p, int64_t now) {
    enum { MAX_DROPPED = 1000 };
    for (size_t dropped = 0;;) {
        struct core_deadline *first = core_deadlines_first(&p->leases);
        if (!first || first->at > now) return NULL;
        struct core_request *r =
            (struct core_request *)((char *)first - offsetof(struct core_request, due));
        if (!core_request_live(p, r)) {
            if (dropped++ == MAX_DROPPED) return NULL; // enough for now
            core_deadlines_remove(&p->leases, first);
            continue;
        }
        if (first->at == lease_end(p, r)) return r;
        core_deadlines_move(&p->leases, first, lease_end(p, r));
    }
}

bool kvr_due_request(struct kvr_pool *p, int64_t now, struct kvr_bytes *id) {
    const struct core_request *r = due_request(p, now);
    if (r) *id = (struct kvr_bytes){r->id, r->id_len};
    return r != NULL;
}

size_t kvr_end_requests(struct kvr_pool *p, int64_t now, size_t max,
                        void (*f)(void *ctx, struct kvr_bytes id), void *ctx) {
    enum { MAX_BLOCKS_ENDED = 100000 };
    size_t n = 0, blocks = 0;
    for (struct core_request *r; n < max && blocks < MAX_BLOCKS_ENDED && (r = due_request(p, now));
         n++) {
        blocks += r->blocks;
        f(ctx, (struct kvr_bytes){r->id, r->id_len});
        release(p, r, now);
    }
    if (n) p->version++;
    return n;
}
