// SPDX-License-Identifier: Apache-2.0
// A publisher on a real handle, a real server and the real module: 200,000 holdings, a kill -9, a
// start from the append-only file, a start from nothing. Every block is looked at each time.
#include <criterion/criterion.h>
#include <hiredis/hiredis.h>
#include <kvroute/publisher.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "ctest_held_blocks.h"
#include "tests/support/support_redis.h"

enum { RANK_CHAINS = 12000, RANK_CHAIN = 32, RANK_SHARED = 16, RANK_FAMILY = 25 };
enum { PUBLISHER_PATIENCE_MS = 60000, RANK_LOOKS = 1000 };

// Chains of blocks; each family of them begins with the same ones.
struct published_rank {
    uint64_t hash[RANK_CHAINS][RANK_CHAIN];
    uint8_t held[RANK_CHAINS][RANK_CHAIN]; // a shared block in the first chain of its family
    uint64_t random;                       // the state
};

struct published_server {
    char url[180];
    struct support_redis server;
    struct kvr_client *client;
    struct kvr_publisher *publisher;
    struct published_rank *rank;
};

// ---- The rank ------------------------------------------------------------------------------------

static size_t first_of(size_t chain, size_t i) { // of the chains that have the block
    return i < RANK_SHARED ? chain - chain % RANK_FAMILY : chain;
}

static void store(struct published_server *s, size_t chain, size_t from, size_t end,
                  enum kvr_tier tier) {
    struct published_rank *r = s->rank;
    const uint64_t *h = r->hash[chain];
    cr_assert(kvr_publisher_stored(s->publisher, tier, from ? &h[from - 1] : NULL, h + from,
                                   end - from) == KVR_CODE_OK);
    for (size_t i = from; i < end; i++)
        r->held[first_of(chain, i)][i] |= (uint8_t)(1u << tier);
}

static void take(struct published_server *s, size_t chain, size_t from, size_t end,
                 enum kvr_tier tier) {
    struct published_rank *r = s->rank;
    cr_assert(kvr_publisher_removed(s->publisher, tier, r->hash[chain] + from, end - from) ==
              KVR_CODE_OK);
    for (size_t i = from; i < end; i++)
        r->held[first_of(chain, i)][i] &= (uint8_t) ~(1u << tier);
}

// So that there are holes, blocks in several tiers, and parents that nobody holds any more. Chains
// are stored from their beginning again where that is gone, as an engine would.
static void change(struct published_server *s, size_t n) {
    uint64_t *d = &s->rank->random;
    for (size_t k = 0; k < n; k++) {
        size_t chain = ctest_below(d, RANK_CHAINS), from = ctest_below(d, RANK_CHAIN);
        size_t end = from + 1 + ctest_below(d, RANK_CHAIN - from);
        if (ctest_chance(d, 50))
            store(s, chain, 0, end, (enum kvr_tier)ctest_below(d, KVR_TIERS));
        else
            take(s, chain, from, end, (enum kvr_tier)ctest_below(d, KVR_TIERS));
        if (k % 64 == 0) kvr_client_run(s->client, 0);
    }
}

static void settle(struct published_server *s) {
    int64_t end = kvr_clock_ms() + PUBLISHER_PATIENCE_MS;
    kvr_publisher_flush(s->publisher);
    do {
        cr_assert(kvr_clock_ms() < end, "it doesn't settle");
        kvr_client_run(s->client, 100);
    } while (!kvr_publisher_settled(s->publisher));
}

// ---- Comparing -----------------------------------------------------------------------------------

static const redisReply *field(const redisReply *map, const char *name) {
    for (size_t i = 0; i + 1 < map->elements; i += 2)
        if (!strcmp(map->element[i]->str, name)) return map->element[i + 1];
    cr_assert_fail("no %s in a reply", name);
    return NULL;
}

