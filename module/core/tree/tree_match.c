// SPDX-License-Identifier: Apache-2.0
// Looking blocks up: one by its hash, and how much of a request everybody holds. Nothing here changes the tree.
#include <string.h>

#include "module/core/base/wide.h"
#include "tree_run.h"

bool core_tree_find(const struct core_tree *t, uint64_t hash, uint32_t *run, unsigned *offset) {
    struct core_index_probe p;
    return core_tree_seek(t, hash, &p, run, offset);
}

// How many of the request's next blocks are the run's from `offset` on; at least one is.
static uint32_t common(const struct core_run *r, unsigned offset, const uint64_t *hashes,
                       size_t n) {
    uint32_t max = r->len - offset;
    if (max > n) max = (uint32_t)n;
    const uint64_t *own = r->hashes + offset;
    if (own[max - 1] == hashes[max - 1]) return max;
    uint32_t same = 1, differ = max; // blocks before `same` agree, the one before `differ` doesn't
    while (differ - same > 1) {
        uint32_t mid = (same + differ) / 2;
        if (own[mid - 1] == hashes[mid - 1])
            same = mid;
        else
            differ = mid;
    }
    return same;
}

// What the index says of a stretch of a request, asked for every LOOKAHEAD_STEP-th of its blocks at once so that
// the cache misses overlap: first those of the index, then those of the runs. Nothing here is compared
// with a hash yet, so it is a hint: which run begins where. The first stretch is shorter, since many
// requests have nothing in the tree behind their beginning.
enum { LOOKAHEAD_STEP = 32, LOOKAHEAD_FIRST_RUNS = 4, LOOKAHEAD_RUNS = 16 };
struct tree_lookahead {
    size_t end;     // of what has been looked at
    size_t n, next; // runs seen; those before `next` begin earlier than the match is now
    struct {
        size_t start; // of the run, in the request
        uint32_t run;
    } seen[LOOKAHEAD_RUNS];
};

static void fill_lookahead(const struct core_tree *t, const uint64_t *hashes, size_t n, size_t from,
                           struct tree_lookahead *s) {
    s->n = s->next = 0;
    s->end = from + (from ? LOOKAHEAD_RUNS : LOOKAHEAD_FIRST_RUNS) * LOOKAHEAD_STEP;
    if (n > s->end) n = s->end;
    for (size_t at = from; at < n; at += LOOKAHEAD_STEP)
        core_index_prefetch(&t->index, hashes[at], 2);
    for (size_t at = from; at < n; at += LOOKAHEAD_STEP) {
        struct core_index_probe p = core_index_first(&t->index, hashes[at]);
        uint32_t run;
        unsigned offset;
        if (!core_index_next(&p, &run, &offset) || offset > at) continue;
        if (s->n && s->seen[s->n - 1].run == run) continue;
        __builtin_prefetch(core_tree_run(t, run));
        s->seen[s->n].start = at - offset;
        s->seen[s->n++].run = run;
    }
}

// The run that begins with the request's block i and that the request has whole, if it is in sight.
static const struct core_run *run_ahead(const struct core_tree *t, struct tree_lookahead *s,
                                        const uint64_t *hashes, size_t n, size_t i) {
    while (s->next < s->n && s->seen[s->next].start < i)
        s->next++;
    if (s->next == s->n || s->seen[s->next].start != i) return NULL;
    const struct core_run *r = core_tree_run(t, s->seen[s->next].run);
    return r->len && r->len <= n - i && r->last == hashes[i + r->len - 1] ? r : NULL;
}

// What the holders of the run's blocks from `offset` on have of the request, whose blocks from i on are `own` of
// these. Returns whether the match goes on behind them for somebody.
static bool count(const struct core_tree *t, const struct core_run *r, unsigned offset,
                  uint32_t own, size_t i, struct core_match *m) {
    const uint32_t *e = core_run_entries(r);
    const uint32_t n = r->n, from = (uint32_t)i;
    bool goes_on = m->longest >= i + own;
    for (uint32_t j = 0; j < n; j++) {
        uint32_t instance = t->instance_of[core_entry_slot(e[j])], depth = core_entry_depth(e[j]);
        if (instance == CORE_NO_INSTANCE || depth <= offset) continue;
        uint32_t before = m->reach[instance], cover = depth - offset;
        if (before < from) continue;
        if (cover >= own) {
            cover = own;
            goes_on = true;
        }
        if (from + cover <= before) continue;
        // Entries are sorted by tier, so the best tier counts a block first.
        m->by_tier[core_entry_tier(e[j])][instance] += from + cover - before;
        m->reach[instance] = from + cover;
    }
    return goes_on;
}

// What a holder counts of a stretch of the request, blocks from .. to - 1, of which it has all if it has reached it.
// Worded so that there is nothing to branch for; numbers of blocks are below 2^31.
static inline bool count_one(uint32_t *reach, uint32_t *blocks, uint32_t from, uint32_t to) {
    int32_t before = (int32_t)*reach, more = (int32_t)to - before;
    bool reached = before >= (int32_t)from;
    more = reached && more > 0 ? more : 0;
    *blocks += (uint32_t)more;
    *reach = (uint32_t)(before + more);
    return reached;
}

