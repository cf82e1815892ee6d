// SPDX-License-Identifier: Apache-2.0
#include "tree_run.h"

#include <string.h>

#include "holdings_sum.h"
#include "tree_journal.h"

// ---- Records and links ---------------------------------------------------------------------------

// Hash arrays grow in steps that waste little and are the allocator's own sizes.
static size_t room_for(size_t len) {
    if (len <= 2) return 2;
    if (len <= 4) return 4;
    return (len + 7) / 8 * 8;
}

static void link_run(struct core_tree *t, uint32_t run, uint32_t parent) {
    struct core_run *r = core_tree_run(t, run);
    uint32_t *first = parent ? &core_tree_run(t, parent)->child : &t->roots;
    r->parent = parent;
    r->prev = 0;
    r->next = *first;
    if (*first) core_tree_run(t, *first)->prev = run;
    *first = run;
}

static void unlink_run(struct core_tree *t, uint32_t run) {
    struct core_run *r = core_tree_run(t, run);
    if (r->prev)
        core_tree_run(t, r->prev)->next = r->next;
    else if (r->parent)
        core_tree_run(t, r->parent)->child = r->next;
    else
        t->roots = r->next;
    if (r->next) core_tree_run(t, r->next)->prev = r->prev;
}

// Puts `new` where `old` stands among its siblings.
static void replace(struct core_tree *t, uint32_t old, uint32_t new) {
    struct core_run *o = core_tree_run(t, old), *r = core_tree_run(t, new);
    r->parent = o->parent;
    r->prev = o->prev;
    r->next = o->next;
    if (r->prev)
        core_tree_run(t, r->prev)->next = new;
    else if (r->parent)
        core_tree_run(t, r->parent)->child = new;
    else
        t->roots = new;
    if (r->next) core_tree_run(t, r->next)->prev = new;
}

static uint32_t new_id(struct core_tree *t) {
    uint32_t id = t->free_run;
    if (id) {
        t->free_run = core_tree_run(t, id)->next;
        return id;
    }
    if (t->n_runs == CORE_RUN_FREE) return 0;
    if (t->n_runs / CORE_RUN_PAGE == t->n_pages) {
        if (core_mem_grow(t->mem, &t->pages, &t->cap_pages, t->n_pages + 1, sizeof *t->pages))
            return 0;
        struct core_run *page = core_mem_alloc(t->mem, CORE_RUN_PAGE * sizeof *page);
        if (!page) return 0;
        t->pages[t->n_pages++] = page;
    }
    return t->n_runs++;
}

uint32_t core_run_new(struct core_tree *t, uint32_t parent, size_t room) {
    uint64_t *hashes = core_mem_alloc(t->mem, room_for(room) * sizeof *hashes);
    if (!hashes) return 0;
    uint32_t id = new_id(t);
    if (!id) {
        core_mem_free(t->mem, hashes, room_for(room) * sizeof *hashes);
        return 0;
    }
    struct core_run *r = core_tree_run(t, id);
    memset(r, 0, sizeof *r);
    r->hashes = hashes;
    r->room = (uint32_t)room_for(room) & 0x3ff;
    link_run(t, id, parent);
    return id;
}

// The run has no children, no entries, and no blocks in the index any more.
void core_run_release(struct core_tree *t, uint32_t run) {
    struct core_run *r = core_tree_run(t, run);
    unlink_run(t, run);
    core_mem_free(t->mem, r->hashes, r->room * sizeof *r->hashes);
    if (r->many) core_mem_free(t->mem, r->e.out.entries, r->e.out.cap * sizeof(uint32_t));
    memset(r, 0, sizeof *r);
    r->parent = CORE_RUN_FREE;
    r->next = t->free_run;
    t->free_run = run;
}

