// SPDX-License-Identifier: Apache-2.0
// See mock.h.
#include "mock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- The pool ------------------------------------------------------------------------------------

static void unneed(struct naive_pool *p, int block) {
    while (block != NOBODY) {
        struct pool_block *b = &p->block[block];
        if (!b->known || b->ours || b->others || b->children) return;
        b->known = false;
        block = b->parent;
        if (block != NOBODY) p->block[block].children--;
    }
}

// The holdings are ours or the others'.
static enum kvr_code store(struct naive_pool *p, bool ours, unsigned tier, int parent,
                           const int *blocks, size_t n, int *refused) {
    if (parent != NOBODY && !p->block[parent].known) return KVR_CODE_NOPARENT;
    for (size_t i = 0; i < n; i++) {
        struct pool_block *b = &p->block[blocks[i]];
        *refused = blocks[i];
        if (b->known && b->parent != parent) return KVR_CODE_BADCHAIN;
        if (!b->known && parent != NOBODY) p->block[parent].children++;
        b->known = true;
        b->parent = parent;
        if (ours)
            b->ours |= tier;
        else
            b->others |= tier;
        parent = blocks[i];
    }
    return KVR_CODE_OK;
}

static void drop(struct naive_pool *p, size_t n, unsigned tiers) {
    for (size_t i = 0; i < n; i++)
        p->block[i].ours &= ~tiers;
    for (size_t i = 0; i < n; i++)
        unneed(p, (int)i);
}

void mock_other_stores(struct mock *m, int parent, const int *blocks, size_t n) {
    int refused;
    m->before = m->pool;
    if (store(&m->pool, false, 1, parent, blocks, n, &refused) != KVR_CODE_OK) m->pool = m->before;
}

void mock_other_removes(struct mock *m, int block) {
    m->pool.block[block].others = 0;
    unneed(&m->pool, block);
}

// ---- Commands ------------------------------------------------------------------------------------

struct words { // of a command, as they go over the wire
    const char *at, *end;
    size_t left;
};

static size_t header(struct words *w, char kind) {
    char *end;
    must(w->at < w->end && *w->at == kind, "a command isn't RESP");
    size_t n = strtoul(w->at + 1, &end, 10);
    must(end + 2 <= w->end && end[0] == '\r' && end[1] == '\n', "a header of a command is cut");
    w->at = end + 2;
    return n;
}

static struct kvr_bytes next(struct words *w) {
    must(w->left > 0, "a command is too short");
    w->left--;
    size_t n = header(w, '$');
    struct kvr_bytes word = {w->at, n};
    must(n + 2 <= (size_t)(w->end - w->at), "a word of a command is cut");
    w->at += n + 2;
    return word;
}

static bool is(struct kvr_bytes word, const char *text) {
    return word.n == strlen(text) && memcmp(word.p, text, word.n) == 0;
}

static uint64_t number(struct kvr_bytes word) {
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)word.n, word.p);
    return strtoull(text, NULL, 10);
}

static int block_at(const struct mock *m, const char *p) {
    uint64_t hash;
    memcpy(&hash, p, sizeof hash);
    int block = universe_find(m->universe, hash);
    must(block != NOBODY, "an event names a block that doesn't exist");
    return block;
}

static size_t hashes(const struct mock *m, struct words *w, int *blocks) {
    must(is(next(w), "HASHES"), "HASHES is missing");
    struct kvr_bytes blob = next(w);
    must(blob.n % 8 == 0 && blob.n / 8 <= m->batch_blocks, "%zu bytes of hashes", blob.n);
    for (size_t i = 0; i < blob.n / 8; i++)
        blocks[i] = block_at(m, blob.p + 8 * i);
    return blob.n / 8;
}