// Whether these holders are of one tier, and their slots and their instances have numbers one behind the other: as
// where a fleet has stored in the order in which it joined.
enum { MATCH_AT_ONCE = 32 };
static CORE_WIDE bool in_a_row(const uint32_t *restrict e, const uint32_t *restrict instance_of) {
    uint32_t slot = core_entry_slot(e[0]), first = instance_of[slot], differ = 0;
    if ((e[MATCH_AT_ONCE - 1] >> 8) - (e[0] >> 8) != MATCH_AT_ONCE - 1) return false;
    for (uint32_t k = 0; k < MATCH_AT_ONCE; k++)
        differ |= instance_of[slot + k] ^ (first + k);
    return !differ;
}

static CORE_WIDE bool count_row(uint32_t *restrict reach, uint32_t *restrict blocks, uint32_t from,
                                uint32_t to) {
    uint32_t any = 0;
    for (uint32_t k = 0; k < MATCH_AT_ONCE; k++)
        any |= count_one(&reach[k], &blocks[k], from, to);
    return any;
}

// As `count`, where each holder has all of the run, and of the k blocks those in runs behind it, too: most often the
// beginning of long prompts, which everybody holds.
static bool count_whole(const struct core_tree *t, const struct core_run *r, size_t i, uint32_t k,
                        struct core_match *m) {
    const uint32_t *e = core_run_entries(r), *instance_of = t->instance_of;
    const uint32_t n = r->n, from = (uint32_t)i, to = from + k;
    uint32_t *reach = m->reach;
    bool goes_on = m->longest >= to;
    for (uint32_t j = 0; j < n;) {
        // Entries are sorted by tier.
        uint32_t *by_tier = m->by_tier[core_entry_tier(e[j])];
        uint32_t instance = instance_of[core_entry_slot(e[j])];
        if (j + MATCH_AT_ONCE <= n && in_a_row(e + j, instance_of)) {
            goes_on |= count_row(&reach[instance], &by_tier[instance], from, to);
            j += MATCH_AT_ONCE;
            continue;
        }
        j++;
        if (instance != CORE_NO_INSTANCE &&
            count_one(&reach[instance], &by_tier[instance], from, to))
            goes_on = true;
    }
    return goes_on;
}

static bool all_whole(const struct core_run *r) {
    const uint32_t *e = core_run_entries(r);
    uint32_t differ = 0, depth = r->len - 1;
    for (uint32_t j = 0; j < r->n; j++)
        differ |= (e[j] ^ depth) & 0xff;
    return !differ;
}

// Blocks of the request from i on in runs that are as long as r and have the same holders.
static uint32_t alike_behind(const struct core_tree *t, struct tree_lookahead *s,
                             const uint64_t *hashes, size_t n, size_t i, const struct core_run *r) {
    uint32_t all = 0;
    for (; i + all < n; all += r->len) {
        if (i + all >= s->end) fill_lookahead(t, hashes, n, i + all, s);
        const struct core_run *next = run_ahead(t, s, hashes, n, i + all);
        if (!next || next->len != r->len || next->n != r->n ||
            memcmp(core_run_entries(next), core_run_entries(r), r->n * sizeof(uint32_t)) != 0)
            break;
    }
    return all;
}

// Goes down the runs that the request has, as long as somebody has all of them:
//
//   request    a b c d e f g h i j
//   runs       [a b c d][e f g h i j]      reach   w1  4, then 9
//     w1        ########  ##########               w2  4, then not further: it lacks e
//     w2        ########                           w3  2
//     w3        ####
//
// A holder counts in a run if it has reached the run's beginning; what its head of the run covers is added.
// Where many hold all of a run, the same most often hold all of the next, as a long prompt is cut every so many
// blocks: then they are counted once for both, and comparing their entries is much cheaper than counting again.
void core_tree_match(const struct core_tree *t, const uint64_t *hashes, size_t n,
                     struct core_match *m) {
    enum { MATCH_COMPARED_FROM = 16 }; // holders
    struct tree_lookahead sight = {0, 0, 0, {{0, 0}}};
    for (size_t i = m->from; i < n;) {
        if (i >= sight.end) fill_lookahead(t, hashes, n, i, &sight);
        const struct core_run *r = run_ahead(t, &sight, hashes, n, i);
        uint32_t own = r ? r->len : 0, run;
        unsigned offset = 0;
        if (!r) {
            if (!core_tree_find(t, hashes[i], &run, &offset)) return;
            r = core_tree_run(t, run);
            own = common(r, offset, hashes + i, n - i);
        }
        uint32_t k = own;
        if (r->n >= MATCH_COMPARED_FROM && all_whole(r)) {
            if (own == r->len) k += alike_behind(t, &sight, hashes, n, i + own, r);
            if (!count_whole(t, r, i, k, m)) return;
        } else if (!count(t, r, offset, own, i, m)) {
            return;
        }
        i += k;
    }
}
