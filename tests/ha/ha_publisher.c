// SPDX-License-Identifier: Apache-2.0
// A publisher's process; see ha_publisher.h.
#include "ha_publisher.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"

enum {
    HA_CHANGE_MS = 5, // between two changes
    HA_HEARTBEAT_MS = 300,
    HA_MAX_REMOVED = 6, // blocks at a time
};

struct ha_publishing {
    struct ha_publisher *log;
    struct kvr_client *handle;
    struct kvr_publisher *ranks[HA_WORKERS_EACH][HA_RANKS];
    uint64_t random;
    int64_t heartbeat_at;
    size_t heartbeats; // under way
    FILE *file;
};

// ---- Workers -------------------------------------------------------------------------------------

static void heard(void *ctx, const struct kvr_result *r) {
    struct ha_publishing *e = ctx;
    e->heartbeats--;
    if (r->code == KVR_CODE_OK) {
        e->log->registered++;
        return;
    }
    if (!ha_publisher_errors(e->log))
        snprintf(e->log->first_error, sizeof e->log->first_error, "publisher %d, WORKER SET: %s %s",
                 e->log->first, kvr_code_name(r->code), r->message);
    e->log->errors[r->code]++;
}

// What is said of a worker is said in full each time: after the loss of a pool nothing else is known.
static void heartbeat(struct ha_publishing *e) {
    if (kvr_clock_ms() < e->heartbeat_at || e->heartbeats) return;
    e->heartbeat_at = kvr_clock_ms() + HA_HEARTBEAT_MS;
    for (int w = 0; w < HA_WORKERS_EACH; w++) {
        char name[] = "w0", addr[] = "http://w0";
        name[1] = addr[8] = (char)('0' + e->log->first + w);
        struct kvr_worker_call call = {.worker = kvr_text(name),
                                       .addr = kvr_text(addr),
                                       .set = KVR_WORKER_ADDR | KVR_WORKER_RANKS,
                                       .ranks = HA_RANKS};
        e->heartbeats++;
        enum kvr_code code = kvr_client_worker_set_async(e->handle, &call, heard, e);
        struct kvr_result refused = {.code = code, .message = "not taken"};
        if (code != KVR_CODE_OK) heard(e, &refused);
    }
}

// ---- Blocks --------------------------------------------------------------------------------------

static enum kvr_tier any_tier(struct ha_publishing *e) {
    size_t draw = ha_random_below(&e->random, 10);
    return draw < 6 ? KVR_DEVICE : draw < 9 ? KVR_HOST : KVR_DISK;
}

// The head of a chain; or, where it holds a part of it, what follows that.
static void store(struct ha_publishing *e, struct kvr_publisher *p, struct ha_rank_log *log) {
    uint64_t hashes[HA_CHAIN_BLOCKS], *parent = NULL;
    enum kvr_tier tier = any_tier(e);
    size_t chain = ha_random_below(&e->random, HA_CHAINS), from = 0;
    size_t to = 1 + ha_random_below(&e->random, HA_CHAIN_BLOCKS);
    ha_chain(chain, hashes);
    while (from < to && log->tiers[ha_block(chain, from)])
        from++;
    if (from == to) from = 0;
    if (from > 0) parent = &hashes[from - 1];
    if (kvr_publisher_stored(p, tier, parent, hashes + from, to - from) != KVR_CODE_OK)
        ha_give_up("a publisher refuses blocks");
    for (size_t i = from; i < to; i++)
        log->tiers[ha_block(chain, i)] |= (uint8_t)(1u << tier);
}

// Some blocks in a row, anywhere in a chain: from its end most often, as caches do.
static void take_out(struct ha_publishing *e, struct kvr_publisher *p, struct ha_rank_log *log) {
    uint64_t hashes[HA_CHAIN_BLOCKS];
    enum kvr_tier tier = any_tier(e);
    size_t chain = ha_random_below(&e->random, HA_CHAINS), end = HA_CHAIN_BLOCKS;
    if (ha_random_below(&e->random, 4) == 0) end = 1 + ha_random_below(&e->random, HA_CHAIN_BLOCKS);
    size_t n = 1 + ha_random_below(&e->random, HA_MAX_REMOVED), from = end > n ? end - n : 0;
    ha_chain(chain, hashes);
    if (kvr_publisher_removed(p, tier, hashes + from, end - from) != KVR_CODE_OK)
        ha_give_up("a publisher refuses a removal");
    for (size_t i = from; i < end; i++)
        log->tiers[ha_block(chain, i)] &= (uint8_t) ~(1u << tier);
}

static void clear(struct ha_publishing *e, struct kvr_publisher *p, struct ha_rank_log *log) {
    int tier = ha_random_below(&e->random, 3) ? (int)any_tier(e) : KVR_ALL_TIERS;
    if (kvr_publisher_cleared(p, tier) != KVR_CODE_OK) ha_give_up("a publisher refuses to clear");
    for (size_t b = 0; b < HA_BLOCKS; b++)
        log->tiers[b] &= tier == KVR_ALL_TIERS ? 0 : (uint8_t) ~(1u << tier);
}

