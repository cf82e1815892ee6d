// SPDX-License-Identifier: Apache-2.0
// A publisher's process; see publishers.h.
#include "publishers.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum {
    PACE_MS = 5, // between two changes
    HEARTBEAT_MS = 300,
    MOST_REMOVED = 6, // blocks at a time
};

struct engine {
    struct publisher *log;
    struct kvr_client *handle;
    struct kvr_publisher *ranks[OF_ONE][RANKS];
    struct rng rng;
    int64_t heartbeat_at;
    size_t heartbeats; // under way
    FILE *file;
};

// ---- Workers -------------------------------------------------------------------------------------

static void heard(void *ctx, const struct kvr_result *r) {
    struct engine *e = ctx;
    e->heartbeats--;
    if (r->code == KVR_CODE_OK) {
        e->log->registered++;
        return;
    }
    if (!publisher_errors(e->log))
        snprintf(e->log->first_error, sizeof e->log->first_error, "publisher %d, WORKER SET: %s %s",
                 e->log->first, kvr_code_name(r->code), r->message);
    e->log->errors[r->code]++;
}

// What is said of a worker is said in full each time: after the loss of a pool nothing else is known.
static void heartbeat(struct engine *e) {
    if (now_ms() < e->heartbeat_at || e->heartbeats) return;
    e->heartbeat_at = now_ms() + HEARTBEAT_MS;
    for (int w = 0; w < OF_ONE; w++) {
        char name[] = "w0", addr[] = "http://w0";
        name[1] = addr[8] = (char)('0' + e->log->first + w);
        struct kvr_worker_call call = {.worker = kvr_text(name),
                                       .addr = kvr_text(addr),
                                       .set = KVR_WORKER_ADDR | KVR_WORKER_RANKS,
                                       .ranks = RANKS};
        e->heartbeats++;
        enum kvr_code code = kvr_client_worker_set_async(e->handle, &call, heard, e);
        struct kvr_result refused = {.code = code, .message = "not taken"};
        if (code != KVR_CODE_OK) heard(e, &refused);
    }
}

// ---- Blocks --------------------------------------------------------------------------------------

static enum kvr_tier any_tier(struct engine *e) {
    size_t dice = rng_below(&e->rng, 10);
    return dice < 6 ? KVR_DEVICE : dice < 9 ? KVR_HOST : KVR_DISK;
}

// The head of a chain; or, where it holds a part of it, what follows that.
static void store(struct engine *e, struct kvr_publisher *p, struct rank_log *log) {
    uint64_t hashes[CHAIN_BLOCKS], *parent = NULL;
    enum kvr_tier tier = any_tier(e);
    size_t chain = rng_below(&e->rng, CHAINS), from = 0;
    size_t to = 1 + rng_below(&e->rng, CHAIN_BLOCKS);
    universe_chain(chain, hashes);
    while (from < to && log->tiers[universe_block(chain, from)])
        from++;
    if (from == to) from = 0;
    if (from > 0) parent = &hashes[from - 1];
    if (kvr_publisher_stored(p, tier, parent, hashes + from, to - from) != KVR_CODE_OK)
        give_up("a publisher refuses blocks");
    for (size_t i = from; i < to; i++)
        log->tiers[universe_block(chain, i)] |= (uint8_t)(1u << tier);
}

// Some blocks in a row, anywhere in a chain: from its end most often, as caches do.
static void take_out(struct engine *e, struct kvr_publisher *p, struct rank_log *log) {
    uint64_t hashes[CHAIN_BLOCKS];
    enum kvr_tier tier = any_tier(e);
    size_t chain = rng_below(&e->rng, CHAINS), end = CHAIN_BLOCKS;
    if (rng_below(&e->rng, 4) == 0) end = 1 + rng_below(&e->rng, CHAIN_BLOCKS);
    size_t n = 1 + rng_below(&e->rng, MOST_REMOVED), from = end > n ? end - n : 0;
    universe_chain(chain, hashes);
    if (kvr_publisher_removed(p, tier, hashes + from, end - from) != KVR_CODE_OK)
        give_up("a publisher refuses a removal");
    for (size_t i = from; i < end; i++)
        log->tiers[universe_block(chain, i)] &= (uint8_t) ~(1u << tier);
}

static void clear(struct engine *e, struct kvr_publisher *p, struct rank_log *log) {
    int tier = rng_below(&e->rng, 3) ? (int)any_tier(e) : KVR_ALL_TIERS;
    if (kvr_publisher_cleared(p, tier) != KVR_CODE_OK) give_up("a publisher refuses to clear");
    for (size_t b = 0; b < BLOCKS; b++)
        log->tiers[b] &= tier == KVR_ALL_TIERS ? 0 : (uint8_t) ~(1u << tier);
}

