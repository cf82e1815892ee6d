// SPDX-License-Identifier: Apache-2.0
#include "known_instances.h"

#include <string.h>

struct kvr_instance *kvr_instance_of(struct kvr_list_item *i) {
    return (struct kvr_instance *)(void *)((char *)i - offsetof(struct kvr_instance, in));
}

int kvr_instances_init(struct kvr_instances *m, const struct kvr_alloc *a, size_t max_live,
                       uint64_t secret) {
    *m = (struct kvr_instances){
        .alloc = a, .max = (size_t)KVR_MAX_INSTANCES + 2 * max_live, .sweep_at = KVR_MIN_SWEEP};
    kvr_list_init(&m->list);
    return kvr_table_init(&m->table, a, secret);
}

void kvr_instances_free(struct kvr_instances *m) {
    kvr_instances_unlist(m);
    for (struct kvr_list_item *i = m->list.next; i != &m->list; i = i->next)
        kvr_instance_of(i)->requests = 0;
    kvr_instances_sweep(m);
    kvr_table_free(&m->table);
}

enum { INSTANCE_KEY = KVR_MAX_NAME + sizeof(uint32_t) };

static size_t instance_key(char key[INSTANCE_KEY], struct kvr_bytes worker, uint32_t rank) {
    memcpy(key, worker.p, worker.n);
    memcpy(key + worker.n, &rank, sizeof rank);
    return worker.n + sizeof rank;
}

struct kvr_instance *kvr_instance_find(const struct kvr_instances *m, struct kvr_bytes worker,
                                       uint32_t rank) {
    char key[INSTANCE_KEY];
    if (worker.n > KVR_MAX_NAME) return NULL;
    size_t n = instance_key(key, worker, rank);
    return (struct kvr_instance *)(void *)kvr_table_find(&m->table, (struct kvr_bytes){key, n});
}

struct kvr_instance *kvr_instance_get(struct kvr_instances *m, struct kvr_bytes worker,
                                      uint32_t rank) {
    struct kvr_instance *i = kvr_instance_find(m, worker, rank);
    if (i || worker.n > KVR_MAX_NAME) return i;
    if (m->table.count >= m->sweep_at) {
        kvr_instances_sweep(m);
        m->sweep_at = 2 * m->table.count;
        if (m->sweep_at < KVR_MIN_SWEEP) m->sweep_at = KVR_MIN_SWEEP;
    }
    if (m->table.count > m->max) return NULL;
    i = kvr_alloc_zeroed(m->alloc, sizeof *i + INSTANCE_KEY);
    if (!i) return NULL;
    char *own = (char *)(i + 1);
    size_t n = instance_key(own, worker, rank);
    i->worker = (struct kvr_bytes){own, worker.n};
    i->rank = rank;
    kvr_table_add(&m->table, &i->item, (struct kvr_bytes){own, n});
    kvr_list_push(&m->list, &i->in);
    return i;
}

void kvr_instance_set_addr(struct kvr_instances *m, struct kvr_instance *i, struct kvr_bytes addr) {
    if (addr.n == i->addr.n && (!addr.n || !memcmp(addr.p, i->addr.p, addr.n))) return;
    if (addr.n > i->addr_size) {
        char *grown = kvr_alloc_zeroed(m->alloc, addr.n);
        if (!grown) return; // the old one serves until there is memory
        kvr_alloc_free(m->alloc, (char *)(void *)i->addr.p);
        i->addr.p = grown;
        i->addr_size = addr.n;
    }
    if (addr.n) memcpy((char *)(void *)i->addr.p, addr.p, addr.n);
    i->addr.n = addr.n;
}

void kvr_instance_set_labels(struct kvr_instances *m, struct kvr_instance *i,
                             const struct kvr_bytes *labels, size_t n) {
    size_t size = 0;
    for (size_t k = 0; k < n; k++)
        size += 1 + labels[k].n;
    if (size > i->labels_size) {
        char *grown = kvr_alloc_zeroed(m->alloc, size);
        if (!grown) return; // the old ones serve until there is memory
        kvr_alloc_free(m->alloc, i->labels);
        i->labels = grown;
        i->labels_size = size;
    }
    i->labels_n = 0;
    for (size_t k = 0; k < n; k++) {
        if (labels[k].n > KVR_MAX_LABEL) continue; // none of ours, and longer than a byte says
        i->labels[i->labels_n++] = (char)labels[k].n;
        memcpy(i->labels + i->labels_n, labels[k].p, labels[k].n);
        i->labels_n += labels[k].n;
    }
}

bool kvr_instance_has_label(const struct kvr_instance *i, struct kvr_bytes label) {
    for (size_t at = 0; at < i->labels_n;) {
        size_t n = (unsigned char)i->labels[at++];
        if (n == label.n && !memcmp(i->labels + at, label.p, n)) return true;
        at += n;
    }
    return false;
}

void kvr_instances_unlist(struct kvr_instances *m) {
    for (struct kvr_list_item *i = m->list.next; i != &m->list; i = i->next)
        kvr_instance_of(i)->listed = false;
}

void kvr_instances_sweep(struct kvr_instances *m) {
    for (struct kvr_list_item *i = m->list.next, *next; i != &m->list; i = next) {
        struct kvr_instance *at = kvr_instance_of(i);
        next = i->next;
        if (at->listed || at->requests) continue;
        kvr_table_remove(&m->table, &at->item);
        kvr_list_remove(i);
        kvr_alloc_free(m->alloc, (char *)(void *)at->addr.p);
        kvr_alloc_free(m->alloc, at->labels);
        kvr_alloc_free(m->alloc, at);
    }
}
