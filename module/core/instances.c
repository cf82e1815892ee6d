// SPDX-License-Identifier: Apache-2.0
// Workers and their instances: names in order, dense numbers, heartbeats.
#include <math.h>
#include <string.h>

#include "pool_impl.h"

const char *const kvr_state_names[] = {"ready", "draining", "expired"};

// ---- Names ---------------------------------------------------------------------------------------

static int compare(const struct worker *w, struct kvr_bytes name) {
    size_t n = w->name_len < name.n ? w->name_len : name.n;
    int order = memcmp(w->name, name.p, n);
    return order ? order : (w->name_len > name.n) - (w->name_len < name.n);
}

bool worker_before(const struct worker *a, const struct worker *b) {
    return compare(a, (struct kvr_bytes){b->name, b->name_len}) < 0;
}

// The worker's index, or -1; *place (may be NULL) is where it would stand.
long worker_find(const struct kvr_pool *p, struct kvr_bytes name, size_t *place) {
    size_t from = 0, to = p->n_workers;
    while (from < to) {
        size_t mid = (from + to) / 2;
        int order = compare(p->workers[mid], name);
        if (order == 0) return (long)mid;
        if (order < 0)
            from = mid + 1;
        else
            to = mid;
    }
    if (place) *place = from;
    return -1;
}

uint32_t instance_find(const struct kvr_pool *p, struct kvr_bytes worker, uint32_t rank) {
    long i = worker_find(p, worker, NULL);
    return i < 0 || rank >= p->workers[i]->ranks ? NO_INSTANCE : p->workers[i]->instances[rank];
}

// ---- Time ----------------------------------------------------------------------------------------

int64_t worker_ttl(const struct kvr_pool *p, const struct worker *w) {
    return w->ttl >= 0 ? w->ttl : p->options.worker_ttl;
}

static int64_t expires_at(const struct kvr_pool *p, const struct worker *w) {
    return (w->seen > p->renewed ? w->seen : p->renewed) + worker_ttl(p, w);
}

bool worker_expired(const struct kvr_pool *p, const struct worker *w, int64_t now) {
    return worker_ttl(p, w) && now >= expires_at(p, w);
}

bool kvr_due_worker(struct kvr_pool *p, int64_t now, struct kvr_bytes *name) {
    if (!p->options.worker_grace) return false;
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct worker *w = p->workers[i];
        if (!worker_ttl(p, w) || now < expires_at(p, w) + p->options.worker_grace) continue;
        *name = (struct kvr_bytes){w->name, w->name_len};
        return true;
    }
    return false;
}

// ---- Instances -----------------------------------------------------------------------------------

static const size_t u32_columns = 4 + KVR_TIERS, double_columns = 19;

static size_t columns_bytes(size_t cap) {
    return cap * (u32_columns * sizeof(uint32_t) + double_columns * sizeof(double));
}

static struct columns columns_at(void *memory, size_t cap) {
    double *d = memory;
    uint32_t *u = (uint32_t *)(d + double_columns * cap);
    struct columns c = {.credit = d,
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
                        .reach = u,
                        .live = u + cap,
                        .expected = u + 2 * cap,
                        .behind = u + 3 * cap};
    for (size_t t = 0; t < KVR_TIERS; t++)
        c.by_tier[t] = u + (4 + t) * cap;
    return c;
}

void columns_free(struct kvr_pool *p) {
    mem_free(&p->mem, p->columns.credit, columns_bytes(p->cap_instances));
}

// The share of its cache that is in use, 0 to 1; 0 while nobody has said how large it is.
double instance_full(const struct kvr_pool *p, const struct instance *in) {
    if (!in->worker || !in->worker->capacity) return 0;
    double blocks = (double)(p->tree.slots[in->slot[KVR_DEVICE]].blocks + in->predicted);
    double share = blocks / (double)in->worker->capacity;
    return share < 1 ? share : 1;
}

double instance_oldest(const struct instance *in) {
    return in->queue_first ? (double)(in->queue_first->isl - in->queue_first->cached) : 0;
}