static void change(struct engine *e) {
    size_t w = rng_below(&e->rng, OF_ONE), rank = rng_below(&e->rng, RANKS);
    size_t dice = rng_below(&e->rng, 400);
    struct kvr_publisher *p = e->ranks[w][rank];
    struct rank_log *log = &e->log->ranks[w][rank];
    if (dice == 0)
        clear(e, p, log);
    else if (dice < 180)
        take_out(e, p, log);
    else
        store(e, p, log);
}

// ---- At rest -------------------------------------------------------------------------------------

struct comparison {
    uint8_t said[BLOCKS];
    uint64_t strangers; // blocks that nobody has told it
};

static void note(void *ctx, uint64_t hash, uint64_t parent, bool has_parent, unsigned tiers) {
    struct comparison *c = ctx;
    (void)parent, (void)has_parent;
    size_t block = universe_find(hash);
    if (block == BLOCKS)
        c->strangers++;
    else
        c->said[block] = (uint8_t)tiers;
}

static void compare(struct engine *e) {
    for (int w = 0; w < OF_ONE; w++)
        for (int r = 0; r < RANKS; r++) {
            struct comparison c = {.strangers = 0};
            kvr_publisher_each(e->ranks[w][r], note, &c);
            for (size_t b = 0; b < BLOCKS; b++)
                c.strangers += c.said[b] != e->log->ranks[w][r].tiers[b];
            e->log->untrue += c.strangers;
        }
}

static bool settled(const struct engine *e) {
    bool all = !e->heartbeats;
    for (int w = 0; w < OF_ONE; w++)
        for (int r = 0; r < RANKS; r++)
            all &= kvr_publisher_settled(e->ranks[w][r]);
    return all;
}

// ---- The process ---------------------------------------------------------------------------------

static void run(struct engine *e, int64_t ms) {
    heartbeat(e);
    int64_t until = now_ms() + ms;
    do
        kvr_client_run(e->handle, until - now_ms());
    while (now_ms() < until);
    for (int w = 0; w < OF_ONE; w++)
        for (int r = 0; r < RANKS; r++) {
            struct rank_log *log = &e->log->ranks[w][r];
            kvr_publisher_stats(e->ranks[w][r], &log->stats);
            log->epoch = log->stats.epoch;
            log->acked = log->stats.acked;
        }
    kvr_client_stats(e->handle, &e->log->stats);
}

static void write_line(void *ctx, enum kvr_level level, const char *line) {
    FILE *f = ctx;
    if (f) fprintf(f, "%" PRId64 " [%d] %s\n", now_ms(), (int)level, line);
}

static void open_ranks(struct engine *e) {
    for (int w = 0; w < OF_ONE; w++)
        for (uint32_t r = 0; r < RANKS; r++) {
            char name[] = "w0";
            name[1] = (char)('0' + e->log->first + w);
            e->ranks[w][r] = kvr_publisher_new(e->handle, kvr_text(name), r, NULL);
            if (!e->ranks[w][r]) give_up("no memory for a publisher");
        }
}

static void run_publisher(struct publisher *p) {
    static struct engine engine;
    struct engine *e = &engine;
    char path[300], error[160];
    world_path(path, sizeof path, "publisher-%d.log", p->first);
    e->log = p;
    e->rng.state = world_seed() * 31 + (uint64_t)p->first;
    e->file = fopen(path, "w");
    if (e->file) setvbuf(e->file, NULL, _IOLBF, 0);
    struct kvr_client_options options = {
        .create = p->create, .log = write_line, .log_ctx = e->file};
    e->handle = kvr_client_open(p->url, "pool", &options, error, sizeof error);
    if (!e->handle) give_up("a publisher can't open %s: %s", p->url, error);
    open_ranks(e);
    while (p->order == ORDER_WORK) {
        change(e);
        run(e, PACE_MS);
    }
    int64_t until = now_ms() + DRAIN_MS;
    while (!settled(e) && now_ms() < until)
        run(e, PACE_MS);
    p->unsettled = !settled(e);
    compare(e);
    p->reached = ORDER_HOLD;
    while (p->order != ORDER_END) {
        p->reached = p->order;
        run(e, PACE_MS);
    }
    for (int w = 0; w < OF_ONE; w++)
        for (int r = 0; r < RANKS; r++)
            kvr_publisher_free(e->ranks[w][r]);
    kvr_client_close(e->handle);
    if (e->file) fclose(e->file);
}

void publisher_start(struct publisher *p, int side) {
    struct process *started = process_fork(side);
    if (!started) {
        run_publisher(p);
        _exit(0);
    }
    p->process = started; // not in the child: this is shared
}

uint64_t publisher_errors(const struct publisher *p) {
    uint64_t n = 0;
    for (int code = KVR_CODE_OK + 1; code < CODES; code++)
        n += p->errors[code];
    return n;
}
