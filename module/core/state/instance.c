// SPDX-License-Identifier: Apache-2.0
#include "instance.h"

#include <kvroute/hash.h>
#include <math.h>
#include <string.h>

#include "prefill_queue.h"
#include "room.h"
#include "worker.h"

static const size_t u32_columns = 5 + KVR_TIERS, double_columns = 25;

static size_t columns_bytes(size_t cap) {
    return cap * (u32_columns * sizeof(uint32_t) + double_columns * sizeof(double));
}

static struct core_columns columns_at(void *memory, size_t cap) {
    double *d = memory;
    uint32_t *u = (uint32_t *)(d + double_columns * cap);
    struct core_columns c = {.credit = d,
                             .live_prefix = d + cap,
                             .cost = d + 2 * cap,
                             .prefill_tokens = d + 3 * cap,
                             .decode_blocks = d + 4 * cap,
                             .requests = d + 5 * cap,
                             .booked = d + 6 * cap,
                             .seen = d + 7 * cap,
                             .ttl = d + 8 * cap,
                             .rank = d + 9 * cap,
                             .pace = d + 10 * cap,
                             .decode_time = d + 11 * cap,
                             .decode_tokens = d + 12 * cap,
                             .full = d + 13 * cap,
                             .slow = d + 14 * cap,
                             .queue = d + 15 * cap,
                             .oldest_tokens = d + 16 * cap,
                             .free_at = d + 17 * cap,
                             .rate = d + 18 * cap,
                             .max_requests = d + 19 * cap,
                             .max_blocks = d + 20 * cap,
                             .prefill_cost = d + 21 * cap,
                             .decode_cost = d + 22 * cap,
                             .begun = d + 23 * cap,
                             .own_cost = d + 24 * cap,
                             .reach = u,
                             .live = u + cap,
                             .expected = u + 2 * cap,
                             .behind = u + 3 * cap,
                             .prefill_of = u + 4 * cap};
    for (size_t t = 0; t < KVR_TIERS; t++)
        c.by_tier[t] = u + (5 + t) * cap;
    return c;
}

void core_columns_free(struct kvr_pool *p) {
    core_mem_free(&p->mem, p->columns.credit, columns_bytes(p->cap_instances));
}

uint64_t core_instance_predicted(const struct core_instance *in) {
    return in->predictions ? in->predictions->blocks : 0;
}

double core_instance_full(const struct kvr_pool *p, const struct core_instance *in) {
    if (!in->worker || !in->worker->capacity) return 0;
    double blocks =
        (double)(p->tree.slots[in->slot[KVR_DEVICE]].blocks + core_instance_predicted(in));
    double share = blocks / (double)in->worker->capacity;
    return share < 1 ? share : 1;
}

uint64_t core_instance_requests(const struct core_instance *in) {
    return in->requests + in->n_legs;
}

double core_instance_oldest(const struct core_instance *in) {
    return in->queue_first ? (double)core_prefill_tokens(in->queue_first) : 0;
}

void core_instance_refresh(struct kvr_pool *p, uint32_t i) {
    const struct core_instance *in = &p->instances[i];
    p->columns.prefill_tokens[i] = (double)in->prefill_tokens;
    p->columns.decode_blocks[i] = (double)(in->live_blocks + in->output_blocks);
    p->columns.requests[i] = (double)core_instance_requests(in);
    p->columns.booked[i] = (double)in->booked;
    p->columns.decode_time[i] = in->learnt.decode.num;
    p->columns.decode_tokens[i] = in->learnt.decode.den;
    p->columns.full[i] = core_instance_full(p, in);
    p->columns.oldest_tokens[i] = core_instance_oldest(in);
    p->columns.free_at[i] = in->learnt.free_at;
    p->columns.rate[i] = core_ratio_rate(in->learnt.prefill);
}

void core_worker_refresh(struct kvr_pool *p, const struct core_worker *w) {
    int64_t ttl = core_worker_ttl(p, w), due = core_worker_due(p, w);
    if (due < p->workers_due) p->workers_due = due;
    for (uint32_t r = 0; r < w->ranks; r++) {
        p->columns.seen[w->instances[r]] = (double)w->seen;
        p->columns.slow[w->instances[r]] = w->speed > 0 ? 1 / w->speed : 0;
        p->columns.max_requests[w->instances[r]] = core_room_requests(p, w);
        p->columns.max_blocks[w->instances[r]] = core_room_blocks(p, w);
        p->columns.ttl[w->instances[r]] = w->state != KVR_READY ? -INFINITY
                                          : ttl                 ? (double)ttl
                                                                : INFINITY;
    }
}

int core_instance_reserve(struct kvr_pool *p, size_t n) {
    size_t need = p->n_instances + n;
    if (need <= p->cap_instances) return 0;
    size_t cap = p->cap_instances * 2 > need ? p->cap_instances * 2 : need;
    cap = (cap + CORE_LANES - 1) / CORE_LANES * CORE_LANES;
    void *columns = core_mem_calloc(&p->mem, columns_bytes(cap));
    if (!columns) return -1;
    struct core_instance *instances = core_mem_resize(
        &p->mem, p->instances, p->cap_instances * sizeof *instances, cap * sizeof *instances);
    if (!instances) {
        core_mem_free(&p->mem, columns, columns_bytes(cap));
        return -1;
    }
    core_columns_free(p);
    p->instances = instances;
    p->columns = columns_at(columns, cap);
    p->cap_instances = cap;
    for (uint32_t i = 0; i < p->n_instances; i++) {
        core_instance_refresh(p, i);
        p->columns.ttl[i] = -INFINITY;
    }
    for (size_t i = 0; i < p->n_workers; i++)
        core_worker_refresh(p, p->workers[i]);
    return 0;
}

uint32_t core_instance_new(struct kvr_pool *p, struct core_worker *w, uint32_t rank) {
    uint32_t i = p->n_instances;
    if (p->free_instance) {
        i = p->free_instance - 1;
        p->free_instance = p->instances[i].next_free;
    } else {
        p->n_instances++;
    }
    p->live_instances++;
    p->instances[i] =
        (struct core_instance){.worker = w, .rank = rank, .generation = ++p->generations};
    core_instance_refresh(p, i);
    return i;
}

void core_instance_free(struct kvr_pool *p, uint32_t i) {
    p->instances[i] = (struct core_instance){.next_free = p->free_instance};
    p->free_instance = i + 1;
}

// Who a slot is to the outside: worker, rank and tier, as the digest has them.
static uint64_t holder_of(const struct core_instance *in, int tier) {
    const uint64_t numbers[] = {in->rank, (uint64_t)tier}, name_len = in->worker->name_len;
    char bytes[1 + sizeof name_len + KVR_MAX_NAME + sizeof numbers] = "h", *at = bytes + 1;
    memcpy(at, &name_len, sizeof name_len);
    at += sizeof name_len;
    memcpy(at, in->worker->name, name_len);
    at += name_len;
    memcpy(at, numbers, sizeof numbers);
    return XXH3_64bits_withSeed(bytes, (size_t)(at - bytes) + sizeof numbers, 3);
}

uint32_t core_instance_new_slot(struct kvr_pool *p, const struct core_instance *in, int tier) {
    return core_tree_new_slot(&p->tree, (uint32_t)(in - p->instances), tier, holder_of(in, tier));
}

bool core_request_live(const struct kvr_pool *p, const struct core_request *r) {
    return p->instances[r->instance].worker != NULL;
}
