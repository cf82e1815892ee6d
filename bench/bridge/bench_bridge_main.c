// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-bridge: from an engine's events to the pool.
//
//   decode and map   payloads read and hashed, nothing sent
//   to the pool      the same, published to a real Redis with the module, until all is acknowledged;
//                    blocks a second of wall time and of this process's CPU time (one thread)
//   delay            a real kvroute-bridge and a ZeroMQ publisher: from send to the first SCORE that
//                    counts the block, while so many blocks a second go by
//   memory           map and publisher, a block of the engine
//
// Blocks have 16 tokens; events store 16 blocks each, a batch has 4 of them; a conversation grows to
// 256 blocks, then another begins. Once 1,048,576 blocks are held, as many are removed as are stored.
#include <hiredis/hiredis.h>
#include <kvroute/publisher.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

#include "bench/common/bench_args.h"
#include "bench/common/bench_memory.h"
#include "bench/common/bench_quantile.h"
#include "bench/common/bench_usage.h"
#include "client/bridge/block_map.h"
#include "client/common/clock.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"
#include "tests/support/support_redis.h"

enum {
    PAYLOAD_BLOCK_SIZE = 16,
    PAYLOAD_PER_EVENT = 16,
    PAYLOAD_EVENTS = 4,
    PAYLOAD_CHAIN = 256,
    MAX_PROBES = 2000
};

static const char pool[] = "bench";

// ---- An engine's payloads ------------------------------------------------------------------------

struct bench_payloads {
    msgpack_sbuffer bytes;
    uint64_t state, block, oldest; // block: the number of the next; its hash is made of it
    uint64_t held, most;
};

static void pack_word(msgpack_packer *p, const char *s) {
    msgpack_pack_str(p, strlen(s));
    msgpack_pack_str_body(p, s, strlen(s));
}

static uint64_t hash_of(uint64_t block) {
    return kvr_random_mix(block + 1);
}

static void pack_hashes(msgpack_packer *p, uint64_t first, unsigned n) {
    msgpack_pack_array(p, n);
    for (unsigned i = 0; i < n; i++)
        msgpack_pack_fix_uint64(p, hash_of(first + i));
}

static void pack_stored(struct bench_payloads *m, msgpack_packer *p) {
    msgpack_pack_array(p, 7);
    pack_word(p, "BlockStored");
    pack_hashes(p, m->block, PAYLOAD_PER_EVENT);
    if (m->block % PAYLOAD_CHAIN)
        msgpack_pack_fix_uint64(p, hash_of(m->block - 1));
    else
        msgpack_pack_nil(p);
    msgpack_pack_array(p, PAYLOAD_BLOCK_SIZE * PAYLOAD_PER_EVENT);
    for (unsigned i = 0; i < PAYLOAD_BLOCK_SIZE * PAYLOAD_PER_EVENT; i++)
        msgpack_pack_fix_uint32(p, kvr_random(&m->state) % 150000);
    msgpack_pack_int(p, PAYLOAD_BLOCK_SIZE);
    msgpack_pack_nil(p);
    pack_word(p, "GPU");
    m->block += PAYLOAD_PER_EVENT;
    m->held += PAYLOAD_PER_EVENT;
}

static void pack_removed(struct bench_payloads *m, msgpack_packer *p) {
    msgpack_pack_array(p, 3);
    pack_word(p, "BlockRemoved");
    pack_hashes(p, m->oldest, PAYLOAD_CHAIN);
    pack_word(p, "GPU");
    m->oldest += PAYLOAD_CHAIN;
    m->held -= PAYLOAD_CHAIN;
}

