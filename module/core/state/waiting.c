// SPDX-License-Identifier: Apache-2.0
#include "waiting.h"

#include <kvroute/hash.h>
#include <string.h>

#include "fair_order.h"
#include "flow.h"
#include "queue_round.h"
#include "service_class.h"

static uint64_t hash_of(const struct kvr_pool *p, struct kvr_bytes id) {
    return XXH3_64bits_withSeed(id.p, id.n, p->seed + 3);
}

struct core_waiting *core_waiting_find(const struct kvr_pool *p, struct kvr_bytes id) {
    struct core_hash_map_item *i = core_hash_map_first(&p->queue.ids, hash_of(p, id));
    for (; i; i = core_hash_map_next(i)) {
        struct core_waiting *w = (struct core_waiting *)i;
        if (w->id_len == id.n && !memcmp(w->id, id.p, id.n)) return w;
    }
    return NULL;
}

// ---- The query, in one piece of memory -----------------------------------------------------------
// Behind the struct: the hashes, the lists of names, then all bytes.

static size_t bytes_in(const struct kvr_bytes *names, size_t n) {
    size_t bytes = 0;
    for (size_t i = 0; i < n; i++)
        bytes += names[i].n;
    return bytes;
}

static size_t size_of(const struct kvr_query *q, size_t id) {
    size_t names = q->n_among + q->n_exclude + q->n_with + q->n_without;
    return sizeof(struct core_waiting) + q->n * sizeof *q->hashes +
           names * sizeof(struct kvr_bytes) + bytes_in(q->among, q->n_among) +
           bytes_in(q->exclude, q->n_exclude) + bytes_in(q->with, q->n_with) +
           bytes_in(q->without, q->n_without) + q->session.n + id;
}

static const char *copy_bytes(char **at, const char *bytes, size_t n) {
    char *to = *at;
    if (n) memcpy(to, bytes, n);
    *at += n;
    return to;
}

static const struct kvr_bytes *copy_names(struct kvr_bytes **list, char **at,
                                          const struct kvr_bytes *names, size_t n) {
    struct kvr_bytes *to = *list;
    for (size_t i = 0; i < n; i++)
        to[i] = (struct kvr_bytes){copy_bytes(at, names[i].p, names[i].n), names[i].n};
    *list += n;
    return to;
}

static void copy_query(struct core_waiting *w, const struct kvr_query *q, struct kvr_bytes id) {
    uint64_t *hashes = (uint64_t *)(w + 1);
    struct kvr_bytes *list = (struct kvr_bytes *)(hashes + q->n);
    char *at = (char *)(list + q->n_among + q->n_exclude + q->n_with + q->n_without);
    w->query = *q;
    if (q->n) memcpy(hashes, q->hashes, q->n * sizeof *hashes);
    w->query.hashes = hashes;
    w->query.among = copy_names(&list, &at, q->among, q->n_among);
    w->query.exclude = copy_names(&list, &at, q->exclude, q->n_exclude);
    w->query.with = copy_names(&list, &at, q->with, q->n_with);
    w->query.without = copy_names(&list, &at, q->without, q->n_without);
    w->query.session.p = copy_bytes(&at, q->session.p, q->session.n);
    w->id = copy_bytes(&at, id.p, id.n);
    w->id_len = (uint16_t)id.n;
    w->query.notify = (struct kvr_bytes){"", 0};
}

static void notify_free(struct kvr_pool *p, struct core_waiting *w) {
    if (w->query.notify.n) core_mem_free(&p->mem, (void *)w->query.notify.p, w->query.notify.n);
    w->query.notify = (struct kvr_bytes){"", 0};
}

bool core_notify_differs(const struct core_waiting *w, struct kvr_bytes channel) {
    const struct kvr_bytes *own = &w->query.notify;
    return channel.n && (channel.n != own->n || memcmp(channel.p, own->p, own->n) != 0);
}

enum kvr_err core_waiting_notify(struct kvr_pool *p, struct core_waiting *w,
                                 struct kvr_bytes channel) {
    char *copy = channel.n ? core_mem_alloc(&p->mem, channel.n) : NULL;
    if (channel.n && !copy) return KVR_NOMEM;
    notify_free(p, w);
    if (!channel.n) return KVR_OK;
    memcpy(copy, channel.p, channel.n);
    w->query.notify = (struct kvr_bytes){copy, channel.n};
    return KVR_OK;
}

// ---- Coming and going ----------------------------------------------------------------------------

static void waiting_free(struct kvr_pool *p, struct core_waiting *w) {
    notify_free(p, w);
    core_mem_free(&p->mem, w, w->bytes);
}

