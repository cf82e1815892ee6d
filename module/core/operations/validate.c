// SPDX-License-Identifier: Apache-2.0
// Every invariant of a pool, for tests.
#include <kvroute/hash.h>
#include <math.h>
#include <string.h>

#include "module/core/state/instance.h"
#include "module/core/state/label.h"
#include "module/core/state/ledger.h"
#include "module/core/state/leg.h"
#include "module/core/state/prediction.h"
#include "module/core/state/prefill_queue.h"
#include "module/core/state/room.h"
#include "module/core/state/session.h"
#include "module/core/state/waiting.h"
#include "module/core/state/worker.h"

// Those without a first token, in the order of booking.
static const char *check_queue(const struct kvr_pool *p, uint32_t i) {
    const struct core_instance *in = &p->instances[i];
    uint64_t queued = 0, tokens = 0;
    const struct core_request *before = NULL;
    for (const struct core_request *r = in->queue_first; r; before = r, r = r->later) {
        if (r->sooner != before || core_prefill_instance(r) != i)
            return "pool: a queue's links are wrong";
        if (before && before->number > r->number) return "pool: a queue out of order";
        queued++;
        tokens += (uint64_t)core_prefill_tokens(r);
    }
    if (in->queue_last != before || in->queued != queued || in->prefill_tokens != tokens)
        return "pool: a queue isn't its requests'";
    return NULL;
}

// An instance's loads from its requests, beside what is kept.
static const char *check_loads(const struct kvr_pool *p, const struct core_instance *in) {
    uint64_t requests = 0, prefill = 0, output = 0;
    const struct core_request *before = NULL;
    for (const struct core_request *r = in->first; r; before = r, r = r->next) {
        if (r->prev != before) return "pool: a request's links are wrong";
        if (&p->instances[r->instance] != in) return "pool: a request of another instance";
        if (r->cached < 0 || r->cached > r->isl) return "pool: more cached than there is";
        if (r->expected < r->overlap) return "pool: less expected than there is";
        if (r->number > p->bookings || r->ahead < 0 || (r->prefilled_at && !r->prefilled))
            return "pool: a request teaches nonsense";
        const struct core_prediction *f = r->prediction;
        uint32_t of = f ? p->slot_instance[f->slot->number] : CORE_NO_INSTANCE;
        if (f && (f->request != r || (of != r->instance && of != CORE_NO_INSTANCE)))
            return "pool: a prediction of another request";
        if (!!r->lease != !!r->due.place) return "pool: a lease that nobody watches";
        if (r->lease != r->own_lease && !r->uncalled) return "pool: a lease that isn't its own";
        if (r->summed && r->blocks_sum != core_live_path_sum(r->end, r->blocks))
            return "pool: a request has another sum of blocks";
        if (!r->service_class || r->waited < 0) return "pool: a request of no class";
        if (r->lease && r->renewed > p->latest) return "pool: a lease from after the latest time";
        if (core_request_find(p, (struct kvr_bytes){r->id, r->id_len}) != r)
            return "pool: a request isn't found";
        requests++;
        if (!r->prefilled && !r->leg) prefill += (uint64_t)core_prefill_tokens(r);
        output += ((uint64_t)r->output + p->options.block_size - 1) / p->options.block_size;
    }
    for (const struct core_leg *g = in->legs; g; g = g->next)
        prefill += (uint64_t)g->tokens;
    if (requests != in->requests || prefill != in->prefill_tokens || output != in->output_blocks)
        return "pool: an instance's load isn't its requests'";
    return NULL;
}

static const char *check_instance(const struct kvr_pool *p, uint32_t i) {
    const struct core_instance *in = &p->instances[i];
    if (!in->worker && p->columns.ttl[i] != -INFINITY) return "pool: nobody is eligible";
    if (!in->worker) return in->predictions ? "pool: a prediction on no instance" : NULL;
    if (in->rank >= in->worker->ranks || in->worker->instances[in->rank] != i)
        return "pool: an instance isn't its worker's";
    for (int t = 0; t < KVR_TIERS; t++)
        if (in->slot[t] &&
            (p->tree.instance_of[in->slot[t]] != i || p->tree.slots[in->slot[t]].tier != t))
            return "pool: an instance's slot isn't its own";
    if (p->columns.prefill_tokens[i] != (double)in->prefill_tokens ||
        p->columns.decode_blocks[i] != (double)(in->live_blocks + in->output_blocks) ||
        p->columns.requests[i] != (double)(in->requests + in->n_legs) ||
        p->columns.booked[i] != (double)in->booked ||
        p->columns.decode_time[i] != in->learnt.decode.num ||
        p->columns.decode_tokens[i] != in->learnt.decode.den ||
        p->columns.full[i] != core_instance_full(p, in) ||
        p->columns.oldest_tokens[i] != core_instance_oldest(in) ||
        p->columns.free_at[i] != in->learnt.free_at ||
        p->columns.rate[i] != core_ratio_rate(in->learnt.prefill))
        return "pool: a column doesn't mirror its instance";
    const struct core_worker *w = in->worker;
    int64_t ttl = core_worker_ttl(p, w);
    double want = w->state != KVR_READY ? -INFINITY : ttl ? (double)ttl : INFINITY;
    if (p->columns.seen[i] != (double)w->seen || p->columns.ttl[i] != want ||
        p->columns.slow[i] != (w->speed > 0 ? 1 / w->speed : 0) ||
        p->columns.max_requests[i] != core_room_requests(p, w) ||
        p->columns.max_blocks[i] != core_room_blocks(p, w))
        return "pool: a column doesn't mirror its worker";
    double numbers[CORE_LEARNT_INSTANCE_NUMBERS];
    struct core_learnt_instance again;
    core_learnt_instance_numbers(&in->learnt, numbers);
    if (!core_learnt_instance_from(&again, numbers)) return "pool: an instance has learnt nonsense";
    const char *wrong = check_queue(p, i);
    return wrong ? wrong : check_loads(p, in);
}

