// SPDX-License-Identifier: Apache-2.0
// See ctest_port.h.
#include "ctest_port.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// ---- The pool ------------------------------------------------------------------------------------

static void unneed(struct ctest_pool *p, int block) {
    while (block != CTEST_NOBODY) {
        struct ctest_pool_block *b = &p->block[block];
        if (!b->known || b->ours || b->others || b->children) return;
        b->known = false;
        block = b->parent;
        if (block != CTEST_NOBODY) p->block[block].children--;
    }
}

// The holdings are ours or the others'.
static enum kvr_code store(struct ctest_pool *p, bool ours, unsigned tier, int parent,
                           const int *blocks, size_t n, int *refused) {
    if (parent != CTEST_NOBODY && !p->block[parent].known) return KVR_CODE_NOPARENT;
    for (size_t i = 0; i < n; i++) {
        struct ctest_pool_block *b = &p->block[blocks[i]];
        *refused = blocks[i];
        if (b->known && b->parent != parent) return KVR_CODE_BADCHAIN;
        if (!b->known && parent != CTEST_NOBODY) p->block[parent].children++;
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

static void drop(struct ctest_pool *p, size_t n, unsigned tiers) {
    for (size_t i = 0; i < n; i++)
        p->block[i].ours &= ~tiers;
    for (size_t i = 0; i < n; i++)
        unneed(p, (int)i);
}

void ctest_port_other_stores(struct ctest_port *m, int parent, const int *blocks, size_t n) {
    int refused;
    m->before = m->pool;
    if (store(&m->pool, false, 1, parent, blocks, n, &refused) != KVR_CODE_OK) m->pool = m->before;
}

void ctest_port_other_removes(struct ctest_port *m, int block) {
    m->pool.block[block].others = 0;
    unneed(&m->pool, block);
}

// ---- Commands ------------------------------------------------------------------------------------

struct command_words { // of a command, as they go over the wire
    const char *at, *end;
    size_t left;
};

static size_t header(struct command_words *w, char kind) {
    char *end;
    ctest_must(w->at < w->end && *w->at == kind, "a command isn't RESP");
    size_t n = strtoul(w->at + 1, &end, 10);
    ctest_must(end + 2 <= w->end && end[0] == '\r' && end[1] == '\n',
               "a header of a command is cut");
    w->at = end + 2;
    return n;
}

static struct kvr_bytes next(struct command_words *w) {
    ctest_must(w->left > 0, "a command is too short");
    w->left--;
    size_t n = header(w, '$');
    struct kvr_bytes word = {w->at, n};
    ctest_must(n + 2 <= (size_t)(w->end - w->at), "a word of a command is cut");
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

static int block_at(const struct ctest_port *m, const char *p) {
    uint64_t hash;
    memcpy(&hash, p, sizeof hash);
    int block = ctest_universe_find(m->universe, hash);
    ctest_must(block != CTEST_NOBODY, "an event names a block that doesn't exist");
    return block;
}

static size_t hashes(const struct ctest_port *m, struct command_words *w, int *blocks) {
    ctest_must(is(next(w), "HASHES"), "HASHES is missing");
    struct kvr_bytes blob = next(w);
    ctest_must(blob.n % 8 == 0 && blob.n / 8 <= m->batch_blocks, "%zu bytes of hashes", blob.n);
    for (size_t i = 0; i < blob.n / 8; i++)
        blocks[i] = block_at(m, blob.p + 8 * i);
    return blob.n / 8;
}

static enum kvr_code apply_op(struct ctest_port *m, struct command_words *w, size_t *n_blocks,
                              int *refused) {
    static const char *const tiers[] = {"device", "host", "disk"};
    static int blocks[CTEST_MAX_BLOCKS];
    struct kvr_bytes word = next(w);
    int tier = -1;
    if (is(word, "TIER")) {
        word = next(w);
        for (int i = 0; i < KVR_TIERS; i++)
            if (is(word, tiers[i])) tier = i;
        ctest_must(tier >= 0, "an unknown tier");
        word = next(w);
    }
    if (is(word, "CLEARED")) {
        drop(&m->pool, m->universe->n, tier < 0 ? KVR_TIER_BITS : kvr_tier_bit(tier));
        return KVR_CODE_OK;
    }
    unsigned bit = tier < 0 ? kvr_tier_bit(KVR_DEVICE) : kvr_tier_bit(tier);
    bool stored = is(word, "STORED");
    int parent = CTEST_NOBODY;
    ctest_must(stored || is(word, "REMOVED"), "an unknown op");
    if (stored) {
        word = next(w);
        if (!is(word, "-")) {
            ctest_must(word.n == 8, "a parent of %zu bytes", word.n);
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

static enum kvr_code apply_ops(struct ctest_port *m, struct command_words *w) {
    enum kvr_code code = KVR_CODE_OK;
    int refused = CTEST_NOBODY;
    size_t stored = 0;
    while (w->left && code == KVR_CODE_OK)
        code = apply_op(m, w, &stored, &refused);
    ctest_must(stored <= m->batch_blocks, "an event of %zu blocks", stored);
    if (code == KVR_CODE_BADCHAIN) m->refused[refused] = true;
    return code;
}

// The row of the command set's table that the event falls under.
static enum kvr_code apply(struct ctest_port *m, const struct kvr_command *c, int64_t *n) {
    struct command_words w = {c->at, c->at + c->n, 1};
    w.left = header(&w, '*');
    ctest_must(is(next(&w), "KVROUTE.EVENT") && is(next(&w), "pool") && is(next(&w), "w"),
               "not ours");
    ctest_must(number(next(&w)) == 3, "not our rank");
    uint64_t epoch = number(next(&w)), seq = number(next(&w));
    struct ctest_pool *p = &m->pool;
    ctest_must(epoch >= 1 && epoch <= INT64_MAX && seq >= 1 && w.left, "epoch or seq out of range");
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
    if (epoch > p->epoch) drop(p, m->universe->n, KVR_TIER_BITS);
    enum kvr_code code = apply_ops(m, &w);
    ctest_must(code != KVR_CODE_OK || w.at == w.end, "a command has more than it says");
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

bool ctest_port_carry_out(struct ctest_port *m) {
    static const enum kvr_code failures[] = {
        KVR_CODE_OOM,     KVR_CODE_NOWORKER,  KVR_CODE_NOPOOL,   KVR_CODE_DENIED,
        KVR_CODE_REFUSED, KVR_CODE_WRONGTYPE, KVR_CODE_NOPARENT, KVR_CODE_PROTOCOL};
    size_t i = 0;
    while (i < m->n && m->queue[i].carried_out)
        i++;
    if (i == m->n) return false;
    struct ctest_event *s = &m->queue[i];
    s->carried_out = true;
    s->answer = (struct kvr_result){.message = "", .sendings = ++s->times, .number = -1};
    if (ctest_chance(&m->random, m->fails))
        s->answer.code = failures[ctest_below(&m->random, sizeof failures / sizeof *failures)];
    else
        s->answer.code = apply(m, &s->command, &s->answer.number);
    return true;
}

static void leave(struct ctest_port *m, size_t i) {
    kvr_alloc_free(&m->alloc, m->queue[i].command.base);
    memmove(&m->queue[i], &m->queue[i + 1], (--m->n - i) * sizeof *m->queue);
}

bool ctest_port_answer(struct ctest_port *m) {
    if (!m->n || !m->queue[0].carried_out) return false;
    struct ctest_event s = m->queue[0];
    m->answered[s.answer.code]++;
    leave(m, 0);
    if (s.done) s.done(s.ctx, &s.answer);
    return true;
}

void ctest_port_tick(struct ctest_port *m, int64_t ms) {
    m->now += ms;
    m->date += (uint64_t)ms * 1000;
    struct kvr_follower *f = m->follower;
    if (!f || f->wake_at > m->now) return;
    f->wake_at = KVR_NEVER;
    f->wake(f, m->now);
}

void ctest_port_postpone(struct ctest_port *m) {
    size_t i = 0;
    while (i < m->n && m->queue[i].carried_out)
        i++;
    if (i == m->n) return;
    struct ctest_event s = m->queue[i];
    memmove(&m->queue[i], &m->queue[i + 1], (m->n - 1 - i) * sizeof s);
    m->queue[m->n - 1] = s;
}

void ctest_port_remember(struct ctest_port *m) {
    size_t i = m->n_snapshots < CTEST_PORT_SNAPSHOTS
                   ? m->n_snapshots++
                   : ctest_below(&m->random, CTEST_PORT_SNAPSHOTS);
    m->snapshots[i] = m->pool;
}

static void other_history(struct ctest_port *m) {
    for (size_t i = 0; i < m->n; i++)
        m->queue[i].carried_out = false;
    if (m->follower) m->follower->history(m->follower);
}

void ctest_port_failover(struct ctest_port *m) {
    if (m->n_snapshots) m->pool = m->snapshots[ctest_below(&m->random, m->n_snapshots)];
    other_history(m);
}

void ctest_port_restart(struct ctest_port *m) {
    memset(&m->pool, 0, sizeof m->pool);
    m->pool.exists = ctest_chance(&m->random, 50);
    other_history(m);
}

// ---- The port ------------------------------------------------------------------------------------

static void follow(void *handle, struct kvr_follower *f) {
    struct ctest_port *m = handle;
    ctest_must(!m->follower, "one follower at a time");
    m->follower = f;
}

static void unfollow(void *handle, struct kvr_follower *f) {
    struct ctest_port *m = handle;
    ctest_must(m->follower == f, "not the follower");
    m->follower = NULL;
}

static void wake(void *handle, struct kvr_follower *f, int64_t at) {
    (void)handle;
    f->wake_at = at;
}

static int64_t now(void *handle) {
    return ((struct ctest_port *)handle)->now;
}

static uint64_t date(void *handle) {
    return ((struct ctest_port *)handle)->date;
}

static enum kvr_code send_event(void *handle, struct kvr_command *command, kvr_done *done,
                                void *ctx) {
    struct ctest_port *m = handle;
    if (m->memory.one_in && ctest_below(&m->random, m->memory.one_in) == 0) return KVR_CODE_NOMEM;
    ctest_must(m->n < CTEST_PORT_QUEUE, "too many events are under way");
    m->queue[m->n++] = (struct ctest_event){.command = *command, .done = done, .ctx = ctx};
    m->sent++;
    return KVR_CODE_OK;
}

static void detach(void *handle, void *ctx) {
    struct ctest_port *m = handle;
    for (size_t i = 0; i < m->n; i++)
        if (m->queue[i].ctx == ctx) m->queue[i].done = NULL;
}

static void log_line(void *handle, enum kvr_level level, const char *line) {
    struct ctest_port *m = handle;
    (void)level;
    ctest_must(!strncmp(line, "publisher w:3: ", 15), "a log line says %s", line);
    m->logged++;
}

struct kvr_publisher_port ctest_port_interface(struct ctest_port *m) {
    return (struct kvr_publisher_port){.handle = m,
                                       .alloc = &m->alloc,
                                       .pool = {"pool", 4},
                                       .random = kvr_random(&m->random),
                                       .follow = follow,
                                       .unfollow = unfollow,
                                       .wake = wake,
                                       .now = now,
                                       .date = date,
                                       .send = send_event,
                                       .detach = detach,
                                       .log = log_line};
}

void ctest_port_init(struct ctest_port *m, const struct ctest_universe *u, uint64_t seed) {
    memset(m, 0, sizeof *m);
    m->universe = u;
    m->alloc = testmem_alloc(&m->memory);
    m->random = m->memory.random = seed;
    m->now = 1000;
    m->date = 1000000;
    m->pool.exists = m->pool.has_worker = true;
    m->batch_blocks = CTEST_MAX_BLOCKS;
}

void ctest_port_finish(struct ctest_port *m) {
    ctest_must(!m->follower, "somebody still follows");
    while (m->n) {
        ctest_must(!m->queue[0].done, "an event under way belongs to nobody");
        leave(m, 0);
    }
    testmem_all_free(&m->memory, "a publisher");
}