void instance_refresh(struct kvr_pool *p, uint32_t i) {
    const struct instance *in = &p->instances[i];
    p->columns.prefill_tokens[i] = (double)in->prefill_tokens;
    p->columns.decode_blocks[i] = (double)(in->live_blocks + in->output_blocks);
    p->columns.requests[i] = (double)in->requests;
    p->columns.booked[i] = (double)in->booked;
    p->columns.decode_time[i] = in->learnt.decode.num;
    p->columns.decode_tokens[i] = in->learnt.decode.den;
    p->columns.full[i] = instance_full(p, in);
    p->columns.oldest_tokens[i] = instance_oldest(in);
    p->columns.free_at[i] = in->learnt.free_at;
    p->columns.rate[i] = ratio_rate(in->learnt.prefill);
}

void worker_refresh(struct kvr_pool *p, const struct worker *w) {
    int64_t ttl = worker_ttl(p, w);
    for (uint32_t r = 0; r < w->ranks; r++) {
        p->columns.seen[w->instances[r]] = (double)w->seen;
        p->columns.slow[w->instances[r]] = w->speed > 0 ? 1 / w->speed : 0;
        p->columns.ttl[w->instances[r]] = w->state != KVR_READY ? -INFINITY
                                          : ttl                 ? (double)ttl
                                                                : INFINITY;
    }
}

// Makes room for n more instances. 0, or -1 without memory.
static int reserve(struct kvr_pool *p, size_t n) {
    size_t need = p->n_instances + n;
    if (need <= p->cap_instances) return 0;
    size_t cap = p->cap_instances * 2 > need ? p->cap_instances * 2 : need;
    cap = (cap + LANES - 1) / LANES * LANES;
    void *columns = mem_calloc(&p->mem, columns_bytes(cap));
    if (!columns) return -1;
    struct instance *instances = mem_resize(
        &p->mem, p->instances, p->cap_instances * sizeof *instances, cap * sizeof *instances);
    if (!instances) {
        mem_free(&p->mem, columns, columns_bytes(cap));
        return -1;
    }
    columns_free(p);
    p->instances = instances;
    p->columns = columns_at(columns, cap);
    p->cap_instances = cap;
    for (uint32_t i = 0; i < p->n_instances; i++) {
        instance_refresh(p, i);
        p->columns.ttl[i] = -INFINITY;
    }
    for (size_t i = 0; i < p->n_workers; i++)
        worker_refresh(p, p->workers[i]);
    return 0;
}

// Reserved before.
static uint32_t instance_new(struct kvr_pool *p, struct worker *w, uint32_t rank) {
    uint32_t i = p->n_instances;
    if (p->free_instance) {
        i = p->free_instance - 1;
        p->free_instance = p->instances[i].next_free;
    } else {
        p->n_instances++;
    }
    p->live_instances++;
    p->instances[i] = (struct instance){.worker = w, .rank = rank, .generation = ++p->generations};
    instance_refresh(p, i);
    return i;
}

static void instance_drop(struct kvr_pool *p, uint32_t i) {
    struct instance *in = &p->instances[i];
    for (int t = 0; t < KVR_TIERS; t++)
        if (in->slot[t]) tree_drop(&p->tree, in->slot[t]);
    while (in->first)
        request_end(p, in->first);
    predictions_drop(p, i);
    p->n_sessions -= in->sessions;
    p->stale_sessions += in->sessions;
    *in = (struct instance){.next_free = p->free_instance};
    p->columns.ttl[i] = -INFINITY;
    p->free_instance = i + 1;
    p->live_instances--;
}

// ---- Workers -------------------------------------------------------------------------------------

void worker_free(struct kvr_pool *p, struct worker *w) {
    mem_free(&p->mem, w->addr, w->addr_len);
    labels_free(p, w->labels, w->n_labels);
    mem_free(&p->mem, w->instances, w->ranks * sizeof *w->instances);
    mem_free(&p->mem, w, sizeof *w + w->name_len);
}

