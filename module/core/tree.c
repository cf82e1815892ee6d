// SPDX-License-Identifier: Apache-2.0
#include "tree.h"

#include <string.h>

int tree_init(struct tree *t, struct mem *m, uint64_t seed) {
    *t = (struct tree){.mem = m, .n_runs = 1};
    if (index_init(&t->index, m, seed)) return -1;
    t->pages = mem_alloc(m, sizeof *t->pages);
    if (!t->pages) return -1;
    t->cap_pages = 1;
    t->pages[0] = mem_calloc(m, RUN_PAGE * sizeof **t->pages);
    if (!t->pages[0]) return -1;
    t->n_pages = 1;
    t->pages[0][0].parent = RUN_FREE; // id 0 is nobody's
    if (mem_grow(m, &t->slots, &t->cap_slots, 1, sizeof *t->slots) ||
        mem_grow(m, &t->instance_of, &t->cap_instance_of, 1, sizeof *t->instance_of))
        return -1;
    t->slots[0] = (struct slot){0};
    t->instance_of[0] = NO_INSTANCE;
    t->n_slots = 1;
    return 0;
}

void tree_free(struct tree *t) {
    for (uint32_t id = 1; id < t->n_runs; id++) {
        struct run *r = tree_run(t, id);
        if (r->parent == RUN_FREE) continue;
        mem_free(t->mem, r->hashes, r->room * sizeof *r->hashes);
        if (r->many) mem_free(t->mem, r->e.out.entries, r->e.out.cap * sizeof(uint32_t));
    }
    for (size_t i = 0; i < t->n_pages; i++)
        mem_free(t->mem, t->pages[i], RUN_PAGE * sizeof **t->pages);
    mem_free(t->mem, t->pages, t->cap_pages * sizeof *t->pages);
    for (uint32_t i = 0; t->slots && i < t->n_slots; i++)
        runset_free(&t->slots[i].runs, t->mem);
    mem_free(t->mem, t->slots, t->cap_slots * sizeof *t->slots);
    mem_free(t->mem, t->instance_of, t->cap_instance_of * sizeof *t->instance_of);
    mem_free(t->mem, t->journal, t->cap_journal * sizeof *t->journal);
    index_free(&t->index);
}

static uint64_t hash_at(const struct run *r, unsigned offset) {
    return offset + 1 == r->len ? r->last : r->hashes[offset]; // the former needs no other line
}

// As tree_find; where the block isn't in the tree, the probe is left where its entry would stand.
static bool seek(const struct tree *t, uint64_t hash, struct index_probe *p, uint32_t *run,
                 unsigned *offset) {
    *p = index_first(&t->index, hash);
    while (index_next(p, run, offset))
        if (hash_at(tree_run(t, *run), *offset) == hash) return true;
    return false;
}

bool tree_find(const struct tree *t, uint64_t hash, uint32_t *run, unsigned *offset) {
    struct index_probe p;
    return seek(t, hash, &p, run, offset);
}

// ---- What is known -------------------------------------------------------------------------------

enum known { UNKNOWN, KNOWN, UNDECIDED };

static bool held_beyond(const struct tree *t, const struct run *r, uint32_t depth) {
    const uint32_t *e = run_entries(r);
    for (uint32_t i = 0; i < r->n; i++)
        if (entry_depth(e[i]) > depth && t->instance_of[entry_slot(e[i])] != NO_INSTANCE)
            return true;
    return false;
}

// Whether the block is held by a live slot, or one below it is. Outside of a transaction and with
// nothing left to sweep every run has a live holder at or below it, and the first leaf answers; a
// subtree that has been dropped but not swept is looked through, within the transaction's budget.
static enum known is_known(struct tree *t, uint32_t run, unsigned offset) {
    if (held_beyond(t, tree_run(t, run), offset)) return KNOWN;
    uint32_t at = tree_run(t, run)->child;
    while (at) {
        if (t->budget >= 0 && t->budget-- == 0) {
            t->budget = 0;
            return UNDECIDED;
        }
        struct run *r = tree_run(t, at);
        if (held_beyond(t, r, 0)) return KNOWN;
        if (r->child) {
            at = r->child;
            continue;
        }
        while (at != run && !tree_run(t, at)->next)
            at = tree_run(t, at)->parent;
        at = at == run ? 0 : tree_run(t, at)->next;
    }
    return UNKNOWN;
}

// ---- Storing -------------------------------------------------------------------------------------