int core_run_reserve(struct core_tree *t, uint32_t run, size_t len) {
    struct core_run *r = core_tree_run(t, run);
    if (len <= r->room) return 0;
    size_t room = room_for(len);
    uint64_t *hashes =
        core_mem_resize(t->mem, r->hashes, r->room * sizeof *hashes, room * sizeof *hashes);
    if (!hashes) return -1;
    r->hashes = hashes;
    r->room = room & 0x3ff;
    return 0;
}

void core_run_set_len(struct core_run *r, uint32_t len) {
    r->len = len & 0x3ff;
    r->last = len ? r->hashes[len - 1] : 0;
}

// ---- Holders -------------------------------------------------------------------------------------

static uint32_t *entries_of(struct core_run *r) {
    return r->many ? r->e.out.entries : r->e.few;
}

static uint32_t key_of(const struct core_tree *t, uint32_t slot) {
    return (uint32_t)t->slots[slot].tier << 22 | slot;
}

// The first entry that isn't before the key.
static uint32_t place_of(const struct core_run *r, uint32_t key) {
    const uint32_t *e = core_run_entries(r);
    uint32_t from = 0, to = r->n;
    while (from < to) {
        uint32_t mid = (from + to) / 2;
        if (e[mid] >> 8 < key)
            from = mid + 1;
        else
            to = mid;
    }
    return from;
}

uint32_t core_run_depth(const struct core_tree *t, uint32_t run, uint32_t slot) {
    const struct core_run *r = core_tree_run(t, run);
    uint32_t key = key_of(t, slot), at = place_of(r, key);
    const uint32_t *e = core_run_entries(r);
    return at < r->n && e[at] >> 8 == key ? core_entry_depth(e[at]) : 0;
}

static int make_room(struct core_tree *t, struct core_run *r) {
    uint32_t cap = r->many ? r->e.out.cap : CORE_RUN_FEW;
    if (r->n < cap) return 0;
    uint32_t want = cap + cap / 2 + 2;
    uint32_t *entries =
        core_mem_resize(t->mem, r->many ? r->e.out.entries : NULL,
                        r->many ? cap * sizeof *entries : 0, want * sizeof *entries);
    if (!entries) return -1;
    if (!r->many) memcpy(entries, r->e.few, sizeof r->e.few);
    r->many = 1;
    r->e.out.entries = entries;
    r->e.out.cap = want;
    return 0;
}

// Sets what live slots hold of the run, and so the number of distinct blocks.
void core_run_set_held(struct core_tree *t, struct core_run *r, uint32_t held) {
    t->blocks += held;
    t->blocks -= r->held;
    r->held = held & 0x3ff;
}

static void recount_held(struct core_tree *t, struct core_run *r) {
    uint32_t held = 0;
    const uint32_t *e = core_run_entries(r);
    for (uint32_t i = 0; i < r->n; i++)
        if (core_entry_depth(e[i]) > held &&
            t->instance_of[core_entry_slot(e[i])] != CORE_NO_INSTANCE)
            held = core_entry_depth(e[i]);
    core_run_set_held(t, r, held);
}

// A slot's number of blocks, and the tree's: of live holdings, or of those still to be swept.
static void count_blocks(struct core_tree *t, uint32_t slot, uint32_t from, uint32_t to) {
    t->slots[slot].blocks += (uint64_t)to - from;
    uint64_t *total = t->instance_of[slot] == CORE_NO_INSTANCE ? &t->unswept : &t->holdings;
    *total += (uint64_t)to - from;
}