static enum kvr_err check(const struct kvr_worker_set *w) {
    if ((w->set & KVR_SET_ADDR && w->addr.n > KVR_MAX_ADDR) ||
        (w->set & KVR_SET_RANKS && (w->ranks < 1 || w->ranks > KVR_MAX_RANKS)) ||
        (w->set & KVR_SET_CAPACITY && w->capacity > MAX_CAPACITY) ||
        (w->set & KVR_SET_STATE && w->state != KVR_READY && w->state != KVR_DRAINING) ||
        (w->set & KVR_SET_TTL && (w->ttl < 0 || w->ttl > KVR_MAX_MS)) ||
        (w->set & KVR_SET_SPEED && !(w->speed >= 0 && w->speed <= KVR_MAX_SPEED)))
        return KVR_RANGE;
    return KVR_OK;
}

// What an update needs, all of it before anything changes.
struct update {
    char *addr;
    uint32_t *instances;
    struct label *labels;
    uint32_t n_labels;
};

static void update_free(struct kvr_pool *p, const struct update *u, uint32_t ranks, size_t addr) {
    mem_free(&p->mem, u->instances, u->instances ? ranks * sizeof *u->instances : 0);
    mem_free(&p->mem, u->addr, u->addr ? addr : 0);
    labels_free(p, u->labels, u->n_labels);
}

static enum kvr_err prepare(struct kvr_pool *p, uint32_t ranks_now, uint32_t ranks,
                            const struct kvr_worker_set *s, struct update *u) {
    *u = (struct update){0};
    if (ranks > ranks_now) {
        uint32_t more = ranks - ranks_now;
        if (p->live_instances + more > KVR_MAX_INSTANCES) return KVR_LIMIT;
        if (reserve(p, more)) return KVR_NOMEM;
    }
    if (s->set & KVR_SET_LABELS) {
        enum kvr_err err = labels_make(p, s->labels, s->n_labels, &u->labels, &u->n_labels);
        if (err) return err;
    }
    if ((ranks != ranks_now &&
         !(u->instances = mem_alloc(&p->mem, ranks * sizeof *u->instances))) ||
        (s->set & KVR_SET_ADDR && s->addr.n && !(u->addr = mem_alloc(&p->mem, s->addr.n)))) {
        update_free(p, u, ranks, s->addr.n);
        return KVR_NOMEM;
    }
    return KVR_OK;
}

static void apply(struct kvr_pool *p, struct worker *w, uint32_t ranks, int64_t seen,
                  const struct kvr_worker_set *s, const struct update *u) {
    if (ranks != w->ranks) {
        for (uint32_t r = 0; r < ranks; r++)
            u->instances[r] = r < w->ranks ? w->instances[r] : instance_new(p, w, r);
        for (uint32_t r = ranks; r < w->ranks; r++)
            instance_drop(p, w->instances[r]);
        mem_free(&p->mem, w->instances, w->ranks * sizeof *w->instances);
        w->instances = u->instances;
        w->ranks = ranks;
    }
    if (s->set & KVR_SET_ADDR) {
        mem_free(&p->mem, w->addr, w->addr_len);
        w->addr = u->addr;
        w->addr_len = (uint32_t)s->addr.n;
        if (u->addr) memcpy(u->addr, s->addr.p, s->addr.n);
    }
    if (s->set & KVR_SET_CAPACITY) {
        w->capacity = s->capacity;
        for (uint32_t r = 0; r < w->ranks; r++) {
            predictions_cap(p, w->instances[r]);
            instance_refresh(p, w->instances[r]);
        }
    }
    if (s->set & KVR_SET_STATE) w->state = s->state;
    if (s->set & KVR_SET_TTL) w->ttl = s->ttl;
    if (s->set & KVR_SET_SPEED) w->speed = s->speed;
    if (s->set & KVR_SET_LABELS) {
        labels_free(p, w->labels, w->n_labels);
        w->labels = u->labels;
        w->n_labels = u->n_labels;
    }
    w->seen = seen;
    worker_refresh(p, w);
    p->version++;
    tree_sweep(&p->tree, SWEEP_AT_DROP);
}

