// SPDX-License-Identifier: Apache-2.0
// Workers as they are set, deleted, reported and shown.
#include <math.h>
#include <string.h>

#include "module/core/state/instance.h"
#include "module/core/state/label.h"
#include "module/core/state/ledger.h"
#include "module/core/state/prediction.h"
#include "module/core/state/queue_round.h"
#include "module/core/state/room.h"
#include "module/core/state/waiting.h"
#include "module/core/state/worker.h"
#include "module/core/state/worker_circuit.h"

const char *const kvr_state_names[] = {"ready", "draining", "expired"};
const char *const kvr_role_names[] = {"both", "prefill", "decode"};

// ---- Time ----------------------------------------------------------------------------------------

bool kvr_due_worker(struct kvr_pool *p, int64_t now, struct kvr_bytes *name) {
    if (now < p->workers_due) return false;
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct core_worker *w = p->workers[i];
        int64_t due = core_worker_due(p, w);
        if (due < first) first = due;
        if (now < due) continue;
        *name = (struct kvr_bytes){w->name, w->name_len};
        return true;
    }
    p->workers_due = first;
    return false;
}

static void instance_drop(struct kvr_pool *p, uint32_t i) {
    struct core_instance *in = &p->instances[i];
    for (int t = 0; t < KVR_TIERS; t++)
        if (in->slot[t]) core_tree_drop(&p->tree, in->slot[t]);
    memset(in->slot, 0, sizeof in->slot);
    core_predictions_drop(p, i);
    p->n_sessions -= in->sessions;
    p->stale_sessions += in->sessions;
    in->sessions = 0;
    if (in->held_for) core_waiting_let_go(p, in->held_for);
    core_instance_retire(p, i);
}

static enum kvr_err check(const struct kvr_worker_settings *w) {
    if ((w->set & KVR_SET_ADDR && w->addr.n > KVR_MAX_ADDR) ||
        (w->set & KVR_SET_RANKS && (w->ranks < 1 || w->ranks > KVR_MAX_RANKS)) ||
        (w->set & KVR_SET_CAPACITY && w->capacity > CORE_MAX_CAPACITY) ||
        (w->set & KVR_SET_STATE && w->state != KVR_READY && w->state != KVR_DRAINING) ||
        (w->set & KVR_SET_TTL && (w->ttl < 0 || w->ttl > KVR_MAX_MS)) ||
        (w->set & KVR_SET_SPEED && !(w->speed >= 0 && w->speed <= KVR_MAX_SPEED)) ||
        (w->set & KVR_SET_MAX_REQUESTS && w->max_requests > CORE_MAX_CAPACITY) ||
        (w->set & KVR_SET_ROLE && w->role > KVR_ROLE_DECODE) ||
        (w->set & KVR_SET_DRAIN && (w->drain < 0 || w->drain > KVR_MAX_MS)))
        return KVR_RANGE;
    return KVR_OK;
}

// What an update needs, all of it before anything changes.
struct worker_update {
    char *addr;
    uint32_t *instances;
    struct core_label *labels;
    uint32_t n_labels;
};

static void update_free(struct kvr_pool *p, const struct worker_update *u, uint32_t ranks,
                        size_t addr) {
    core_mem_free(&p->mem, u->instances, u->instances ? ranks * sizeof *u->instances : 0);
    core_mem_free(&p->mem, u->addr, u->addr ? addr : 0);
    core_labels_free(p, u->labels, u->n_labels);
}

static enum kvr_err prepare(struct kvr_pool *p, uint32_t ranks_now, uint32_t ranks,
                            const struct kvr_worker_settings *s, struct worker_update *u) {
    *u = (struct worker_update){0};
    if (ranks > ranks_now) {
        uint32_t more = ranks - ranks_now;
        if (p->live_instances + more > KVR_MAX_INSTANCES) return KVR_LIMIT;
        if (core_instance_reserve(p, more)) return KVR_NOMEM;
    }
    if (s->set & KVR_SET_LABELS && core_mem_grow(&p->mem, &p->pair_links, &p->cap_pair_links,
                                                 p->n_labels + s->n_labels, sizeof *p->pair_links))
        return KVR_NOMEM;
    if (s->set & KVR_SET_LABELS) {
        enum kvr_err err = core_labels_make(p, s->labels, s->n_labels, &u->labels, &u->n_labels);
        if (err) return err;
    }
    if ((ranks != ranks_now &&
         !(u->instances = core_mem_alloc(&p->mem, ranks * sizeof *u->instances))) ||
        (s->set & KVR_SET_ADDR && s->addr.n && !(u->addr = core_mem_alloc(&p->mem, s->addr.n)))) {
        update_free(p, u, ranks, s->addr.n);
        return KVR_NOMEM;
    }
    return KVR_OK;
}