int core_run_set_depth(struct core_tree *t, uint32_t run, uint32_t slot, uint32_t depth) {
    struct core_run *r = core_tree_run(t, run);
    uint32_t key = key_of(t, slot), at = place_of(r, key);
    uint32_t *e = entries_of(r);
    bool is_there = at < r->n && e[at] >> 8 == key;
    uint32_t before = is_there ? core_entry_depth(e[at]) : 0;
    if (before == depth) return 0;
    if (!is_there && (make_room(t, r) || core_runset_reserve(&t->slots[slot].runs, t->mem, run)))
        return -1;
    if (t->journaling &&
        core_journal_push(t, CORE_UNDO_HOLD, run, slot, before | (uint32_t)r->held << 16))
        return -1;
    e = entries_of(r);
    if (!is_there) {
        memmove(&e[at + 1], &e[at], (r->n - at) * sizeof *e);
        r->n++;
        core_runset_add(&t->slots[slot].runs, run);
    }
    if (depth) {
        e[at] = key << 8 | (depth - 1);
    } else {
        r->n--;
        memmove(&e[at], &e[at + 1], (r->n - at) * sizeof *e);
        core_runset_remove(&t->slots[slot].runs, run);
    }
    core_tree_sum_depth(t, run, slot, before, depth);
    count_blocks(t, slot, before, depth);
    if (t->instance_of[slot] != CORE_NO_INSTANCE) {
        if (depth > r->held)
            core_run_set_held(t, r, depth);
        else if (before == r->held)
            recount_held(t, r);
    } else if (before == r->held) {
        recount_held(t, r);
    }
    return 0;
}

// ---- Splitting and merging -----------------------------------------------------------------------

// Run 1 is split at block 3. It keeps its id, its children and its last blocks; its first blocks go to a new
// run, 2, which takes its place among the siblings. So nothing has to be told to the children, and the cost is
// that of the run alone.
//
//   before                                 after
//
//   1[a b c d e f] ── children of 1        2[a b c] ── 1[d e f] ── children of 1
//     w1 ############                        w1 ######   w1 ######    1: depth > 3, an entry in both
//     w2 ########                            w2 ######   w2 ##
//     w3 ######                              w3 ######                2: depth <= 3, an entry of the head alone
//     w4 ##                                  w4 ##
//
// Everything that needs memory comes first: the new run with its array of entries, room in the set of runs of
// each holder, a line of the journal. After that nothing can fail.
uint32_t core_run_split(struct core_tree *t, uint32_t run, uint32_t at) {
    uint32_t head = core_run_new(t, 0, at);
    if (!head) return 0;
    struct core_run *r = core_tree_run(t, run), *h = core_tree_run(t, head);
    const uint32_t *e = core_run_entries(r);
    int failed = 0;
    if (r->n > CORE_RUN_FEW) {
        uint32_t *entries = core_mem_alloc(t->mem, r->n * sizeof *entries);
        failed = !entries;
        if (entries) {
            h->many = 1;
            h->e.out.entries = entries;
            h->e.out.cap = r->n;
        }
    }
    for (uint32_t i = 0; i < r->n && !failed; i++)
        failed = core_runset_reserve(&t->slots[core_entry_slot(e[i])].runs, t->mem, head);
    if (failed || (t->journaling && core_journal_push(t, CORE_UNDO_SPLIT, run, head, 0))) {
        core_run_release(t, head);
        return 0;
    }
    unlink_run(t, head);
    replace(t, run, head);
    h->child = run;
    r->parent = head;
    r->prev = r->next = 0;

    memcpy(h->hashes, r->hashes, at * sizeof *h->hashes);
    memmove(r->hashes, r->hashes + at, (r->len - at) * sizeof *r->hashes);
    core_run_set_len(h, at);
    core_run_set_len(r, r->len - at);
    for (uint32_t i = 0; i < at; i++)
        core_index_move(&t->index, h->hashes[i], run, i, head, i);
    for (uint32_t i = 0; i < r->len; i++)
        core_index_move(&t->index, r->hashes[i], run, at + i, run, i);

    uint32_t *from = entries_of(r), *to = entries_of(h), left = 0;
    for (uint32_t i = 0; i < r->n; i++) {
        uint32_t depth = core_entry_depth(from[i]), key = from[i] >> 8;
        to[h->n++] = key << 8 | ((depth < at ? depth : at) - 1);
        core_runset_add(&t->slots[core_entry_slot(from[i])].runs, head);
        if (depth > at)
            from[left++] = key << 8 | (depth - at - 1);
        else
            core_runset_remove(&t->slots[core_entry_slot(from[i])].runs, run);
    }
    r->n = left & 0x7fffffff;
    core_tree_sum_move(t, head, run, head);
    h->held = r->held < at ? r->held : at & 0x3ff;
    r->held = r->held > at ? (r->held - at) & 0x3ff : 0;
    return head;
}

