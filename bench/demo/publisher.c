// SPDX-License-Identifier: Apache-2.0
// Events of the workers; see publisher.h.
#include "publisher.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/clock.h"
#include "bench/common/memory.h"
#include "pool.h"

enum {
    KEPT = 256,            // events of a worker that can be sent again
    WINDOW = 64,           // events under way at a time
    REBUILD_BLOCKS = 8192, // in one event when everything is published anew
    PATIENCE = 100,        // rounds without progress
    HEAD = 6,              // arguments before the first op
};

struct event {
    char *text; // as it goes over the wire
    int n;
};

// Events acked + 1 … made are still to be acknowledged; those after made - KEPT are kept.
struct source {
    uint64_t epoch, made, sent, acked; // sent: the furthest of this epoch
    bool anew;                         // everything is to be published under a new epoch
    struct event kept[KEPT];
};

struct publisher {
    struct link link;
    unsigned workers, lives;
    struct source *sources;
    struct cache *const *caches;
    struct board *board;
    // Arguments of the event in the making.
    const char **argv;
    size_t *lens, argc, room_argv, room_lens;
};

struct publisher *publisher_new(int port, unsigned workers, struct cache *const *caches,
                                struct board *b) {
    struct publisher *p = memory_take(1, sizeof *p);
    p->link = (struct link){.port = port, .rng = 77};
    p->workers = workers;
    p->caches = caches;
    p->board = b;
    p->sources = memory_take(workers, sizeof *p->sources);
    for (unsigned i = 0; i < workers; i++)
        p->sources[i].epoch = 1;
    return p;
}

void publisher_free(struct publisher *p) {
    if (!p) return;
    link_drop(&p->link);
    for (unsigned i = 0; i < p->workers; i++)
        for (size_t k = 0; k < KEPT; k++)
            redisFreeCommand(p->sources[i].kept[k].text);
    free(p->sources);
    free(p->argv);
    free(p->lens);
    free(p);
}

// ---- Making events -------------------------------------------------------------------------------

static void arg(struct publisher *p, const void *bytes, size_t n) {
    p->argv = memory_grow(p->argv, &p->room_argv, p->argc + 1, sizeof *p->argv);
    p->lens = memory_grow(p->lens, &p->room_lens, p->argc + 1, sizeof *p->lens);
    p->argv[p->argc] = bytes;
    p->lens[p->argc++] = n;
}

static void word(struct publisher *p, const char *text) {
    arg(p, text, strlen(text));
}

static void op_stored(struct publisher *p, const uint64_t *parent, const uint64_t *hashes,
                      size_t n) {
    word(p, "STORED");
    arg(p, parent ? (const char *)parent : "-", parent ? sizeof *parent : 1);
    word(p, "HASHES");
    arg(p, hashes, n * sizeof *hashes);
}

static void event_begin(struct publisher *p) {
    p->argc = 0;
    for (int i = 0; i < HEAD; i++)
        word(p, ""); // event_end knows what goes here
}

static void event_end(struct publisher *p, unsigned worker) {
    struct source *s = &p->sources[worker];
    struct event *e = &s->kept[++s->made % KEPT];
    char name[24], epoch[24], seq[24];
    worker_name(worker, name);
    snprintf(epoch, sizeof epoch, "%llu", (unsigned long long)s->epoch);
    snprintf(seq, sizeof seq, "%llu", (unsigned long long)s->made);
    const char *head[HEAD] = {"KVROUTE.EVENT", POOL_KEY, name, "0", epoch, seq};
    for (int i = 0; i < HEAD; i++) {
        p->argv[i] = head[i];
        p->lens[i] = strlen(head[i]);
    }
    redisFreeCommand(e->text);
    e->n = redisFormatCommandArgv(&e->text, (int)p->argc, p->argv, p->lens);
    if (e->n >= 0) return;
    fputs("kvroute-demo: out of memory\n", stderr);
    exit(3);
}

void publisher_change(struct publisher *p, unsigned worker, const uint64_t *evicted,
                      size_t n_evicted, const uint64_t *parent, const uint64_t *stored,
                      size_t n_stored) {
    struct source *s = &p->sources[worker];
    if (!n_evicted && !n_stored) return;
    // Should this publish all of the cache, then this change is in it, and told twice: no harm.
    if (s->made - s->acked >= KEPT / 2) publisher_flush(p);
    event_begin(p);
    if (n_evicted) {
        word(p, "REMOVED");
        word(p, "HASHES");
        arg(p, evicted, n_evicted * sizeof *evicted);
    }
    if (n_stored) op_stored(p, parent, stored, n_stored);
    event_end(p, worker);
}

// ---- Everything anew -----------------------------------------------------------------------------