static void apply(struct kvr_pool *p, struct core_worker *w, uint32_t ranks, int64_t seen,
                  const struct kvr_worker_settings *s, const struct worker_update *u) {
    if (ranks != w->ranks) {
        for (uint32_t r = 0; r < ranks; r++)
            u->instances[r] = r < w->ranks ? w->instances[r] : core_instance_new(p, w, r);
        for (uint32_t r = ranks; r < w->ranks; r++)
            instance_drop(p, w->instances[r]);
        core_mem_free(&p->mem, w->instances, w->ranks * sizeof *w->instances);
        w->instances = u->instances;
        w->ranks = ranks;
    }
    if (s->set & KVR_SET_ADDR) {
        core_mem_free(&p->mem, w->addr, w->addr_len);
        w->addr = u->addr;
        w->addr_len = (uint32_t)s->addr.n;
        if (u->addr) memcpy(u->addr, s->addr.p, s->addr.n);
    }
    if (s->set & KVR_SET_CAPACITY) {
        w->capacity = s->capacity;
        for (uint32_t r = 0; r < w->ranks; r++) {
            core_predictions_cap(p, w->instances[r]);
            core_instance_refresh(p, w->instances[r]);
        }
    }
    if (s->set & KVR_SET_STATE) {
        w->state = s->state;
        w->drain_until = 0;
    }
    if (s->set & KVR_SET_DRAIN && w->state == KVR_DRAINING) w->drain_until = seen + s->drain;
    if (s->set & KVR_SET_TTL) w->ttl = s->ttl;
    if (s->set & KVR_SET_SPEED) w->speed = s->speed;
    if (s->set & KVR_SET_ROLE) {
        p->n_prefill += s->role == KVR_ROLE_PREFILL;
        p->n_prefill -= w->role == KVR_ROLE_PREFILL;
        w->role = s->role;
    }
    if (s->set & KVR_SET_MAX_REQUESTS) {
        p->n_limited += !!s->max_requests;
        p->n_limited -= !!w->max_requests;
        w->max_requests = s->max_requests;
    }
    if (s->set & KVR_SET_LABELS) {
        p->n_labels += u->n_labels - (size_t)w->n_labels;
        core_labels_free(p, w->labels, w->n_labels);
        w->labels = u->labels;
        w->n_labels = u->n_labels;
    }
    w->seen = seen;
    core_worker_refresh(p, w);
    for (uint32_t r = 0; r < w->ranks; r++)
        core_room_track(p, w->instances[r], seen);
    core_queue_gained_all(p);
    p->version++;
    kvr_pool_sweep(p, CORE_SWEEP_AT_DROP);
}