static void change(struct ha_publishing *e) {
    size_t w = ha_random_below(&e->random, HA_WORKERS_EACH),
           rank = ha_random_below(&e->random, HA_RANKS);
    size_t draw = ha_random_below(&e->random, 400);
    struct kvr_publisher *p = e->ranks[w][rank];
    struct ha_rank_log *log = &e->log->ranks[w][rank];
    if (draw == 0)
        clear(e, p, log);
    else if (draw < 180)
        take_out(e, p, log);
    else
        store(e, p, log);
}

// ---- At rest -------------------------------------------------------------------------------------

struct ha_publisher_check {
    uint8_t said[HA_BLOCKS];
    uint64_t unknown; // blocks that nobody has told it
};

static void note(void *ctx, uint64_t hash, uint64_t parent, bool has_parent, unsigned tiers) {
    struct ha_publisher_check *c = ctx;
    (void)parent, (void)has_parent;
    size_t block = ha_block_find(hash);
    if (block == HA_BLOCKS)
        c->unknown++;
    else
        c->said[block] = (uint8_t)tiers;
}

static void compare(struct ha_publishing *e) {
    for (int w = 0; w < HA_WORKERS_EACH; w++)
        for (int r = 0; r < HA_RANKS; r++) {
            struct ha_publisher_check c = {.unknown = 0};
            kvr_publisher_each(e->ranks[w][r], note, &c);
            for (size_t b = 0; b < HA_BLOCKS; b++)
                c.unknown += c.said[b] != e->log->ranks[w][r].tiers[b];
            e->log->untrue += c.unknown;
        }
}

static bool settled(const struct ha_publishing *e) {
    bool all = !e->heartbeats;
    for (int w = 0; w < HA_WORKERS_EACH; w++)
        for (int r = 0; r < HA_RANKS; r++)
            all &= kvr_publisher_settled(e->ranks[w][r]);
    return all;
}

// ---- The process ---------------------------------------------------------------------------------

static void run(struct ha_publishing *e, int64_t ms) {
    heartbeat(e);
    int64_t until = kvr_clock_ms() + ms;
    do
        kvr_client_run(e->handle, until - kvr_clock_ms());
    while (kvr_clock_ms() < until);
    for (int w = 0; w < HA_WORKERS_EACH; w++)
        for (int r = 0; r < HA_RANKS; r++) {
            struct ha_rank_log *log = &e->log->ranks[w][r];
            kvr_publisher_stats(e->ranks[w][r], &log->stats);
            log->epoch = log->stats.epoch;
            log->acked = log->stats.acked;
        }
    kvr_client_stats(e->handle, &e->log->stats);
}

static void write_line(void *ctx, enum kvr_level level, const char *line) {
    FILE *f = ctx;
    if (f) fprintf(f, "%" PRId64 " [%d] %s\n", kvr_clock_ms(), (int)level, line);
}

static void open_ranks(struct ha_publishing *e) {
    for (int w = 0; w < HA_WORKERS_EACH; w++)
        for (uint32_t r = 0; r < HA_RANKS; r++) {
            char name[] = "w0";
            name[1] = (char)('0' + e->log->first + w);
            e->ranks[w][r] = kvr_publisher_new(e->handle, kvr_text(name), r, NULL);
            if (!e->ranks[w][r]) ha_give_up("no memory for a publisher");
        }
}

static void run_publisher(struct ha_publisher *p) {
    static struct ha_publishing engine;
    struct ha_publishing *e = &engine;
    char path[300], error[160];
    support_path(path, sizeof path, "publisher-%d.log", p->first);
    e->log = p;
    e->random = ha_seed() * 31 + (uint64_t)p->first;
    e->file = fopen(path, "w");
    if (e->file) setvbuf(e->file, NULL, _IOLBF, 0);
    struct kvr_client_options options = {
        .create = p->create, .log = write_line, .log_ctx = e->file};
    e->handle = kvr_client_open(p->url, "pool", &options, error, sizeof error);
    if (!e->handle) ha_give_up("a publisher can't open %s: %s", p->url, error);
    open_ranks(e);
    while (p->order == HA_ORDER_WORK) {
        change(e);
        run(e, HA_CHANGE_MS);
    }
    int64_t until = kvr_clock_ms() + HA_DRAIN_MS;
    while (!settled(e) && kvr_clock_ms() < until)
        run(e, HA_CHANGE_MS);
    p->unsettled = !settled(e);
    compare(e);
    p->reached = HA_ORDER_HOLD;
    while (p->order != HA_ORDER_END) {
        p->reached = p->order;
        run(e, HA_CHANGE_MS);
    }
    for (int w = 0; w < HA_WORKERS_EACH; w++)
        for (int r = 0; r < HA_RANKS; r++)
            kvr_publisher_free(e->ranks[w][r]);
    kvr_client_close(e->handle);
    if (e->file) fclose(e->file);
}

void ha_publisher_start(struct ha_publisher *p, int side) {
    struct ha_process *process = ha_process_add(side);
    if (!ha_process_fork(process)) {
        run_publisher(p);
        _exit(0);
    }
    p->process = process; // not in the child: this is shared
}

uint64_t ha_publisher_errors(const struct ha_publisher *p) {
    uint64_t n = 0;
    for (int code = KVR_CODE_OK + 1; code < HA_CODES; code++)
        n += p->errors[code];
    return n;
}