// The picture of core_run_split from right to left: run 1 takes in its parent 2. Every holder of 1 must hold all
// of 2, or it would get blocks that it doesn't have. A holder of both gets the sum of its depths (1); one of the
// head alone keeps its depth (2).
void core_run_merge(struct core_tree *t, uint32_t head, uint32_t run) {
    struct core_run *r = core_tree_run(t, run), *h = core_tree_run(t, head);
    uint32_t at = h->len;
    core_tree_sum_move(t, head, head, run);
    for (uint32_t i = 0; i < r->len; i++)
        core_index_move(&t->index, r->hashes[i], run, i, run, at + i);
    for (uint32_t i = 0; i < at; i++)
        core_index_move(&t->index, h->hashes[i], head, i, run, i);
    memmove(r->hashes + at, r->hashes, r->len * sizeof *r->hashes);
    memcpy(r->hashes, h->hashes, at * sizeof *h->hashes);
    core_run_set_len(r, r->len + at);

    // Merged from the end, so that the run's own entries can stay where they are until read.
    uint32_t *e = entries_of(r), own = r->n;
    const uint32_t *heads = core_run_entries(h);
    for (uint32_t i = h->n; i-- > 0;) {
        uint32_t key = heads[i] >> 8, slot = core_entry_slot(heads[i]);
        core_runset_remove(&t->slots[slot].runs, head);
        if (own && e[own - 1] >> 8 == key) {
            own--;
            e[i] = key << 8 | (core_entry_depth(e[own]) + at - 1);
        } else {
            e[i] = heads[i];
            core_runset_add(&t->slots[slot].runs, run);
        }
    }
    r->n = h->n;
    uint32_t held = r->held ? r->held + at : h->held;
    t->blocks -= h->held;
    h->n = h->held = 0;
    core_run_set_len(h, 0);
    core_run_set_held(t, r, held);
    h->child = 0;
    replace(t, head, run);
    h->parent = h->prev = h->next = 0;
    link_run(t, head, 0); // so that releasing finds it linked
    core_run_release(t, head);
}

// ---- After a change ------------------------------------------------------------------------------

// Gives back memory that the run doesn't need. Best effort.
static void compact(struct core_tree *t, struct core_run *r) {
    size_t room = room_for(r->len);
    if (room < r->room) {
        uint64_t *hashes =
            core_mem_resize(t->mem, r->hashes, r->room * sizeof *hashes, room * sizeof *hashes);
        if (hashes) {
            r->hashes = hashes;
            r->room = room & 0x3ff;
        }
    }
    if (!r->many) return;
    uint32_t cap = r->e.out.cap, *out = r->e.out.entries;
    if (r->n <= CORE_RUN_FEW) {
        memcpy(r->e.few, out, r->n * sizeof *out);
        r->many = 0;
        core_mem_free(t->mem, out, cap * sizeof *out);
    } else if (r->n * 2 < cap) {
        uint32_t *less = core_mem_resize(t->mem, out, cap * sizeof *out, r->n * sizeof *out);
        if (!less) return;
        r->e.out.entries = less;
        r->e.out.cap = r->n;
    }
}

// Whether the parent and its only child can be one run: they fit, and every holder of the child
// holds the whole parent.
static bool can_merge(const struct core_run *h, const struct core_run *r) {
    if (!h->len || !r->len || h->len + r->len > CORE_MAX_RUN || h->n < r->n) return false;
    const uint32_t *heads = core_run_entries(h), *e = core_run_entries(r);
    uint32_t i = 0;
    for (uint32_t k = 0; k < r->n; k++, i++) {
        while (i < h->n && heads[i] >> 8 != e[k] >> 8)
            i++;
        if (i == h->n || core_entry_depth(heads[i]) != h->len) return false;
    }
    return true;
}