static void make(struct bench_payloads *m) {
    bool full = m->held + PAYLOAD_EVENTS * PAYLOAD_PER_EVENT > m->most;
    msgpack_packer packer, *p = &packer;
    msgpack_sbuffer_clear(&m->bytes);
    msgpack_packer_init(p, &m->bytes, msgpack_sbuffer_write);
    msgpack_pack_array(p, 3);
    msgpack_pack_double(p, 1.5);
    msgpack_pack_array(p, PAYLOAD_EVENTS + full);
    if (full) pack_removed(m, p);
    for (unsigned i = 0; i < PAYLOAD_EVENTS; i++)
        pack_stored(m, p);
    msgpack_pack_int(p, 0);
}

// ---- Without a socket ----------------------------------------------------------------------------

static enum kvr_code stored(void *ctx, enum kvr_tier tier, const uint64_t *parent,
                            const uint64_t *h, size_t n) {
    return ctx ? kvr_publisher_stored(ctx, tier, parent, h, n) : KVR_CODE_OK;
}

static enum kvr_code taken(void *ctx, enum kvr_tier tier, const uint64_t *h, size_t n) {
    return ctx ? kvr_publisher_removed(ctx, tier, h, n) : KVR_CODE_OK;
}

static enum kvr_code cleared(void *ctx, int tier) {
    return ctx ? kvr_publisher_cleared(ctx, tier) : KVR_CODE_OK;
}

static void soon(void *ctx, uint64_t hash) {
    if (ctx) kvr_publisher_soon(ctx, hash);
}

static bool parent_of(void *ctx, uint64_t hash, uint64_t *parent, bool *has) {
    return ctx && kvr_publisher_parent(ctx, hash, parent, has);
}

struct bench_pipeline {
    struct bench_payloads maker;
    struct bridge_decoder *decoder;
    struct bridge_map map;
};

static struct bench_pipeline *new_pipeline(uint64_t most, const struct bridge_map_sink *sink) {
    static const struct bridge_map_options options = {.block_size = PAYLOAD_BLOCK_SIZE,
                                                      .secret = 7};
    struct bench_pipeline *w = bench_calloc(1, sizeof *w);
    w->maker.most = most;
    if (!(w->decoder = bridge_decoder_new())) support_fail("no memory");
    bridge_map_init(&w->map, &options, sink);
    return w;
}

static void free_pipeline(struct bench_pipeline *w) {
    msgpack_sbuffer_destroy(&w->maker.bytes);
    bridge_map_free(&w->map);
    bridge_decoder_free(w->decoder);
    free(w);
}

static void apply(struct bench_pipeline *w) {
    struct bridge_batch b;
    struct bridge_event e;
    if (!bridge_decode_batch((const uint8_t *)w->maker.bytes.data, w->maker.bytes.size, &b))
        support_fail("a payload is refused");
    while (bridge_decode_event(w->decoder, &b, &e) != BRIDGE_EVENT_END)
        bridge_map_event(&w->map, &e);
}

static void run(struct kvr_client *c, const char *name, uint64_t most, uint64_t blocks) {
    struct kvr_publisher_options po = {.ring_bytes = 1 << 20}; // as the bridge has it
    struct kvr_publisher *p = c ? kvr_publisher_new(c, kvr_text("w"), 0, &po) : NULL;
    struct bridge_map_sink sink = {p, stored, taken, cleared, soon, parent_of};
    struct bench_pipeline *w = new_pipeline(most, &sink);
    if (c && !p) support_fail("no memory");
    int64_t start = kvr_clock_ns(CLOCK_MONOTONIC), making = 0, making_cpu = 0;
    double cpu = bench_own_cpu_s();
    for (uint64_t i = 0; w->maker.block < blocks; i++) {
        int64_t before = kvr_clock_ns(CLOCK_MONOTONIC);
        int64_t before_cpu = kvr_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
        make(&w->maker);
        making_cpu += kvr_clock_ns(CLOCK_PROCESS_CPUTIME_ID) - before_cpu;
        making += kvr_clock_ns(CLOCK_MONOTONIC) - before;
        apply(w);
        if (c && i % 16 == 0) kvr_client_run(c, 0);
    }
    while (p && !kvr_publisher_settled(p)) {
        if (kvr_clock_ns(CLOCK_MONOTONIC) - start > 300000000000)
            support_fail("the publisher doesn't settle");
        kvr_client_run(c, 10);
    }
    double wall = (double)(kvr_clock_ns(CLOCK_MONOTONIC) - start - making) / 1e9;
    cpu = bench_own_cpu_s() - cpu - (double)making_cpu / 1e9;
    printf("%-16s %10.0f blocks/s of wall time, %10.0f of CPU time\n", name, (double)blocks / wall,
           (double)blocks / cpu);
    if (p) {
        struct kvr_publisher_stats st;
        kvr_publisher_stats(p, &st);
        double map = (double)bridge_map_bytes(&w->map) / (double)bridge_map_blocks(&w->map);
        double truth = (double)st.memory_bytes / (double)st.holdings;
        printf("%-16s %.1f bytes a block: map %.1f, publisher %.1f; %zu blocks held\n", "memory",
               map + truth, map, truth, bridge_map_blocks(&w->map));
    }
    kvr_publisher_free(p);
    free_pipeline(w);
}