enum kvr_err kvr_worker_set(struct kvr_pool *p, int64_t seen, struct kvr_bytes name,
                            const struct kvr_worker_settings *s, int *created) {
    if (name.n < 1 || name.n > KVR_MAX_NAME || seen < 0 || seen > KVR_MAX_MS) return KVR_RANGE;
    enum kvr_err err = check(s);
    if (err) return err;
    size_t place = 0;
    long i = core_worker_find(p, name, &place);
    *created = i < 0;
    struct worker_update u;
    if (i >= 0) {
        struct core_worker *w = p->workers[i];
        uint32_t ranks = s->set & KVR_SET_RANKS ? s->ranks : w->ranks;
        if ((err = prepare(p, w->ranks, ranks, s, &u))) return err;
        apply(p, w, ranks, seen, s, &u);
        return KVR_OK;
    }
    uint32_t ranks = s->set & KVR_SET_RANKS ? s->ranks : 1;
    if ((err = prepare(p, 0, ranks, s, &u))) return err;
    struct core_worker *w = core_mem_calloc(&p->mem, sizeof *w + name.n);
    if (!w || core_mem_grow(&p->mem, &p->workers, &p->cap_workers, p->n_workers + 1,
                            sizeof *p->workers)) {
        core_mem_free(&p->mem, w, sizeof *w + name.n);
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
    long i = core_worker_find(p, name, NULL);
    if (i < 0) return KVR_NOWORKER;
    struct core_worker *w = p->workers[i];
    for (uint32_t r = 0; r < w->ranks; r++)
        instance_drop(p, w->instances[r]);
    core_circuit_set(p, w, 0, 0);
    p->n_limited -= !!w->max_requests;
    p->n_prefill -= w->role == KVR_ROLE_PREFILL;
    p->n_labels -= w->n_labels;
    core_queue_gained_all(p);
    core_worker_free(p, w);
    p->n_workers--;
    memmove(&p->workers[i], &p->workers[i + 1], (p->n_workers - (size_t)i) * sizeof *p->workers);
    p->version++;
    kvr_pool_sweep(p, CORE_SWEEP_AT_DROP);
    return KVR_OK;
}

size_t kvr_worker_count(const struct kvr_pool *p) {
    return p->n_workers;
}

long kvr_worker_find(const struct kvr_pool *p, struct kvr_bytes name) {
    return core_worker_find(p, name, NULL);
}

void kvr_worker_at(const struct kvr_pool *p, int64_t now, size_t i, struct kvr_worker_info *out) {
    const struct core_worker *w = p->workers[i];
    int64_t left = core_worker_expiry(p, w) - now;
    *out = (struct kvr_worker_info){
        .name = {w->name, w->name_len},
        .addr = {w->addr, w->addr_len},
        .state = core_worker_expired(p, w, now) ? KVR_EXPIRED : w->state,
        .capacity = w->capacity,
        .ttl_left = !core_worker_ttl(p, w) ? -1
                    : left > 0             ? left
                                           : 0,
        .ranks = w->ranks,
        .circuit = core_circuit_of(w, now),
        .failures = w->failures,
        .speed = w->speed,
        .n_labels = w->n_labels,
        .max_requests = w->max_requests,
        .role = w->role,
        .drain_left = !w->drain_until        ? -1
                      : w->drain_until > now ? w->drain_until - now
                                             : 0,
    };
}

struct kvr_bytes kvr_worker_label(const struct kvr_pool *p, size_t i, size_t k) {
    const struct core_label *l = &p->workers[i]->labels[k];
    return (struct kvr_bytes){l->bytes, l->n};
}

void kvr_worker_rank(const struct kvr_pool *p, size_t i, uint32_t rank, struct kvr_rank_info *out) {
    const struct core_instance *in = &p->instances[p->workers[i]->instances[rank]];
    *out = (struct kvr_rank_info){.epoch = in->epoch,
                                  .seq = in->seq,
                                  .requests = core_instance_requests(in),
                                  .prefill_tokens = in->prefill_tokens,
                                  .decode_blocks = in->live_blocks + in->output_blocks,
                                  .ttft = core_ratio_mean(in->learnt.first, -1),
                                  .tpot = core_ratio_mean(in->learnt.decode, -1)};
    for (int t = 0; t < KVR_TIERS; t++)
        out->blocks[t] = p->tree.slots[in->slot[t]].blocks;
}

enum kvr_err kvr_report(struct kvr_pool *p, int64_t at, struct kvr_bytes name, bool ok,
                        enum kvr_circuit *circuit, bool *changed) {
    if (at < 0 || at > KVR_MAX_MS) return KVR_RANGE;
    long i = core_worker_find(p, name, NULL);
    if (i < 0) return KVR_NOWORKER;
    struct core_worker *w = p->workers[i];
    uint64_t failures = w->failures, max = p->options.failures;
    int64_t open_until = w->open_until;
    if (ok) {
        failures = 0;
        open_until = 0;
    } else if (max) {
        failures += failures < KVR_MAX_FAILURES;
        if (open_until || failures >= max) open_until = at + p->options.open_time;
    }
    *changed = failures != w->failures || open_until != w->open_until;
    if (*changed) {
        // Whoever answers again may be a new process, with nothing in its cache.
        for (uint32_t r = 0; open_until && r < w->ranks; r++) {
            core_predictions_drop(p, w->instances[r]);
            core_instance_refresh(p, w->instances[r]);
        }
        core_predictions_sweep(p, CORE_SWEEP_AT_DROP);
        core_circuit_set(p, w, failures, open_until);
        core_queue_gained_all(p);
        p->version++;
    }
    *circuit = core_circuit_of(w, at);
    return KVR_OK;
}