static bool reserve_merge(struct core_tree *t, uint32_t head, uint32_t run) {
    struct core_run *h = core_tree_run(t, head), *r = core_tree_run(t, run);
    if (core_run_reserve(t, run, h->len + r->len)) return false;
    if (h->n > CORE_RUN_FEW && (!r->many || r->e.out.cap < h->n)) {
        uint32_t *out = r->many ? r->e.out.entries : NULL;
        size_t old = r->many ? r->e.out.cap * sizeof *out : 0;
        uint32_t *entries = core_mem_resize(t->mem, out, old, h->n * sizeof *entries);
        if (!entries) return false;
        if (!r->many) memcpy(entries, r->e.few, sizeof r->e.few);
        r->many = 1;
        r->e.out.entries = entries;
        r->e.out.cap = h->n;
    }
    const uint32_t *heads = core_run_entries(h);
    for (uint32_t i = 0; i < h->n; i++)
        if (core_runset_reserve(&t->slots[core_entry_slot(heads[i])].runs, t->mem, run))
            return false;
    return true;
}

static void forget_blocks(struct core_tree *t, uint32_t run, uint32_t len) {
    struct core_run *r = core_tree_run(t, run);
    core_index_prefetch_first(&t->index, r->hashes, len, r->len);
    for (uint32_t i = len; i < r->len; i++) {
        if (i + CORE_INDEX_AHEAD < r->len)
            core_index_prefetch(&t->index, r->hashes[i + CORE_INDEX_AHEAD], CORE_INDEX_LINES);
        core_index_remove(&t->index, r->hashes[i], run, i);
        core_index_trim(&t->index, r->hashes[i]);
    }
    core_run_set_len(r, len);
}

// What is done depends on what stands below the run:
//
//   1. It has one child, and the two can be one: they are merged, and the child goes on as case 2.
//
//        2[a b] ── 1[c d] ── …                      1[a b c d] ── …
//          w1 ####   w1 ####                          w1 ########
//
//   2. It has children otherwise: it stays, with what its blocks need and no more memory. It may be the last of
//      several children; then its parent is case 1 and is looked at next.
//   3. It has no children: blocks behind its deepest holder are needed by nobody and leave the index.
//
//        1[a b c d e f]                             1[a b c]
//          w1 ######                                  w1 ######
//
//   4. It has neither children nor holders: it goes. That may leave its parent as any of these cases, so the
//      parent is looked at next.
void core_run_normalize(struct core_tree *t, uint32_t run) {
    while (run && core_tree_run(t, run)->parent != CORE_RUN_FREE) {
        struct core_run *r = core_tree_run(t, run);
        if (r->child) {
            uint32_t child = r->child;
            if (!core_tree_run(t, child)->next && can_merge(r, core_tree_run(t, child)) &&
                reserve_merge(t, run, child)) {
                core_run_merge(t, run, child);
                run = child;
                r = core_tree_run(t, run);
                recount_held(t, r); // one of the two may still have counted what was dropped
            }
            compact(t, r);
            if (!r->parent) return;
            // A run that was the last of several children may now go into its parent.
            struct core_run *h = core_tree_run(t, r->parent);
            if (h->child != run || r->next || !can_merge(h, r)) return;
            run = r->parent;
            continue;
        }
        uint32_t deepest = 0;
        const uint32_t *e = core_run_entries(r);
        for (uint32_t i = 0; i < r->n; i++)
            if (core_entry_depth(e[i]) > deepest) deepest = core_entry_depth(e[i]);
        forget_blocks(t, run, deepest);
        uint32_t parent = r->parent;
        if (deepest) {
            compact(t, r);
            if (!parent) return;
            struct core_run *h = core_tree_run(t, parent);
            if (h->child != run || r->next || !can_merge(h, r)) return;
        } else {
            core_run_release(t, run);
        }
        run = parent;
    }
}