// ---- Delay ---------------------------------------------------------------------------------------

static void start_bridge(const char *url, const char *endpoint) {
    char engine[300];
    snprintf(engine, sizeof engine, "d events=%s", endpoint);
    const char *const argv[] = {support_setting("KVROUTE_BRIDGE", KVROUTE_BRIDGE),
                                "--redis",
                                url,
                                "--pool",
                                pool,
                                "--engine",
                                engine,
                                NULL};
    support_start(argv, NULL);
}

static void send_batch(void *pub, uint64_t *seq, const struct bench_payloads *m) {
    uint8_t head[8];
    for (unsigned i = 0; i < 8; i++)
        head[i] = (uint8_t)(*seq >> (56 - 8 * i));
    ++*seq;
    zmq_send(pub, "", 0, ZMQ_SNDMORE);
    zmq_send(pub, head, sizeof head, ZMQ_SNDMORE);
    zmq_send(pub, m->bytes.data, m->bytes.size, 0);
}

// The prefix hashes of the conversation that grows, as the map finds them.
struct bench_conversation {
    uint64_t hashes[PAYLOAD_CHAIN];
    size_t n;
};

static enum kvr_code keep_path(void *ctx, enum kvr_tier tier, const uint64_t *parent,
                               const uint64_t *h, size_t n) {
    struct bench_conversation *p = ctx;
    (void)tier;
    if (!parent) p->n = 0;
    for (size_t i = 0; i < n && p->n < PAYLOAD_CHAIN; i++)
        p->hashes[p->n++] = h[i];
    return KVR_CODE_OK;
}

static enum kvr_code ignore_removed(void *ctx, enum kvr_tier tier, const uint64_t *h, size_t n) {
    (void)ctx, (void)tier, (void)h, (void)n;
    return KVR_CODE_OK;
}

// Whether the pool counts all of the path for the engine.
static bool is_there(redisContext *c, const struct bench_conversation *p) {
    redisReply *r = redisCommand(c, "KVROUTE.SCORE %s HASHES %b AMONG 1 d", pool, p->hashes,
                                 p->n * sizeof *p->hashes);
    const redisReply *overlap =
        r && r->elements ? support_redis_field(r->element[0], "overlap") : NULL;
    bool there = overlap && overlap->integer == (long long)p->n;
    if (r) freeReplyObject(r);
    return there;
}