// Where a sequence stands: after block `offset` of `run`; run 0 is its start.
struct place {
    uint32_t run;
    unsigned offset;
};

static bool follows(const struct tree *t, struct place at, uint32_t run, unsigned offset) {
    if (offset) return at.run == run && at.offset + 1 == offset;
    uint32_t parent = tree_run(t, run)->parent;
    return at.run == parent && (parent == 0 || at.offset + 1 == tree_run(t, parent)->len);
}

// Takes a block that isn't known any more, and what stands below it in its run, out of the index, so
// that it can come again under another parent. What remains is swept with its holders.
static int detach(struct tree *t, uint32_t run, unsigned offset) {
    if (offset && !run_split(t, run, offset)) return -1;
    struct run *r = tree_run(t, run);
    while (r->n)
        if (run_set_depth(t, run, entry_slot(run_entries(r)[r->n - 1]), 0)) return -1;
    if (journal_push(t, UNDO_TRUNC, run, r->len, 0)) return -1;
    for (uint32_t i = 0; i < r->len; i++)
        index_remove(&t->index, r->hashes[i], run, i);
    run_set_len(r, 0);
    return 0;
}

// The slot comes to hold the run's blocks offset..offset + n - 1. A run is split where the slot would
// get a hole. *at: the last of these blocks.
static int hold(struct tree *t, uint32_t slot, uint32_t run, unsigned offset, uint32_t n,
                struct place *at, uint64_t *stored) {
    uint32_t depth = run_depth(t, run, slot);
    if (depth < offset) {
        if (!run_split(t, run, offset)) return -1;
        depth = offset = 0;
    }
    if (offset + n > depth) {
        if (run_set_depth(t, run, slot, offset + n)) return -1;
        *stored += offset + n - depth;
    }
    *at = (struct place){run, offset + n - 1};
    return 0;
}

// Puts blocks at the run's end, up to one that is in the tree already; the first isn't. -1 without
// memory.
static int put_blocks(struct tree *t, uint32_t run, const uint64_t *hashes, size_t n) {
    struct run *r = tree_run(t, run);
    uint32_t len = r->len;
    int failed = 0;
    for (size_t i = 0; i < n; i++) {
        struct index_probe p;
        uint32_t other;
        unsigned offset;
        if (i + INDEX_AHEAD < n) index_prefetch(&t->index, hashes[i + INDEX_AHEAD], INDEX_LINES);
        if (seek(t, hashes[i], &p, &other, &offset)) break;
        if ((failed = index_add_at(&t->index, &p, run, len))) break;
        r->hashes[len++] = hashes[i];
    }
    run_set_len(r, len);
    return failed;
}

// Adds blocks that aren't in the tree after *at: to the run there, if that is the slot's alone to
// prolong, else as a new run. Stops at one that is in the tree, or when the run is full. *added: >= 1.
static int append(struct tree *t, uint32_t slot, const uint64_t *hashes, size_t n, struct place *at,
                  size_t *added) {
    index_prefetch_first(&t->index, hashes, 1, n);
    uint32_t run = at->run;
    if (run && at->offset + 1 < tree_run(t, run)->len && !(run = run_split(t, run, at->offset + 1)))
        return -1;
    uint32_t len = run ? tree_run(t, run)->len : 0;
    bool prolong =
        run && len < RUN_MAX && !tree_run(t, run)->child && run_depth(t, run, slot) == len;
    size_t most = prolong && n > RUN_MAX - len ? RUN_MAX - len : n > RUN_MAX ? RUN_MAX : n;
    if (!prolong) {
        len = 0;
        run = run_new(t, run, most);
        if (!run) return -1;
    } else if (run_reserve(t, run, len + most)) {
        return -1;
    }
    if (journal_push(t, UNDO_APPEND, run, len, 0)) {
        if (!prolong) run_release(t, run);
        return -1;
    }
    runset_prefetch(&t->slots[slot].runs, run);
    if (put_blocks(t, run, hashes, most)) return -1;
    const struct run *r = tree_run(t, run);
    *added = r->len - len;
    *at = (struct place){run, r->len - 1};
    return run_set_depth(t, run, slot, r->len);
}