// The tiers in which the pool says that the rank has the block a TREE begins with.
static unsigned tiers_of(const redisReply *runs) {
    static const char *const names[] = {"w:0 device ", "w:0 host ", "w:0 disk "};
    unsigned tiers = 0;
    if (runs->type == REDIS_REPLY_ERROR || !runs->elements) return 0;
    const redisReply *holders = field(runs->element[0], "holders");
    for (size_t i = 0; i < holders->elements; i++)
        for (int t = 0; t < KVR_TIERS; t++)
            if (!strncmp(holders->element[i]->str, names[t], strlen(names[t]))) tiers |= 1u << t;
    return tiers;
}

static void look_at(struct published_server *s, const size_t *chain, const size_t *at, size_t n) {
    redisContext *c = support_redis_control(&s->server);
    cr_assert(c);
    for (size_t i = 0; i < n; i++) {
        char hex[20];
        snprintf(hex, sizeof hex, "%016llx", (unsigned long long)s->rank->hash[chain[i]][at[i]]);
        redisAppendCommand(c, "KVROUTE.TREE pool FROM %s DEPTH 1 COUNT 1", hex);
    }
    for (size_t i = 0; i < n; i++) {
        redisReply *r = NULL;
        cr_assert(redisGetReply(c, (void **)&r) == REDIS_OK && r);
        unsigned held = s->rank->held[chain[i]][at[i]], pool = tiers_of(r);
        cr_assert(pool == held, "block %zu of chain %zu: the pool has it in %u, the rank in %u",
                  at[i], chain[i], pool, held);
        freeReplyObject(r);
    }
}

// Every block, and the totals, so that there is nothing else.
static void compare(struct published_server *s) {
    size_t chain[RANK_LOOKS], at[RANK_LOOKS], n = 0, held[KVR_TIERS] = {0};
    for (size_t c = 0; c < RANK_CHAINS; c++)
        for (size_t i = 0; i < RANK_CHAIN; i++) {
            if (first_of(c, i) != c) continue;
            for (int t = 0; t < KVR_TIERS; t++)
                held[t] += s->rank->held[c][i] >> t & 1;
            chain[n] = c;
            at[n++] = i;
            if (n == RANK_LOOKS) look_at(s, chain, at, n);
            n %= RANK_LOOKS;
        }
    look_at(s, chain, at, n);
    redisReply *r = support_redis_command(&s->server, "KVROUTE.WORKER GET pool w");
    cr_assert(r && r->type == REDIS_REPLY_ARRAY);
    const redisReply *rank = field(r, "ranks")->element[0];
    static const char *const names[] = {"device_blocks", "host_blocks", "disk_blocks"};
    for (int t = 0; t < KVR_TIERS; t++)
        cr_assert((size_t)field(rank, names[t])->integer == held[t]);
    freeReplyObject(r);
}

// ---- The test ------------------------------------------------------------------------------------

static struct published_server *stand_up(void) {
    struct published_server *s = calloc(1, sizeof *s);
    s->rank = calloc(1, sizeof *s->rank);
    s->rank->random = 42;
    for (size_t c = 0; c < RANK_CHAINS; c++)
        for (size_t i = 0; i < RANK_CHAIN; i++)
            s->rank->hash[c][i] = first_of(c, i) == c ? kvr_random(&s->rank->random)
                                                      : s->rank->hash[first_of(c, i)][i];
    s->server = (struct support_redis){.config = "appendonly yes\nappendfsync no\n"};
    cr_assert(support_redis_start(&s->server));
    snprintf(s->url, sizeof s->url, "unix://%s", s->server.socket);
    // Less than all is kept: a server that is empty again has to be told of everything anew.
    struct kvr_publisher_options p = {.ring_bytes = 512 << 10};
    struct kvr_client_options o = {.create = "BLOCKSIZE 16"};
    char error[160];
    s->client = kvr_client_open(s->url, "pool", &o, error, sizeof error);
    cr_assert(s->client, "%s", error);
    struct kvr_worker_call w = {.worker = kvr_text("w")};
    cr_assert(kvr_client_worker_set(s->client, &w)->code == KVR_CODE_OK);
    s->publisher = kvr_publisher_new(s->client, kvr_text("w"), 0, &p);
    cr_assert(s->publisher);
    return s;
}

