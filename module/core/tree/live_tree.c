// SPDX-License-Identifier: Apache-2.0
#include "live_tree.h"

#include <kvroute/hash.h>

#include <string.h>

static uint64_t key_of(const struct core_live *l, const struct core_live_node *parent,
                       uint64_t first) {
    uint64_t x = (first ^ l->seed) * 0x9e3779b97f4a7c15u ^ (uintptr_t)parent;
    x = (x ^ x >> 29 ^ l->seed >> 11) * 0xd6e8feb86659fd93u;
    return x ^ x >> 32;
}

static struct core_live_node *child_of(const struct core_live *l,
                                       const struct core_live_node *parent, uint64_t first) {
    struct core_hash_map_item *i = core_hash_map_first(&l->nodes, key_of(l, parent, first));
    for (; i; i = core_hash_map_next(i)) {
        struct core_live_node *node = (struct core_live_node *)i;
        if (node->parent == parent && node->hashes[0] == first) return node;
    }
    return NULL;
}

static uint32_t common(const struct core_live_node *node, const uint64_t *hashes, size_t n) {
    uint32_t max = node->len < n ? node->len : (uint32_t)n, k = 1;
    if (!memcmp(node->hashes, hashes, max * sizeof *hashes)) return max;
    while (node->hashes[k] == hashes[k])
        k++;
    return k;
}

void core_live_init(struct core_live *l, struct core_mem *m, uint64_t seed) {
    *l = (struct core_live){.mem = m, .seed = seed};
    core_hash_map_init(&l->nodes, m);
}

static void link_child(struct core_live *l, struct core_live_node *node) {
    if (node->parent) {
        node->parent->children ^= (uintptr_t)node;
        node->parent->n_children++;
    }
    core_hash_map_add(&l->nodes, &node->item, key_of(l, node->parent, node->hashes[0]));
}

static void unlink_child(struct core_live *l, struct core_live_node *node) {
    if (node->parent) {
        node->parent->children ^= (uintptr_t)node;
        node->parent->n_children--;
    }
    core_hash_map_remove(&l->nodes, &node->item);
}

static void free_users(struct core_live *l, struct core_live_node *node) {
    if (node->users != &node->one)
        core_mem_free(l->mem, node->users, node->cap_users * sizeof *node->users);
}

static void node_free(struct core_live *l, struct core_live_node *node) {
    core_mem_free(l->mem, node->hashes, node->len * sizeof *node->hashes);
    free_users(l, node);
    core_mem_free(l->mem, node, sizeof *node);
}

void core_live_free(struct core_live *l) {
    for (size_t b = 0; b < l->nodes.n_buckets; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&l->nodes, b), *next; i;
             i = next) {
            next = i->next;
            node_free(l, (struct core_live_node *)i);
        }
    core_hash_map_free(&l->nodes);
}

static struct core_live_node *node_new(struct core_live *l, struct core_live_node *parent,
                                       const uint64_t *hashes, size_t n, uint32_t cap_users) {
    struct core_live_node *node = core_mem_calloc(l->mem, sizeof *node);
    if (!node) return NULL;
    node->parent = parent;
    node->len = (uint32_t)n;
    node->hashes = core_mem_alloc(l->mem, n * sizeof *hashes);
    node->users =
        cap_users > 1 ? core_mem_alloc(l->mem, cap_users * sizeof *node->users) : &node->one;
    if (node->users) node->cap_users = cap_users;
    if (!node->hashes || !node->users || core_hash_map_reserve(&l->nodes)) {
        node->len = node->hashes ? node->len : 0;
        node_free(l, node);
        return NULL;
    }
    memcpy(node->hashes, hashes, n * sizeof *hashes);
    return node;
}

