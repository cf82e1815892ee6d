// SPDX-License-Identifier: Apache-2.0
// Writing a pool's queue: its classes and flows first, as requests name them; those who wait last, and then the tags
// that order them.
#include <stdlib.h>

#include "module/core/rule/policy.h"
#include "module/core/state/flow.h"
#include "module/core/state/service_class.h"
#include "snapshot_write.h"

static void put_name(struct snapshot_writer *w, struct kvr_bytes name) {
    put_bytes(w, name.p, name.n);
}

static bool is_usual(const struct core_class *c, const struct core_queue *q) {
    return c == q->default_class && !c->priority && c->weight == 1 && !c->max_waiting &&
           c->room == 100 && !c->admitted && !c->refused;
}

void core_snapshot_save_classes(struct snapshot_writer *w) {
    const struct core_queue *q = &w->pool->queue;
    for (size_t i = 0; i < q->n_classes && !w->err; i++) {
        const struct core_class *c = q->classes[i];
        if (!c->registered || is_usual(c, q)) continue;
        begin(w, CORE_RECORD_CLASS);
        put_name(w, core_class_name(c));
        put_i64(w, c->priority);
        put_f64(w, c->weight);
        put_u64(w, c->max_waiting);
        put_u64(w, c->room);
        put_u64(w, c->admitted);
        put_u64(w, c->refused);
    }
    for (size_t b = 0; b < q->flows.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&q->flows, b); i && !w->err;
             i = i->next) {
            const struct core_flow *f = (const struct core_flow *)i;
            if (!f->registered) continue;
            begin(w, CORE_RECORD_FLOW);
            put_name(w, core_flow_name(f));
            put_f64(w, f->weight);
            put_u64(w, f->max_requests);
            put_i64(w, f->rate);
            put_i64(w, f->burst);
            put_i64(w, f->left);
            put_i64(w, f->at);
        }
}

static void put_names(struct snapshot_writer *w, const struct kvr_bytes *names, size_t n) {
    put_u32(w, (uint32_t)n);
    for (size_t i = 0; i < n; i++)
        put_name(w, names[i]);
}

static void save_one(struct snapshot_writer *w, const struct core_waiting *one) {
    const struct kvr_query *q = &one->query;
    const char *policy = kvr_policies[q->rule.policy].name;
    begin(w, CORE_RECORD_WAITING);
    put_bytes(w, one->id, one->id_len);
    put_u64(w, one->number);
    put_i64(w, one->since);
    put_i64(w, q->wait);
    put_i64(w, one->lease);
    put_i64(w, q->isl);
    put_i64(w, q->osl);
    put_bytes(w, policy, strlen(policy));
    put_f64(w, q->rule.overlap);
    put_f64(w, q->rule.prefill);
    put_f64(w, q->rule.requests);
    put_f64(w, q->rule.temperature);
    put_u8(w, q->has_among);
    put_u8(w, q->pair);
    put_names(w, q->among, q->n_among);
    put_names(w, q->exclude, q->n_exclude);
    put_names(w, q->with, q->n_with);
    put_names(w, q->without, q->n_without);
    put_name(w, q->session);
    put_name(w, q->service_class);
    put_name(w, q->flow);
    put_name(w, q->notify);
    put_u32(w, (uint32_t)q->n);
    put(w, q->hashes, q->n * sizeof *q->hashes);
}

static void save_line(struct snapshot_writer *w, const struct core_line *l) {
    begin(w, CORE_RECORD_LINE);
    put_name(w, core_class_name(l->service_class));
    put_u8(w, l->flow != NULL);
    put_name(w, core_flow_name(l->flow));
    put_f64(w, l->tag);
    put_u64(w, l->order.number);
}

static void save_lines(struct snapshot_writer *w) {
    struct core_queue *q = &w->pool->queue;
    for (size_t i = 0; i < q->n_classes; i++)
        if (q->classes[i]->default_line) save_line(w, q->classes[i]->default_line);
    for (size_t b = 0; b < q->flows.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&q->flows, b); i && !w->err;
             i = i->next)
            for (const struct core_line *l = ((const struct core_flow *)i)->lines; l; l = l->next)
                save_line(w, l);
    for (size_t i = 0; i < q->n_classes && !w->err; i++) {
        const struct core_class *c = q->classes[i];
        if (c->tag == 0 && c->v == 0 && core_class_level(w->pool, c)->v == 0) continue;
        if (!c->registered) continue;
        begin(w, CORE_RECORD_TAGS);
        put_name(w, core_class_name(c));
        put_f64(w, c->tag);
        put_f64(w, c->v);
        put_f64(w, core_class_level(w->pool, c)->v);
    }
}

static int by_arrival(const void *left, const void *right) {
    const struct core_waiting *const *a = left, *const *b = right;
    return ((*a)->number > (*b)->number) - ((*a)->number < (*b)->number);
}

void core_snapshot_save_waiting(struct snapshot_writer *w) {
    const struct core_queue *q = &w->pool->queue;
    if (!q->ids.count) return; // and there are no lines
    size_t n = q->ends.n, bytes = n * sizeof(struct core_waiting *);
    const struct core_waiting **all = core_mem_alloc(&w->pool->mem, bytes);
    if (!all) {
        w->err = KVR_NOMEM;
        return;
    }
    for (size_t i = 0; i < n; i++)
        all[i] = core_waiting_of(q->ends.heap[i]);
    qsort(all, n, sizeof *all, by_arrival);
    for (size_t i = 0; i < n && !w->err; i++)
        save_one(w, all[i]);
    core_mem_free(&w->pool->mem, all, bytes);
    save_lines(w);
}