enum kvr_err tree_store(struct tree *t, uint32_t slot, const uint64_t *parent,
                        const uint64_t *hashes, size_t n, uint64_t *stored) {
    static const enum kvr_err refusal[] = {[UNKNOWN] = KVR_NOPARENT, [UNDECIDED] = KVR_BUSY};
    struct place at = {0, 0};
    if (parent) {
        if (!tree_find(t, *parent, &at.run, &at.offset)) return KVR_NOPARENT;
        enum known known = is_known(t, at.run, at.offset);
        if (known != KNOWN) return refusal[known];
    }
    for (size_t i = 0; i < n;) {
        uint32_t run;
        unsigned offset;
        bool found = tree_find(t, hashes[i], &run, &offset);
        if (found && follows(t, at, run, offset)) {
            const struct run *r = tree_run(t, run);
            uint32_t k = 1;
            while (i + k < n && offset + k < r->len && hashes[i + k] == r->hashes[offset + k])
                k++;
            if (hold(t, slot, run, offset, k, &at, stored)) return KVR_NOMEM;
            i += k;
            continue;
        }
        if (found) {
            enum known known = is_known(t, run, offset);
            if (known != UNKNOWN) return known == KNOWN ? KVR_BADCHAIN : KVR_BUSY;
            // The split may move where the sequence stands; its hash finds it again.
            uint64_t last = at.run ? tree_run(t, at.run)->hashes[at.offset] : 0;
            if (detach(t, run, offset)) return KVR_NOMEM;
            if (at.run) tree_find(t, last, &at.run, &at.offset);
        }
        size_t added;
        if (append(t, slot, hashes + i, n - i, &at, &added)) return KVR_NOMEM;
        *stored += added;
        i += added;
    }
    return KVR_OK;
}

// ---- Removing ------------------------------------------------------------------------------------

enum kvr_err tree_remove(struct tree *t, uint32_t slot, const uint64_t *hashes, size_t n,
                         uint64_t *removed) {
    if (!slot) return KVR_OK;
    for (size_t i = 0; i < n;) {
        uint32_t run, k = 1;
        unsigned offset;
        if (!tree_find(t, hashes[i], &run, &offset)) {
            i++;
            continue;
        }
        const struct run *r = tree_run(t, run);
        while (i + k < n && offset + k < r->len && hashes[i + k] == r->hashes[offset + k])
            k++;
        i += k;
        uint32_t depth = run_depth(t, run, slot);
        if (depth <= offset) continue;
        uint32_t end = offset + k;
        if (end < depth) { // a hole: what follows becomes a run of its own
            uint32_t head = run_split(t, run, end);
            if (!head) return KVR_NOMEM;
            run = head;
            depth = end;
        }
        if (run_set_depth(t, run, slot, offset)) return KVR_NOMEM;
        *removed += depth - offset;
    }
    return KVR_OK;
}

// ---- Matching ------------------------------------------------------------------------------------

// How many of the request's next blocks are the run's from `offset` on; at least one is.
static uint32_t common(const struct run *r, unsigned offset, const uint64_t *hashes, size_t n) {
    uint32_t most = r->len - offset;
    if (most > n) most = (uint32_t)n;
    const uint64_t *own = r->hashes + offset;
    if (own[most - 1] == hashes[most - 1]) return most;
    uint32_t same = 1, differ = most; // blocks before `same` agree, the one before `differ` doesn't
    while (differ - same > 1) {
        uint32_t mid = (same + differ) / 2;
        if (own[mid - 1] == hashes[mid - 1])
            same = mid;
        else
            differ = mid;
    }
    return same;
}

// What the index says of a stretch of a request, asked for every STEP-th of its blocks at once so that
// the cache misses overlap: first those of the index, then those of the runs. Nothing here is compared
// with a hash yet, so it is a hint: which run begins where. The first stretch is shorter, since many
// requests have nothing in the tree behind their beginning.
enum { STEP = 32, FIRST_SIGHTS = 4, SIGHTS = 16 };
struct sight {
    size_t end;     // of what has been looked at
    size_t n, next; // runs seen; those before `next` begin earlier than the match is now
    struct {
        size_t start; // of the run, in the request
        uint32_t run;
    } seen[SIGHTS];
};

static void look_ahead(const struct tree *t, const uint64_t *hashes, size_t n, size_t from,
                       struct sight *s) {
    s->n = s->next = 0;
    s->end = from + (from ? SIGHTS : FIRST_SIGHTS) * STEP;
    if (n > s->end) n = s->end;
    for (size_t at = from; at < n; at += STEP)
        index_prefetch(&t->index, hashes[at], 2);
    for (size_t at = from; at < n; at += STEP) {
        struct index_probe p = index_first(&t->index, hashes[at]);
        uint32_t run;
        unsigned offset;
        if (!index_next(&p, &run, &offset) || offset > at) continue;
        if (s->n && s->seen[s->n - 1].run == run) continue;
        __builtin_prefetch(tree_run(t, run));
        s->seen[s->n].start = at - offset;
        s->seen[s->n++].run = run;
    }
}