// The cache in its own order: each stretch of blocks that follow one another is one op.
struct walk {
    struct publisher *p;
    unsigned worker;
    uint64_t *hashes;            // of the event in the making
    size_t n, first;             // the op in the making begins at first
    uint64_t parent, last_chain; // its parent; the last block of all
    bool has_parent;
};

static void walk_end_op(struct walk *k) {
    if (k->n == k->first) return;
    // Parents live in an array too: an argument must stay where it is until the event is formatted.
    uint64_t *parent = &k->hashes[REBUILD_BLOCKS + k->first];
    *parent = k->parent;
    op_stored(k->p, k->has_parent ? parent : NULL, k->hashes + k->first, k->n - k->first);
    k->first = k->n;
}

static void walk_end_event(struct walk *k) {
    walk_end_op(k);
    event_end(k->p, k->worker);
    event_begin(k->p);
    k->n = k->first = 0;
}

static void walk_block(void *ctx, uint64_t hash, const uint64_t *parent) {
    struct walk *k = ctx;
    if (k->n == REBUILD_BLOCKS) walk_end_event(k);
    if (k->n == k->first || !parent || *parent != k->last_chain) {
        walk_end_op(k);
        k->has_parent = parent != NULL;
        k->parent = parent ? *parent : 0;
    }
    k->hashes[k->n++] = k->last_chain = hash;
}

static void publish_anew(struct publisher *p, unsigned worker) {
    struct source *s = &p->sources[worker];
    s->epoch++;
    s->made = s->sent = s->acked = 0;
    s->anew = false;
    struct walk k = {
        .p = p, .worker = worker, .hashes = memory_take(2 * REBUILD_BLOCKS, sizeof(uint64_t))};
    event_begin(p);
    word(p, "CLEARED"); // so that an empty cache is news, too
    cache_each(p->caches[worker], walk_block, &k);
    walk_end_op(&k);
    event_end(p, worker);
    free(k.hashes);
    atomic_fetch_add(&p->board->rebuilt, 1);
}

// ---- Sending -------------------------------------------------------------------------------------

enum verdict { GOOD, WAIT, BAD };

static enum verdict hear(struct source *s, const redisReply *r) {
    unsigned long long v;
    if (r->type == REDIS_REPLY_INTEGER) {
        s->acked = (uint64_t)r->integer;
    } else if (link_passing(r)) {
        return WAIT;
    } else if (r->type != REDIS_REPLY_ERROR) {
        return BAD;
    } else if (sscanf(r->str, "GAP expected %llu", &v) == 1) {
        s->acked = v - 1;
        if (s->made - s->acked > KEPT) s->anew = true;
    } else if (sscanf(r->str, "STALE current %llu", &v) == 1) {
        s->epoch = v;
        s->anew = true;
    } else if (!strncmp(r->str, "NOPARENT", 8)) {
        s->anew = true;
    } else {
        fprintf(stderr, "kvroute-demo: an event was answered %s\n", r->str);
        return BAD;
    }
    return GOOD;
}

// A new connection may lead to a server that lost what it had acknowledged. The last event of each
// worker, told again, brings that to light: it is a repeat, or there is a gap before it.
static void doubt(struct publisher *p) {
    for (unsigned w = 0; p->lives && w < p->workers; w++)
        if (p->sources[w].acked) p->sources[w].acked--;
    p->lives = p->link.lives;
}

bool publisher_flush(struct publisher *p) {
    for (int round = 0; round < PATIENCE; round++) {
        redisReply *replies[WINDOW];
        unsigned from[WINDOW];
        size_t n = 0;
        if (!link_up(&p->link)) break;
        if (p->lives != p->link.lives) doubt(p);
        for (unsigned w = 0; w < p->workers; w++) {
            struct source *s = &p->sources[w];
            if (s->anew) publish_anew(p, w);
            for (uint64_t i = s->acked + 1; i <= s->made && n < WINDOW; i++) {
                const struct event *e = &s->kept[i % KEPT];
                redisAppendFormattedCommand(p->link.c, e->text, (size_t)e->n);
                if (i <= s->sent) atomic_fetch_add(&p->board->resent, 1);
                s->sent = i > s->sent ? i : s->sent;
                from[n++] = w;
            }
        }
        if (!n) return true;
        if (!link_exchange(&p->link, replies, n)) continue;
        enum verdict worst = GOOD;
        for (size_t i = 0; i < n; i++) {
            struct source *s = &p->sources[from[i]];
            uint64_t before = s->acked;
            enum verdict v = hear(s, replies[i]);
            if (s->acked > before) round = 0;
            if (v > worst) worst = v;
            freeReplyObject(replies[i]);
        }
        if (worst == BAD) return false;
        if (worst == WAIT) clock_sleep_ms(20);
    }
    fputs("kvroute-demo: the pool doesn't take the workers' events\n", stderr);
    return false;
}
