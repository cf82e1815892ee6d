// SPDX-License-Identifier: Apache-2.0
// The instances that a handle has heard of: of the last WORKER LIST, and those that its requests are on.
#ifndef KVR_RECOVERY_KNOWN_INSTANCES_H
#define KVR_RECOVERY_KNOWN_INSTANCES_H

#include <kvroute/client.h>

#include "client/common/list.h"
#include "client/common/table.h"

enum { KVR_MIN_SWEEP = 1024 }; // instances, before any are looked at

// One (worker, rank) that we have heard of.
struct kvr_instance {
    struct kvr_table_item item;    // key: the name, and the rank as 4 bytes
    struct kvr_list_item in;       // the list of all
    struct kvr_bytes worker, addr; // addr: own allocation of addr_size bytes
    size_t addr_size;
    char *labels; // of its worker, in the last WORKER LIST: each a byte for its length, then itself
    size_t labels_n, labels_size;
    uint32_t rank;
    enum kvr_state state;
    enum kvr_role role;
    bool open;       // its worker's circuit, in the last WORKER LIST
    bool listed;     // in the last WORKER LIST
    size_t requests; // of ours, live there, and those whose prompts it computes
    uint64_t chosen; // when a degraded choice last fell on it; 0: never
};

struct kvr_instances {
    const struct kvr_alloc *alloc;
    struct kvr_table table;
    struct kvr_list_item list;
    size_t max;
    size_t sweep_at;  // with so many, unused ones are freed before another is added
    uint64_t choices; // degraded, so far
};

// max_live: requests that may be on instances of their own. -1: no memory.
int kvr_instances_init(struct kvr_instances *m, const struct kvr_alloc *a, size_t max_live,
                       uint64_t secret);
void kvr_instances_free(struct kvr_instances *m);              // no requests are on them any more
struct kvr_instance *kvr_instance_of(struct kvr_list_item *i); // of the list

struct kvr_instance *kvr_instance_find(const struct kvr_instances *m, struct kvr_bytes worker,
                                       uint32_t rank);
// The same, made if it isn't there. NULL: no memory.
struct kvr_instance *kvr_instance_get(struct kvr_instances *m, struct kvr_bytes worker,
                                      uint32_t rank);
void kvr_instance_set_addr(struct kvr_instances *m, struct kvr_instance *i, struct kvr_bytes addr);
void kvr_instance_set_labels(struct kvr_instances *m, struct kvr_instance *i,
                             const struct kvr_bytes *labels, size_t n);
bool kvr_instance_has_label(const struct kvr_instance *i, struct kvr_bytes label);
// Before a fresh list is taken in: nothing counts as listed, and what nobody uses goes after.
void kvr_instances_unlist(struct kvr_instances *m);
void kvr_instances_sweep(struct kvr_instances *m);

#endif