static enum kvr_code apply_op(struct mock *m, struct words *w, size_t *n_blocks, int *refused) {
    static const char *const tiers[] = {"device", "host", "disk"};
    static int blocks[MOST_BLOCKS];
    struct kvr_bytes word = next(w);
    int tier = -1;
    if (is(word, "TIER")) {
        word = next(w);
        for (int i = 0; i < KVR_TIERS; i++)
            if (is(word, tiers[i])) tier = i;
        must(tier >= 0, "an unknown tier");
        word = next(w);
    }
    if (is(word, "CLEARED")) {
        drop(&m->pool, m->universe->n, tier < 0 ? ALL_TIERS : bit_of(tier));
        return KVR_CODE_OK;
    }
    unsigned bit = tier < 0 ? bit_of(KVR_DEVICE) : bit_of(tier);
    bool stored = is(word, "STORED");
    int parent = NOBODY;
    must(stored || is(word, "REMOVED"), "an unknown op");
    if (stored) {
        word = next(w);
        if (!is(word, "-")) {
            must(word.n == 8, "a parent of %zu bytes", word.n);
            parent = block_at(m, word.p);
        }
    }
    size_t n = hashes(m, w, blocks);
    *n_blocks += n;
    if (stored) return store(&m->pool, true, bit, parent, blocks, n, refused);
    for (size_t i = 0; i < n; i++) {
        m->pool.block[blocks[i]].ours &= ~bit;
        unneed(&m->pool, blocks[i]);
    }
    return KVR_CODE_OK;
}

static enum kvr_code apply_ops(struct mock *m, struct words *w) {
    enum kvr_code code = KVR_CODE_OK;
    int refused = NOBODY;
    size_t stored = 0;
    while (w->left && code == KVR_CODE_OK)
        code = apply_op(m, w, &stored, &refused);
    must(stored <= m->batch_blocks, "an event of %zu blocks", stored);
    if (code == KVR_CODE_BADCHAIN) m->refused[refused] = true;
    return code;
}

// The row of the command set's table that the event falls under.
static enum kvr_code apply(struct mock *m, const struct command *c, int64_t *n) {
    struct words w = {c->at, c->at + c->n, 1};
    w.left = header(&w, '*');
    must(is(next(&w), "KVROUTE.EVENT") && is(next(&w), "pool") && is(next(&w), "w"), "not ours");
    must(number(next(&w)) == 3, "not our rank");
    uint64_t epoch = number(next(&w)), seq = number(next(&w));
    struct naive_pool *p = &m->pool;
    must(epoch >= 1 && epoch <= INT64_MAX && seq >= 1 && w.left, "epoch or seq out of range");
    if (!p->exists) return KVR_CODE_NOPOOL;
    if (!p->has_worker) return KVR_CODE_NOWORKER;
    *n = (int64_t)p->epoch;
    if (epoch < p->epoch) return KVR_CODE_STALE;
    uint64_t expected = epoch > p->epoch ? 1 : p->seq + 1;
    *n = (int64_t)expected;
    if (seq > expected) return KVR_CODE_GAP;
    *n = (int64_t)p->seq;
    if (seq < expected) return KVR_CODE_OK;
    m->before = *p;
    if (epoch > p->epoch) drop(p, m->universe->n, ALL_TIERS);
    enum kvr_code code = apply_ops(m, &w);
    must(code != KVR_CODE_OK || w.at == w.end, "a command has more than it says");
    if (code != KVR_CODE_OK) {
        *p = m->before;
        *n = -1;
        return code;
    }
    p->epoch = epoch;
    p->seq = seq;
    *n = (int64_t)seq;
    return KVR_CODE_OK;
}

// ---- The handle ----------------------------------------------------------------------------------

bool mock_carry_out(struct mock *m) {
    static const enum kvr_code failures[] = {
        KVR_CODE_OOM,     KVR_CODE_NOWORKER,  KVR_CODE_NOPOOL,   KVR_CODE_DENIED,
        KVR_CODE_REFUSED, KVR_CODE_WRONGTYPE, KVR_CODE_NOPARENT, KVR_CODE_PROTOCOL};
    size_t i = 0;
    while (i < m->n && m->queue[i].carried_out)
        i++;
    if (i == m->n) return false;
    struct sending *s = &m->queue[i];
    s->carried_out = true;
    s->answer = (struct kvr_result){.message = "", .sendings = ++s->times, .number = -1};
    if (dice_chance(&m->dice, m->fails))
        s->answer.code = failures[dice_below(&m->dice, sizeof failures / sizeof *failures)];
    else
        s->answer.code = apply(m, &s->command, &s->answer.number);
    return true;
}

static void leave(struct mock *m, size_t i) {
    kvr_alloc_free(&m->alloc, m->queue[i].command.base);
    memmove(&m->queue[i], &m->queue[i + 1], (--m->n - i) * sizeof *m->queue);
}