enum kvr_err core_waiting_add(struct kvr_pool *p, int64_t since, uint64_t number,
                              struct kvr_bytes id, const struct kvr_query *q, int64_t lease,
                              struct core_waiting **out) {
    struct core_queue *queue = &p->queue;
    struct core_class *c = core_class_find(p, q->service_class);
    if (!c) return KVR_NOCLASS;
    if (core_hash_map_reserve(&queue->ids) || core_deadlines_reserve(&queue->ends))
        return KVR_NOMEM;
    size_t bytes = size_of(q, id.n);
    struct core_waiting *w = core_mem_calloc(&p->mem, bytes);
    if (!w) return KVR_NOMEM;
    w->bytes = bytes;
    copy_query(w, q, id);
    w->query.service_class = core_class_name(c);
    w->number = w->due.number = number;
    w->since = since;
    w->lease = lease < 0 ? -1 : lease;
    struct core_flow *f = q->flow.n ? core_flow_take(p, q->flow) : NULL;
    struct core_line *l = q->flow.n && !f ? NULL : core_line_take(p, c, f);
    if (!l || core_line_reserve(p, l) || core_waiting_notify(p, w, q->notify)) {
        if (l)
            core_line_drop(p, l);
        else if (f)
            core_flow_drop(p, f);
        waiting_free(p, w);
        return KVR_NOMEM;
    }
    w->query.flow = core_flow_name(f);
    core_hash_map_add(&queue->ids, &w->item, hash_of(p, id));
    core_deadlines_add(&queue->ends, &w->due, since + q->wait);
    core_line_add(p, l, w);
    if (since > p->latest) p->latest = since;
    if (number > queue->arrivals) queue->arrivals = number;
    *out = w;
    return KVR_OK;
}

void core_waiting_end(struct kvr_pool *p, struct core_waiting *w, int64_t served) {
    core_waiting_let_go(p, w);
    core_line_remove(p, w, served);
    core_hash_map_remove(&p->queue.ids, &w->item);
    core_deadlines_remove(&p->queue.ends, &w->due);
    waiting_free(p, w);
}

void core_waiting_hold(struct kvr_pool *p, struct core_waiting *w, uint32_t instance) {
    struct core_waiting *other = p->instances[instance].held_for;
    if (w == other) return;
    if (other) core_waiting_let_go(p, other); // he goes behind w
    core_waiting_let_go(p, w);
    w->held = instance + 1;
    p->instances[instance].held_for = w;
    p->queue.n_held++;
}

void core_waiting_let_go(struct kvr_pool *p, struct core_waiting *w) {
    if (!w->held) return;
    p->instances[w->held - 1].held_for = NULL;
    core_queue_gained(p, w->held - 1);
    w->held = 0;
    p->queue.n_held--;
}

int core_queue_start(struct kvr_pool *p) {
    struct core_queue *q = &p->queue;
    core_hash_map_init(&q->flows, &p->mem);
    core_hash_map_init(&q->ids, &p->mem);
    q->ends.mem = q->parked.mem = &p->mem;
    q->round = 1; // 0 is before all
    struct core_class *c;
    if (core_class_take(p, (struct kvr_bytes){"", 0}, &c)) return -1;
    core_class_register(p, c);
    return 0;
}

void core_queue_free(struct kvr_pool *p) {
    struct core_queue *q = &p->queue;
    for (size_t b = 0; b < q->ids.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&q->ids, b), *next; i; i = next) {
            next = i->next;
            struct core_waiting *w = (struct core_waiting *)i;
            core_waiting_let_go(p, w);
            core_line_remove(p, w, -1);
            waiting_free(p, w);
        }
    core_classes_free(p);
    core_flows_free(p);
    core_hash_map_free(&q->ids);
    core_deadlines_free(&q->ends);
    core_deadlines_free(&q->parked);
}

void core_waiting_cap_time(struct kvr_pool *p, int64_t now) {
    struct core_deadlines *d = &p->queue.ends;
    for (size_t i = 0; i < d->n; i++) {
        struct core_waiting *w = core_waiting_of(d->heap[i]);
        if (w->since > now) w->since = now;
        w->due.at = w->since + w->query.wait;
    }
    core_deadlines_reorder(d);
}

const char *core_waiting_validate(const struct kvr_pool *p) {
    const struct core_queue *q = &p->queue;
    const char *wrong = core_hash_map_validate(&q->ids);
    if (!wrong) wrong = core_deadlines_validate(&q->ends);
    if (!wrong) wrong = core_flows_validate(p);
    if (!wrong) wrong = core_order_validate(p);
    if (wrong) return wrong;
    if (q->ends.n != q->ids.count) return "waiting: a deadline that nobody watches";
    uint64_t held = 0, kept = 0;
    for (size_t i = 0; i < q->ends.n; i++) {
        const struct core_waiting *w = core_waiting_of(q->ends.heap[i]);
        if (core_waiting_find(p, (struct kvr_bytes){w->id, w->id_len}) != w)
            return "waiting: one isn't found";
        int64_t began = w->since > p->renewed ? w->since : p->renewed;
        if (w->since > p->latest || w->due.at > began + w->query.wait ||
            w->due.number != w->number || w->number > q->arrivals)
            return "waiting: its time is wrong";
        if (w->held && p->instances[w->held - 1].held_for != w)
            return "waiting: what is kept for it isn't";
        held += w->held != 0;
    }
    for (uint32_t i = 0; i < p->n_instances; i++)
        kept += p->instances[i].held_for != NULL;
    return held == q->n_held && kept == held ? NULL : "waiting: what is kept is kept for nobody";
}