static void delay(redisContext *c, const char *url, double rate, size_t probes) {
    double delays[MAX_PROBES];
    char endpoint[256];
    size_t n = 0, size = sizeof endpoint;
    uint64_t seq = 0;
    bool waiting = false;
    static struct bench_conversation now, probe;
    struct bridge_map_sink sink = {.ctx = &now, .stored = keep_path, .removed = ignore_removed};
    struct bench_pipeline *w = new_pipeline(1u << 17, &sink);
    w->maker.state = 99;
    void *zmq = zmq_ctx_new(), *pub = zmq_socket(zmq, ZMQ_PUB);
    if (!pub || zmq_bind(pub, "tcp://127.0.0.1:*") ||
        zmq_getsockopt(pub, ZMQ_LAST_ENDPOINT, endpoint, &size))
        support_fail("no socket");
    start_bridge(url, endpoint);
    support_sleep_ms(1500); // until it has connected
    int64_t start = kvr_clock_ns(CLOCK_MONOTONIC), probe_at = 0;
    double per_batch = PAYLOAD_EVENTS * PAYLOAD_PER_EVENT / rate * 1e9;
    for (uint64_t batches = 0; n < probes;) {
        if (kvr_clock_ns(CLOCK_MONOTONIC) - start > 120000000000)
            support_fail("blocks don't arrive");
        if ((double)(kvr_clock_ns(CLOCK_MONOTONIC) - start) >= per_batch * (double)batches) {
            batches++;
            make(&w->maker);
            apply(w);
            if (!waiting && batches % 4 == 0) {
                waiting = true;
                probe = now;
                probe_at = kvr_clock_ns(CLOCK_MONOTONIC);
            }
            send_batch(pub, &seq, &w->maker);
            continue;
        }
        if (waiting && is_there(c, &probe)) {
            delays[n++] = (double)(kvr_clock_ns(CLOCK_MONOTONIC) - probe_at) / 1e6;
            waiting = false;
        }
        // What was sent before the bridge had connected never comes.
        if (waiting && n == 0 && kvr_clock_ns(CLOCK_MONOTONIC) - probe_at > 500000000)
            waiting = false;
    }
    double *sorted = bench_sorted(delays, n);
    printf("%-16s p50 %.2f ms, p99 %.2f ms, at %.0f blocks/s; %zu probes\n", "delay",
           bench_quantile(sorted, n, 0.5), bench_quantile(sorted, n, 0.99), rate, n);
    free(sorted);
    int zero = 0;
    zmq_setsockopt(pub, ZMQ_LINGER, &zero, sizeof zero);
    zmq_close(pub);
    zmq_ctx_term(zmq);
    free_pipeline(w);
}

struct bench_bridge_options {
    uint64_t blocks;
    bool quick;
};

static const char usage[] = "usage: kvroute-bench-bridge [--blocks N] [--quick]\n"
                            "N blocks go through the bridge (4,000,000); --quick: no delays\n";

int main(int argc, char **argv) {
    static const struct bench_arg args[] = {
        {"blocks", bench_arg_whole, offsetof(struct bench_bridge_options, blocks), 1, 1e10},
        {"quick", bench_arg_flag, offsetof(struct bench_bridge_options, quick), 0, 0},
    };
    struct bench_bridge_options o = {.blocks = 4000000};
    char url[300], error[200];
    int status = bench_args_read(&o, args, 2, usage, argc, argv);
    if (status >= 0) return status;
    uint64_t blocks = o.blocks;
    struct support_redis redis = {.unopened = true};
    if (!support_redis_start(&redis)) return 1;
    snprintf(url, sizeof url, "unix://%s", redis.socket);
    redisReply *r =
        support_redis_command(&redis, "KVROUTE.CREATE %s BLOCKSIZE %d", pool, PAYLOAD_BLOCK_SIZE);
    if (r) freeReplyObject(r);
    r = support_redis_command(&redis, "KVROUTE.WORKER SET %s w", pool);
    if (r) freeReplyObject(r);
    struct kvr_client *c = kvr_client_open(url, pool, NULL, error, sizeof error);
    if (!c) support_fail("%s", error);
    run(NULL, "decode and map", 1u << 20, blocks);
    run(c, "to the pool", 1u << 20, blocks);
    if (!o.quick) delay(support_redis_control(&redis), url, 50000, 1000);
    kvr_client_close(c);
    return 0;
}