bool mock_answer(struct mock *m) {
    if (!m->n || !m->queue[0].carried_out) return false;
    struct sending s = m->queue[0];
    m->answered[s.answer.code]++;
    leave(m, 0);
    if (s.done) s.done(s.ctx, &s.answer);
    return true;
}

void mock_tick(struct mock *m, int64_t ms) {
    m->now += ms;
    m->date += (uint64_t)ms * 1000;
    struct follower *f = m->follower;
    if (!f || f->wake_at > m->now) return;
    f->wake_at = NEVER;
    f->wake(f, m->now);
}

void mock_postpone(struct mock *m) {
    size_t i = 0;
    while (i < m->n && m->queue[i].carried_out)
        i++;
    if (i == m->n) return;
    struct sending s = m->queue[i];
    memmove(&m->queue[i], &m->queue[i + 1], (m->n - 1 - i) * sizeof s);
    m->queue[m->n - 1] = s;
}

void mock_remember(struct mock *m) {
    size_t i = m->n_snapshots < SNAPSHOTS ? m->n_snapshots++ : dice_below(&m->dice, SNAPSHOTS);
    m->snapshots[i] = m->pool;
}

static void other_history(struct mock *m) {
    for (size_t i = 0; i < m->n; i++)
        m->queue[i].carried_out = false;
    if (m->follower) m->follower->history(m->follower);
}

void mock_failover(struct mock *m) {
    if (m->n_snapshots) m->pool = m->snapshots[dice_below(&m->dice, m->n_snapshots)];
    other_history(m);
}

void mock_restart(struct mock *m) {
    memset(&m->pool, 0, sizeof m->pool);
    m->pool.exists = dice_chance(&m->dice, 50);
    other_history(m);
}

// ---- The port ------------------------------------------------------------------------------------

static void follow(void *handle, struct follower *f) {
    struct mock *m = handle;
    must(!m->follower, "one follower at a time");
    m->follower = f;
}

static void unfollow(void *handle, struct follower *f) {
    struct mock *m = handle;
    must(m->follower == f, "not the follower");
    m->follower = NULL;
}

static void wake(void *handle, struct follower *f, int64_t at) {
    (void)handle;
    f->wake_at = at;
}

static int64_t now(void *handle) {
    return ((struct mock *)handle)->now;
}

static uint64_t date(void *handle) {
    return ((struct mock *)handle)->date;
}

static enum kvr_code send_event(void *handle, struct command *command, kvr_done *done, void *ctx) {
    struct mock *m = handle;
    if (m->memory.one_in && dice_below(&m->dice, m->memory.one_in) == 0) return KVR_CODE_NOMEM;
    must(m->n < MOCK_QUEUE, "too many events are under way");
    m->queue[m->n++] = (struct sending){.command = *command, .done = done, .ctx = ctx};
    m->sent++;
    return KVR_CODE_OK;
}

static void detach(void *handle, void *ctx) {
    struct mock *m = handle;
    for (size_t i = 0; i < m->n; i++)
        if (m->queue[i].ctx == ctx) m->queue[i].done = NULL;
}

static void log_line(void *handle, enum kvr_level level, const char *line) {
    struct mock *m = handle;
    (void)level;
    must(!strncmp(line, "publisher w:3: ", 15), "a log line says %s", line);
    m->logged++;
}

struct publisher_port mock_port(struct mock *m) {
    return (struct publisher_port){.handle = m,
                                   .alloc = &m->alloc,
                                   .pool = {"pool", 4},
                                   .random = dice_next(&m->dice),
                                   .follow = follow,
                                   .unfollow = unfollow,
                                   .wake = wake,
                                   .now = now,
                                   .date = date,
                                   .send = send_event,
                                   .detach = detach,
                                   .log = log_line};
}

void mock_init(struct mock *m, const struct universe *u, uint64_t seed) {
    memset(m, 0, sizeof *m);
    m->universe = u;
    m->alloc = testmem_alloc(&m->memory);
    m->dice.state = m->memory.random = seed;
    m->now = 1000;
    m->date = 1000000;
    m->pool.exists = m->pool.has_worker = true;
    m->batch_blocks = MOST_BLOCKS;
}

void mock_finish(struct mock *m) {
    must(!m->follower, "somebody still follows");
    while (m->n) {
        must(!m->queue[0].done, "an event under way belongs to nobody");
        leave(m, 0);
    }
    testmem_all_free(&m->memory, "a publisher");
}
