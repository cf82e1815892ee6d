// SPDX-License-Identifier: Apache-2.0
// A publisher asked for the place of a block.
#include "publisher_impl.h"

bool kvr_publisher_parent(const struct kvr_publisher *p, uint64_t hash, uint64_t *parent,
                          bool *has_parent) {
    uint32_t id = truth_find(&p->truth, hash);
    if (!id) return false;
    const struct node *n = truth_node(&p->truth, id);
    if (n->flags & NODE_PHANTOM) return false;
    *has_parent = n->parent != 0;
    *parent = n->parent ? truth_node(&p->truth, n->parent)->hash : 0;
    return true;
}
