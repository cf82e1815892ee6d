// SPDX-License-Identifier: Apache-2.0
#include "worker.h"

#include <string.h>

#include "label.h"

static int compare(const struct core_worker *w, struct kvr_bytes name) {
    size_t n = w->name_len < name.n ? w->name_len : name.n;
    int order = memcmp(w->name, name.p, n);
    return order ? order : (w->name_len > name.n) - (w->name_len < name.n);
}

bool core_worker_before(const struct core_worker *a, const struct core_worker *b) {
    return compare(a, (struct kvr_bytes){b->name, b->name_len}) < 0;
}

long core_worker_find(const struct kvr_pool *p, struct kvr_bytes name, size_t *place) {
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

uint32_t core_instance_find(const struct kvr_pool *p, struct kvr_bytes worker, uint32_t rank) {
    long i = core_worker_find(p, worker, NULL);
    return i < 0 || rank >= p->workers[i]->ranks ? CORE_NO_INSTANCE
                                                 : p->workers[i]->instances[rank];
}

int64_t core_worker_ttl(const struct kvr_pool *p, const struct core_worker *w) {
    return w->ttl >= 0 ? w->ttl : p->options.worker_ttl;
}

int64_t core_worker_expiry(const struct kvr_pool *p, const struct core_worker *w) {
    return (w->seen > p->renewed ? w->seen : p->renewed) + core_worker_ttl(p, w);
}

int64_t core_worker_due(const struct kvr_pool *p, const struct core_worker *w) {
    return core_worker_ttl(p, w) && p->options.worker_grace
               ? core_worker_expiry(p, w) + p->options.worker_grace
               : INT64_MAX;
}

bool core_worker_expired(const struct kvr_pool *p, const struct core_worker *w, int64_t now) {
    return core_worker_ttl(p, w) && now >= core_worker_expiry(p, w);
}

void core_worker_free(struct kvr_pool *p, struct core_worker *w) {
    core_mem_free(&p->mem, w->addr, w->addr_len);
    core_labels_free(p, w->labels, w->n_labels);
    core_mem_free(&p->mem, w->instances, w->ranks * sizeof *w->instances);
    core_mem_free(&p->mem, w, sizeof *w + w->name_len);
}

bool core_worker_named(const struct core_worker *w, struct kvr_bytes name) {
    return w->name_len == name.n && !memcmp(w->name, name.p, name.n);
}

bool core_instance_before(const struct kvr_pool *p, uint32_t a, uint32_t b) {
    const struct core_instance *x = &p->instances[a], *y = &p->instances[b];
    return x->worker == y->worker ? x->rank < y->rank : core_worker_before(x->worker, y->worker);
}