// Splits so that the node begins at block `at`; what precedes becomes its parent, which is returned.
// The node stays where bookings point to. NULL without memory.
static struct core_live_node *split(struct core_live *l, struct core_live_node *node, uint32_t at) {
    struct core_live_node *head = node_new(l, node->parent, node->hashes, at, node->n_users);
    if (!head) return NULL;
    uint32_t left = node->len - at;
    uint64_t *tail = core_mem_alloc(l->mem, left * sizeof *tail);
    if (!tail) {
        node_free(l, head);
        return NULL;
    }
    memcpy(tail, node->hashes + at, left * sizeof *tail);
    memcpy(head->users, node->users, node->n_users * sizeof *node->users);
    head->n_users = node->n_users;
    unlink_child(l, node);
    core_mem_free(l->mem, node->hashes, node->len * sizeof *node->hashes);
    node->hashes = tail;
    node->len = left;
    node->parent = head;
    link_child(l, head);
    link_child(l, node);
    return head;
}

// The inverse, where nothing tells the two apart: no booking ends at the head, no path leaves there.
// Best effort.
static void merge(struct core_live *l, struct core_live_node *head) {
    if (head->n_children != 1) return;
    struct core_live_node *node = (struct core_live_node *)head->children;
    if (head->n_users != node->n_users || head->len + node->len > CORE_MAX_LIVE_NODE ||
        memcmp(head->users, node->users, head->n_users * sizeof *head->users))
        return;
    size_t n = (size_t)head->len + node->len;
    uint64_t *hashes = core_mem_alloc(l->mem, n * sizeof *hashes);
    if (!hashes) return;
    memcpy(hashes, head->hashes, head->len * sizeof *hashes);
    memcpy(hashes + head->len, node->hashes, node->len * sizeof *hashes);
    unlink_child(l, node);
    unlink_child(l, head);
    core_mem_free(l->mem, node->hashes, node->len * sizeof *hashes);
    node->hashes = hashes;
    node->len = (uint32_t)n;
    node->parent = head->parent;
    link_child(l, node);
    node_free(l, head);
}