static const char *check_worker(const struct kvr_pool *p, const struct core_worker *w) {
    if (w->open_until < 0 || w->failures > KVR_MAX_FAILURES || (w->open_until && !w->failures))
        return "pool: a circuit without a failure";
    if (core_worker_due(p, w) < p->workers_due) return "pool: a worker's end that nobody watches";
    if (w->n_labels > KVR_MAX_LABELS || !w->labels != !w->n_labels)
        return "pool: a worker's labels are wrong";
    for (uint32_t i = 0; i < w->n_labels; i++) {
        const struct core_label *l = &w->labels[i];
        if (l->n < 1 || l->n > KVR_MAX_LABEL ||
            l->hash != XXH3_64bits_withSeed(l->bytes, l->n, p->seed))
            return "pool: a label is wrong";
        if (i && core_label_compare(l - 1, l) >= 0) return "pool: labels out of order";
    }
    return NULL;
}

// Live requests by class; few classes, so one after the other.
static const char *check_classes(const struct kvr_pool *p) {
    for (size_t k = 0; k < p->queue.n_classes; k++) {
        const struct core_class *c = p->queue.classes[k];
        uint64_t live = 0;
        for (uint32_t i = 0; i < p->n_instances; i++)
            for (const struct core_request *r = p->instances[i].first; r; r = r->next)
                live += r->service_class == c;
        if (live != c->live) return "class: its live requests are lost";
    }
    return NULL;
}

const char *kvr_pool_validate(const struct kvr_pool *p) {
    const char *wrong = core_tree_validate(&p->tree);
    if (!wrong) wrong = core_live_validate(&p->live);
    if (!wrong) wrong = core_predictions_validate(p);
    if (!wrong) wrong = core_dropped_validate(p);
    if (!wrong) wrong = core_hash_map_validate(&p->requests);
    if (!wrong) wrong = core_deadlines_validate(&p->leases);
    if (!wrong) wrong = core_sessions_validate(p);
    if (!wrong) wrong = core_waiting_validate(p);
    if (!wrong) wrong = check_classes(p);
    if (!wrong) wrong = core_legs_validate(p);
    uint64_t requests = 0, live = 0, instances = 0;
    for (uint32_t i = 0; i < p->n_instances && !wrong; i++) {
        wrong = check_instance(p, i);
        requests += p->instances[i].requests;
        live += p->instances[i].live_blocks;
        instances += p->instances[i].worker != NULL;
    }
    double numbers[CORE_LEARNT_NUMBERS];
    struct core_learnt again;
    core_learnt_numbers(&p->learnt, numbers);
    if (!wrong && !core_learnt_from(&again, numbers)) wrong = "pool: it has learnt nonsense";
    if (wrong) return wrong;
    if (requests != p->requests.count) return "pool: the number of requests is wrong";
    if (live != p->live.blocks) return "pool: the number of live blocks is wrong";
    if (instances != p->live_instances) return "pool: the number of instances is wrong";
    size_t open_until = 0, limited = 0;
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct core_worker *w = p->workers[i];
        open_until += w->open_until != 0;
        limited += w->max_requests != 0;
        if ((wrong = check_worker(p, w))) return wrong;
    }
    if (limited != p->n_limited) return "pool: the number of limits is wrong";
    if (open_until != p->n_open) return "pool: the number of circuits is wrong";
    for (size_t i = 1; i < p->n_workers; i++) {
        const struct core_worker *a = p->workers[i - 1], *b = p->workers[i];
        size_t n = a->name_len < b->name_len ? a->name_len : b->name_len;
        int order = memcmp(a->name, b->name, n);
        if (order > 0 || (order == 0 && a->name_len >= b->name_len))
            return "pool: workers out of order";
    }
    return NULL;
}