enum kvr_err kvr_worker_set(struct kvr_pool *p, int64_t seen, struct kvr_bytes name,
                            const struct kvr_worker_set *s, int *created) {
    if (name.n < 1 || name.n > KVR_MAX_NAME || seen < 0 || seen > KVR_MAX_MS) return KVR_RANGE;
    enum kvr_err err = check(s);
    if (err) return err;
    size_t place = 0;
    long i = worker_find(p, name, &place);
    *created = i < 0;
    struct update u;
    if (i >= 0) {
        struct worker *w = p->workers[i];
        uint32_t ranks = s->set & KVR_SET_RANKS ? s->ranks : w->ranks;
        if ((err = prepare(p, w->ranks, ranks, s, &u))) return err;
        apply(p, w, ranks, seen, s, &u);
        return KVR_OK;
    }
    uint32_t ranks = s->set & KVR_SET_RANKS ? s->ranks : 1;
    if ((err = prepare(p, 0, ranks, s, &u))) return err;
    struct worker *w = mem_calloc(&p->mem, sizeof *w + name.n);
    if (!w ||
        mem_grow(&p->mem, &p->workers, &p->cap_workers, p->n_workers + 1, sizeof *p->workers)) {
        mem_free(&p->mem, w, sizeof *w + name.n);
        update_free(p, &u, ranks, s->addr.n);
        return KVR_NOMEM;
    }
    w->name_len = (uint32_t)name.n;
    w->ttl = -1;
    memcpy(w->name, name.p, name.n);
    memmove(&p->workers[place + 1], &p->workers[place],
            (p->n_workers - place) * sizeof *p->workers);
    p->workers[place] = w;
    p->n_workers++;
    apply(p, w, ranks, seen, s, &u);
    return KVR_OK;
}

enum kvr_err kvr_worker_del(struct kvr_pool *p, struct kvr_bytes name) {
    long i = worker_find(p, name, NULL);
    if (i < 0) return KVR_NOWORKER;
    struct worker *w = p->workers[i];
    for (uint32_t r = 0; r < w->ranks; r++)
        instance_drop(p, w->instances[r]);
    circuit_set(p, w, 0, 0);
    worker_free(p, w);
    p->n_workers--;
    memmove(&p->workers[i], &p->workers[i + 1], (p->n_workers - (size_t)i) * sizeof *p->workers);
    p->version++;
    tree_sweep(&p->tree, SWEEP_AT_DROP);
    return KVR_OK;
}

size_t kvr_worker_count(const struct kvr_pool *p) {
    return p->n_workers;
}

long kvr_worker_find(const struct kvr_pool *p, struct kvr_bytes name) {
    return worker_find(p, name, NULL);
}

void kvr_worker_at(const struct kvr_pool *p, int64_t now, size_t i, struct kvr_worker_info *out) {
    const struct worker *w = p->workers[i];
    int64_t left = expires_at(p, w) - now;
    *out = (struct kvr_worker_info){
        .name = {w->name, w->name_len},
        .addr = {w->addr, w->addr_len},
        .state = worker_expired(p, w, now) ? KVR_EXPIRED : w->state,
        .capacity = w->capacity,
        .ttl_left = !worker_ttl(p, w) ? -1
                    : left > 0        ? left
                                      : 0,
        .ranks = w->ranks,
        .circuit = circuit_of(w, now),
        .failures = w->failures,
        .speed = w->speed,
        .n_labels = w->n_labels,
    };
}

struct kvr_bytes kvr_worker_label(const struct kvr_pool *p, size_t i, size_t k) {
    const struct label *l = &p->workers[i]->labels[k];
    return (struct kvr_bytes){l->bytes, l->n};
}

void kvr_worker_rank(const struct kvr_pool *p, size_t i, uint32_t rank, struct kvr_rank_info *out) {
    const struct instance *in = &p->instances[p->workers[i]->instances[rank]];
    *out = (struct kvr_rank_info){.epoch = in->epoch,
                                  .seq = in->seq,
                                  .requests = in->requests,
                                  .prefill_tokens = in->prefill_tokens,
                                  .decode_blocks = in->live_blocks + in->output_blocks,
                                  .ttft = ratio_mean(in->learnt.first, -1),
                                  .tpot = ratio_mean(in->learnt.decode, -1)};
    for (int t = 0; t < KVR_TIERS; t++)
        out->blocks[t] = p->tree.slots[in->slot[t]].blocks;
}