// The run that begins with the request's block i and that the request has whole, if it is in sight.
static const struct run *in_sight(const struct tree *t, struct sight *s, const uint64_t *hashes,
                                  size_t n, size_t i) {
    while (s->next < s->n && s->seen[s->next].start < i)
        s->next++;
    if (s->next == s->n || s->seen[s->next].start != i) return NULL;
    const struct run *r = tree_run(t, s->seen[s->next].run);
    return r->len && r->len <= n - i && r->last == hashes[i + r->len - 1] ? r : NULL;
}

// What the holders of the run's blocks from `offset` on have of the request, whose blocks from i on are
// k of these. Returns whether the match goes on behind them for somebody.
static bool count_holders(const struct tree *t, const struct run *r, unsigned offset, size_t i,
                          uint32_t k, struct tree_match *m) {
    const uint32_t *e = run_entries(r), *instance_of = t->instance_of;
    const uint32_t n = r->n, from = (uint32_t)i;
    uint32_t *reach = m->reach, *by_tier = m->by_tier[0];
    int tier = 0;
    bool goes_on = m->longest >= i + k;
    for (uint32_t j = 0; j < n; j++) {
        uint32_t instance = instance_of[entry_slot(e[j])], depth = entry_depth(e[j]);
        if (instance == NO_INSTANCE || depth <= offset) continue;
        uint32_t before = reach[instance], cover = depth - offset;
        if (before < from) continue;
        if (cover >= k) {
            cover = k;
            goes_on = true;
        }
        if (from + cover <= before) continue;
        // Entries are sorted by tier, so the best tier counts a block first.
        if (entry_tier(e[j]) != tier) by_tier = m->by_tier[tier = entry_tier(e[j])];
        by_tier[instance] += from + cover - before;
        reach[instance] = from + cover;
    }
    return goes_on;
}

void tree_match(const struct tree *t, const uint64_t *hashes, size_t n, struct tree_match *m) {
    struct sight sight = {0, 0, 0, {{0, 0}}};
    for (size_t i = m->from; i < n;) {
        if (i >= sight.end) look_ahead(t, hashes, n, i, &sight);
        const struct run *r = in_sight(t, &sight, hashes, n, i);
        uint32_t k = r ? r->len : 0, run;
        unsigned offset = 0;
        if (!r) {
            if (!tree_find(t, hashes[i], &run, &offset)) return;
            r = tree_run(t, run);
            k = common(r, offset, hashes + i, n - i);
        }
        if (!count_holders(t, r, offset, i, k, m)) return;
        i += k;
    }
}

// ---- Loading and moving --------------------------------------------------------------------------

enum kvr_err tree_build_run(struct tree *t, uint32_t parent, const uint64_t *hashes, size_t n,
                            uint32_t *run) {
    *run = run_new(t, parent, n);
    if (!*run) return KVR_NOMEM;
    struct run *r = tree_run(t, *run);
    for (size_t i = 0; i < n; i++) {
        uint32_t other;
        unsigned offset;
        if (tree_find(t, hashes[i], &other, &offset)) return KVR_CORRUPT;
        if (index_add(&t->index, hashes[i], *run, (unsigned)i)) return KVR_NOMEM;
        r->hashes[r->len] = hashes[i];
        run_set_len(r, r->len + 1);
    }
    return KVR_OK;
}

int tree_build_holder(struct tree *t, uint32_t run, uint32_t slot, uint32_t depth) {
    return run_set_depth(t, run, slot, depth);
}

bool tree_defrag(struct tree *t, uint64_t *cursor, void *(*move)(void *ctx, void *),
                 bool (*stop)(void *ctx), void *ctx) {
    for (uint64_t id = *cursor ? *cursor : 1; id < t->n_runs; id++) {
        struct run *r = tree_run(t, (uint32_t)id);
        *cursor = id;
        if (id % 64 == 0 && stop(ctx)) return false;
        if (r->parent == RUN_FREE) continue;
        void *moved = move(ctx, r->hashes);
        if (moved) r->hashes = moved;
        if (!r->many) continue;
        moved = move(ctx, r->e.out.entries);
        if (moved) r->e.out.entries = moved;
    }
    *cursor = 0;
    return true;
}