// The first user that isn't before the instance.
static uint32_t place_of(const struct core_live_node *node, uint32_t instance) {
    uint32_t from = 0, to = node->n_users;
    while (from < to) {
        uint32_t mid = (from + to) / 2;
        if (node->users[mid].instance < instance)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

static int reserve_user(struct core_live *l, struct core_live_node *node) {
    if (node->n_users < node->cap_users) return 0;
    uint32_t cap = node->cap_users + node->cap_users / 2 + 1;
    struct core_live_user *users = core_mem_alloc(l->mem, cap * sizeof *users);
    if (!users) return -1;
    memcpy(users, node->users, node->n_users * sizeof *users);
    free_users(l, node);
    node->users = users;
    node->cap_users = cap;
    return 0;
}

// A chain of new nodes below `at` (NULL: at the top); the last of them, or NULL without memory.
static struct core_live_node *append(struct core_live *l, struct core_live_node *at,
                                     const uint64_t *hashes, size_t n) {
    struct core_live_node *last = at;
    for (size_t i = 0; i < n;) {
        size_t some = n - i < CORE_MAX_LIVE_NODE ? n - i : CORE_MAX_LIVE_NODE;
        struct core_live_node *next = node_new(l, last, hashes + i, some, 1);
        for (struct core_live_node *parent; !next && last != at; last = parent) {
            parent = last->parent;
            node_free(l, last);
        }
        if (!next) return NULL;
        last = next;
        i += some;
    }
    for (struct core_live_node *node = last; node != at; node = node->parent)
        link_child(l, node);
    return last;
}

int core_live_add(struct core_live *l, uint32_t instance, const uint64_t *hashes, size_t n,
                  struct core_live_node **end, uint64_t *fresh) {
    // First everything that may fail; a node that was split is no change, and new ones are linked
    // only when nothing can fail any more.
    struct core_live_node *at = NULL;
    size_t i = 0;
    while (i < n) {
        struct core_live_node *node = child_of(l, at, hashes[i]);
        if (!node) break;
        uint32_t k = common(node, hashes + i, n - i);
        if (k < node->len && !(node = split(l, node, k))) return -1;
        if (reserve_user(l, node)) return -1;
        i += k;
        at = node;
    }
    if (i < n && !(at = append(l, at, hashes + i, n - i))) return -1;
    *end = at;
    *fresh = 0;
    for (; at; at = at->parent) {
        uint32_t p = place_of(at, instance);
        if (p < at->n_users && at->users[p].instance == instance) {
            at->users[p].count++;
            continue;
        }
        memmove(&at->users[p + 1], &at->users[p], (at->n_users - p) * sizeof *at->users);
        at->users[p] = (struct core_live_user){instance, 1};
        at->n_users++;
        *fresh += at->len;
    }
    l->blocks += *fresh;
    return 0;
}

uint64_t core_live_remove(struct core_live *l, uint32_t instance, struct core_live_node *end) {
    uint64_t gone = 0;
    struct core_live_node *left = end; // the deepest node that stays
    for (struct core_live_node *at = end, *parent; at; at = parent) {
        parent = at->parent;
        uint32_t p = place_of(at, instance);
        if (--at->users[p].count) continue;
        gone += at->len;
        at->n_users--;
        memmove(&at->users[p], &at->users[p + 1], (at->n_users - p) * sizeof *at->users);
        if (at->n_users) continue;
        left = parent;
        unlink_child(l, at);
        node_free(l, at);
    }
    if (left) merge(l, left);
    l->blocks -= gone;
    return gone;
}

void core_live_match(const struct core_live *l, const uint32_t *instance_of, const uint64_t *hashes,
                     size_t n, uint32_t *prefix, uint32_t *longest) {
    const struct core_live_node *at = NULL;
    *longest = 0;
    for (size_t i = 0; i < n;) {
        at = child_of(l, at, hashes[i]);
        if (!at) return;
        uint32_t k = common(at, hashes + i, n - i);
        i += k;
        bool any = false;
        for (uint32_t u = 0; u < at->n_users; u++) {
            uint32_t user = at->users[u].instance;
            if (instance_of) user = instance_of[user];
            if (user == UINT32_MAX) continue;
            prefix[user] = (uint32_t)i;
            any = true;
        }
        if (!any) return;
        *longest = (uint32_t)i;
        if (k < at->len) return;
    }
}

void core_live_blocks(const struct core_live_node *end, size_t n, uint64_t *out) {
    for (const struct core_live_node *at = end; at; at = at->parent) {
        n -= at->len;
        memcpy(out + n, at->hashes, at->len * sizeof *out);
    }
}

static const char *check_node(const struct core_live_node *node) {
    if (!node->len || !node->n_users) return "live: a node that nobody uses";
    if (node->len > CORE_MAX_LIVE_NODE) return "live: a node is too long";
    if (node->n_children == 1 && ((struct core_live_node *)node->children)->parent != node)
        return "live: an only child is lost";
    for (uint32_t u = 0; u < node->n_users; u++) {
        const struct core_live_user *user = &node->users[u];
        if (u && user->instance <= user[-1].instance) return "live: users out of order";
        if (!user->count) return "live: a user without a booking";
        if (!node->parent) continue;
        uint32_t p = place_of(node->parent, user->instance);
        if (p == node->parent->n_users || node->parent->users[p].instance != user->instance ||
            node->parent->users[p].count < user->count)
            return "live: a parent counts less than its child";
    }
    return NULL;
}

const char *core_live_validate(const struct core_live *l) {
    const char *wrong = core_hash_map_validate(&l->nodes);
    uint64_t blocks = 0;
    for (size_t b = 0; b < l->nodes.n_buckets && !wrong; b++)
        for (struct core_hash_map_item *i = core_hash_map_bucket(&l->nodes, b); i && !wrong;
             i = i->next) {
            const struct core_live_node *node = (const struct core_live_node *)i;
            wrong = check_node(node);
            blocks += (uint64_t)node->len * node->n_users;
            if (!wrong && child_of(l, node->parent, node->hashes[0]) != node)
                wrong = "live: a node isn't found";
        }
    if (wrong) return wrong;
    return blocks == l->blocks ? NULL : "live: the number of blocks is wrong";
}

uint64_t core_live_path_sum(const struct core_live_node *end, uint64_t n) {
    uint64_t sum = 0;
    for (const struct core_live_node *at = end; at; at = at->parent) {
        n -= at->len;
        for (uint32_t i = 0; i < at->len; i++) {
            uint64_t block[2] = {n + i, at->hashes[i]};
            sum += XXH3_64bits_withSeed(block, sizeof block, 4);
        }
    }
    return sum;
}