static void stand_down(struct published_server *s) {
    kvr_publisher_free(s->publisher);
    kvr_client_close(s->client);
    support_redis_end(&s->server, SIGKILL);
    free(s->rank);
    free(s);
}

Test(publisher_real, kill_and_restart, .timeout = 300) {
    struct published_server *s = stand_up();
    struct kvr_publisher_stats st;
    for (size_t c = 0; c < RANK_CHAINS; c++) {
        store(s, c, 0, RANK_CHAIN, (enum kvr_tier)(c % KVR_TIERS));
        if (c % 64 == 0) kvr_client_run(s->client, 0);
    }
    change(s, 10000);
    settle(s);
    compare(s);
    kvr_publisher_stats(s->publisher, &st);
    cr_assert(st.holdings > 200000, "%zu holdings", st.holdings);
    cr_assert(!st.orphans && !st.refused && !st.gaps);

    change(s, 5000); // part of it under way, part not even sent
    support_redis_end(&s->server, SIGKILL);
    change(s, 5000);
    cr_assert(support_redis_restart(&s->server));
    settle(s);
    compare(s);

    support_redis_end(&s->server, SIGKILL);
    support_redis_forget(&s->server, true);
    cr_assert(support_redis_restart(&s->server));
    change(s, 1000);
    settle(s);
    compare(s);
    kvr_publisher_stats(s->publisher, &st);
    cr_assert(st.gaps && st.republished && !st.refused);

    // Nobody has anything new to say this time.
    support_redis_end(&s->server, SIGKILL);
    support_redis_forget(&s->server, true);
    cr_assert(support_redis_restart(&s->server));
    for (int64_t end = kvr_clock_ms() + PUBLISHER_PATIENCE_MS;
         kvr_publisher_settled(s->publisher);) {
        cr_assert(kvr_clock_ms() < end, "the loss isn't noticed");
        kvr_client_run(s->client, 100);
    }
    settle(s);
    compare(s);
    stand_down(s);
}

static int64_t blocks_in_the_pool(struct published_server *s) { // 0: nor is there a pool
    redisReply *r = support_redis_command(&s->server, "EXISTS pool");
    cr_assert(r);
    bool exists = r->integer;
    freeReplyObject(r);
    if (!exists) return 0;
    r = support_redis_command(&s->server, "KVROUTE.INFO pool");
    cr_assert(r && r->type == REDIS_REPLY_ARRAY);
    int64_t n = field(r, "blocks")->integer;
    freeReplyObject(r);
    return n;
}

// Made by this handle, which knows no version of it: it never chose. The rank has nothing new to say; its owner
// renews the worker, as a bridge does.
Test(publisher_real, a_pool_that_is_deleted, .timeout = 300) {
    struct published_server *s = stand_up();
    struct kvr_worker_call w = {.worker = kvr_text("w")};
    for (size_t c = 0; c < 100; c++)
        store(s, c, 0, RANK_CHAIN, KVR_DEVICE);
    settle(s);
    for (int round = 0; round < 2; round++) {
        redisReply *r = support_redis_command(&s->server, "DEL pool");
        cr_assert(r && r->integer == 1);
        freeReplyObject(r);
        int64_t end = kvr_clock_ms() + PUBLISHER_PATIENCE_MS;
        while (!blocks_in_the_pool(s)) {
            cr_assert(kvr_clock_ms() < end, "the loss isn't noticed");
            cr_assert(kvr_client_worker_set(s->client, &w)->code == KVR_CODE_OK);
            kvr_client_run(s->client, 100);
        }
        settle(s);
        compare(s);
    }
    stand_down(s);
}
