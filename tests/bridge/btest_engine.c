// SPDX-License-Identifier: Apache-2.0
// See btest_engine.h. Lives differ in form: arrays or maps, integers or digests, replies with or without a
// topic.
#include "btest_engine.h"

#include <criterion/criterion.h>
#include <endian.h>
#include <kvroute/hash.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"

unsigned btest_engine_below(struct btest_engine *f, unsigned n) {
    f->random ^= f->random << 13, f->random ^= f->random >> 7, f->random ^= f->random << 17;
    return (unsigned)((f->random >> 20) % n);
}

static bool chance(struct btest_engine *f, unsigned percent) {
    return btest_engine_below(f, 100) < percent;
}

// ---- Sockets -------------------------------------------------------------------------------------

static void *open_socket(struct btest_engine *f, int type, int *port) {
    char endpoint[40];
    int zero = 0;
    void *s = zmq_socket(f->zmq, type);
    cr_assert(s);
    zmq_setsockopt(s, ZMQ_LINGER, &zero, sizeof zero);
    for (int tries = 0; tries < 500; tries++) {
        if (!*port) *port = support_port();
        snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", *port);
        if (zmq_bind(s, endpoint) == 0) return s;
        support_sleep_ms(10); // the same port as before is not free at once
    }
    cr_assert_fail("can't bind %s", endpoint);
    return NULL;
}

static void open_sockets(struct btest_engine *f) {
    f->pub = open_socket(f, ZMQ_PUB, &f->events_port);
    if (f->has_replay) f->router = open_socket(f, ZMQ_ROUTER, &f->replay_port);
}

static void close_sockets(struct btest_engine *f) {
    zmq_close(f->pub);
    if (f->router) zmq_close(f->router);
    f->router = NULL;
}

static void send_live(struct btest_engine *f, uint64_t seq) {
    uint64_t head = htobe64(seq);
    const struct btest_engine_batch *b = &f->buffer[seq];
    zmq_send(f->pub, "kv@w@model", 10, ZMQ_SNDMORE);
    zmq_send(f->pub, &head, sizeof head, ZMQ_SNDMORE);
    zmq_send(f->pub, b->payload, chance(f, f->faults.damage) ? b->n / 2 : b->n, 0);
}

static void publish(struct btest_engine *f, msgpack_sbuffer *b) {
    cr_assert(f->seq < BTEST_ENGINE_BUFFER);
    f->buffer[f->seq].payload = malloc(b->size);
    f->buffer[f->seq].n = b->size;
    memcpy(f->buffer[f->seq].payload, b->data, b->size);
    msgpack_sbuffer_destroy(b);
    uint64_t seq = f->seq++;
    int late = f->late;
    f->late = -1;
    if (late < 0 && chance(f, f->faults.reorder))
        f->late = (int)seq;
    else if (!chance(f, f->faults.drop))
        send_live(f, seq);
    if (chance(f, f->faults.repeat)) send_live(f, seq - btest_engine_below(f, seq < 3 ? 1 : 3));
    if (late >= 0) send_live(f, (uint64_t)late);
}

static void reply(struct btest_engine *f, zmq_msg_t *to, uint64_t seq, const void *payload,
                  size_t n) {
    uint64_t head = htobe64(seq);
    zmq_msg_t copy;
    if (chance(f, f->faults.lossy)) return;
    zmq_msg_init(&copy);
    zmq_msg_copy(&copy, to);
    zmq_msg_send(&copy, f->router, ZMQ_SNDMORE);
    zmq_send(f->router, "", 0, ZMQ_SNDMORE);
    if (f->life % 2) zmq_send(f->router, "kv@w@model", 10, ZMQ_SNDMORE);
    zmq_send(f->router, &head, sizeof head, ZMQ_SNDMORE);
    zmq_send(f->router, payload, n, 0);
}

static void answer(struct btest_engine *f) {
    zmq_msg_t parts[3];
    uint64_t from = 0;
    for (int i = 0; i < 3; i++) {
        zmq_msg_init(&parts[i]);
        cr_assert(zmq_msg_recv(&parts[i], f->router, 0) >= 0);
        cr_assert_eq(zmq_msg_more(&parts[i]), i < 2, "a request has three frames");
    }
    const uint8_t *p = zmq_msg_data(&parts[2]);
    for (size_t i = 0; i < zmq_msg_size(&parts[2]); i++)
        from = from << 8 | p[i];
    f->replays++;
    for (uint64_t seq = from; seq < f->seq; seq++)
        reply(f, &parts[0], seq, f->buffer[seq].payload, f->buffer[seq].n);
    reply(f, &parts[0], UINT64_MAX, "", 0);
    for (int i = 0; i < 3; i++)
        zmq_msg_close(&parts[i]);
}

void btest_engine_serve(struct btest_engine *f, int ms) {
    int64_t end = kvr_clock_ms() + ms;
    do {
        int64_t left = end - kvr_clock_ms();
        if (!f->router) {
            support_sleep_ms(left > 0 ? (int)left : 0);
            return;
        }
        zmq_pollitem_t item = {f->router, 0, ZMQ_POLLIN, 0};
        if (zmq_poll(&item, 1, left > 0 ? left : 0) > 0) answer(f);
    } while (kvr_clock_ms() < end);
}

// ---- Words ---------------------------------------------------------------------------------------

static void word(msgpack_packer *pk, const char *s) {
    msgpack_pack_str(pk, strlen(s));
    msgpack_pack_str_body(pk, s, strlen(s));
}

static uint64_t hash_of(const struct btest_engine *f, int block) {
    return XXH3_64bits_withSeed(&block, sizeof block, f->life * 0x9e3779b97f4a7c15u);
}

static void pack_hash(const struct btest_engine *f, msgpack_packer *pk, int block) {
    uint64_t h = hash_of(f, block);
    char digest[32] = {1, 2, 3};
    if (f->life % 3) {
        msgpack_pack_uint64(pk, h);
        return;
    }
    for (unsigned i = 0; i < 8; i++)
        digest[24 + i] = (char)(h >> (56 - 8 * i));
    msgpack_pack_bin(pk, sizeof digest);
    msgpack_pack_bin_body(pk, digest, sizeof digest);
}

static bool is_map(const struct btest_engine *f) {
    return f->life / 2 % 2;
}

static void name(const struct btest_engine *f, msgpack_packer *pk, const char *s) {
    if (is_map(f)) word(pk, s);
}

static void open_event(const struct btest_engine *f, msgpack_packer *pk, const char *type,
                       unsigned n) {
    if (is_map(f))
        msgpack_pack_map(pk, n);
    else
        msgpack_pack_array(pk, n);
    name(f, pk, "type");
    word(pk, type);
}

static void pack_store(const struct btest_engine *f, msgpack_packer *pk, const int *chain,
                       size_t n) {
    int parent = f->blocks[chain[0]].parent;
    open_event(f, pk, "BlockStored", 7);
    name(f, pk, "block_hashes");
    msgpack_pack_array(pk, n);
    for (size_t i = 0; i < n; i++)
        pack_hash(f, pk, chain[i]);
    name(f, pk, "parent_block_hash");
    if (parent < 0)
        msgpack_pack_nil(pk);
    else
        pack_hash(f, pk, parent);
    name(f, pk, "token_ids");
    msgpack_pack_array(pk, n * 4);
    for (size_t i = 0; i < n; i++)
        for (unsigned k = 0; k < 4; k++)
            msgpack_pack_uint32(pk, f->blocks[chain[i]].tokens[k]);
    name(f, pk, "block_size");
    msgpack_pack_int(pk, 4);
    name(f, pk, "lora_id");
    msgpack_pack_nil(pk);
    name(f, pk, "medium");
    word(pk, "GPU");
}

static void pack_remove(const struct btest_engine *f, msgpack_packer *pk, int block) {
    open_event(f, pk, "BlockRemoved", 3);
    name(f, pk, "block_hashes");
    msgpack_pack_array(pk, 1);
    pack_hash(f, pk, block);
    name(f, pk, "medium");
    word(pk, "GPU");
}

static void begin_batch(struct btest_engine *f, msgpack_sbuffer *b, msgpack_packer *pk,
                        size_t events) {
    msgpack_sbuffer_init(b);
    msgpack_packer_init(pk, b, msgpack_sbuffer_write);
    msgpack_pack_array(pk, 3);
    msgpack_pack_double(pk, (double)f->life * 1e6 + (double)f->seq);
    msgpack_pack_array(pk, events);
}

// ---- The cache -----------------------------------------------------------------------------------

static void hold(struct btest_engine *f, int k) {
    struct btest_engine_block *b = &f->blocks[k];
    if (b->copies++ == 0 && b->parent >= 0) f->blocks[b->parent].children++;
}

static void let_go(struct btest_engine *f, int k) {
    struct btest_engine_block *b = &f->blocks[k];
    if (--b->copies == 0 && b->parent >= 0) f->blocks[b->parent].children--;
}

static void step_store(struct btest_engine *f, msgpack_packer *pk) {
    int chain[BTEST_ENGINE_DEPTH], k = (int)btest_engine_below(f, BTEST_ENGINE_BLOCKS), last = k;
    size_t n = 0;
    // What is held already is not told again, but for a copy now and then.
    bool copy = f->blocks[k].copies == 1;
    for (; k >= 0 && (!f->blocks[k].copies || (copy && k == last)); k = f->blocks[k].parent)
        n++;
    if (!n) { // nothing new; an event of nothing
        open_event(f, pk, "BlockMigrated", 2);
        name(f, pk, "what");
        msgpack_pack_nil(pk);
        return;
    }
    k = last;
    for (size_t i = n; i-- > 0; k = f->blocks[k].parent)
        chain[i] = k;
    pack_store(f, pk, chain, n);
    for (size_t i = 0; i < n; i++)
        hold(f, chain[i]);
}

static void step_remove(struct btest_engine *f, msgpack_packer *pk) {
    int k = (int)btest_engine_below(f, BTEST_ENGINE_BLOCKS);
    for (unsigned i = 0; i < BTEST_ENGINE_BLOCKS; i++, k = (k + 1) % BTEST_ENGINE_BLOCKS)
        if (f->blocks[k].copies && !f->blocks[k].children) break;
    pack_remove(f, pk, k);
    if (f->blocks[k].copies && !f->blocks[k].children) let_go(f, k);
}

void btest_engine_step(struct btest_engine *f) {
    msgpack_sbuffer b;
    msgpack_packer pk;
    unsigned n = btest_engine_below(f, 4);
    begin_batch(f, &b, &pk, n);
    for (unsigned i = 0; i < n; i++)
        if (btest_engine_below(f, 100) < (btest_engine_held(f) < BTEST_ENGINE_BLOCKS / 2 ? 70 : 35))
            step_store(f, &pk);
        else
            step_remove(f, &pk);
    msgpack_pack_int(&pk, 0);
    publish(f, &b);
}

static void empty(struct btest_engine *f) {
    for (int k = 0; k < BTEST_ENGINE_BLOCKS; k++)
        f->blocks[k].copies = f->blocks[k].children = 0;
}

void btest_engine_clear(struct btest_engine *f) {
    msgpack_sbuffer b;
    msgpack_packer pk;
    begin_batch(f, &b, &pk, 1);
    open_event(f, &pk, "AllBlocksCleared", 1);
    msgpack_pack_int(&pk, 0);
    empty(f);
    publish(f, &b);
}

static void drop_buffer(struct btest_engine *f) {
    for (uint64_t i = 0; i < f->seq; i++)
        free(f->buffer[i].payload);
    f->seq = 0;
    f->late = -1;
}

void btest_engine_restart(struct btest_engine *f) {
    close_sockets(f);
    drop_buffer(f);
    empty(f);
    f->life++;
    open_sockets(f);
}

struct btest_engine *btest_engine_new(uint64_t seed, bool replay) {
    struct btest_engine *f = calloc(1, sizeof *f);
    cr_assert(f);
    f->random = seed * 7919 + 1;
    f->life = seed;
    f->late = -1;
    f->has_replay = replay;
    f->zmq = zmq_ctx_new();
    for (int k = 0; k < BTEST_ENGINE_BLOCKS; k++) {
        struct btest_engine_block *b = &f->blocks[k];
        b->parent = k && btest_engine_below(f, 8) ? (int)btest_engine_below(f, (unsigned)k) : -1;
        if (b->parent >= 0 && f->blocks[b->parent].depth == BTEST_ENGINE_DEPTH - 1) b->parent = -1;
        const struct btest_engine_block *p = b->parent < 0 ? NULL : &f->blocks[b->parent];
        b->depth = p ? p->depth + 1 : 0;
        for (unsigned i = 0; i < 4; i++)
            b->tokens[i] = btest_engine_below(f, 150000);
        kvr_hash_tokens(b->tokens, 4, 4, KVR_HASH_SEED, p ? &p->prefix : NULL, &b->prefix);
    }
    open_sockets(f);
    return f;
}

void btest_engine_free(struct btest_engine *f) {
    close_sockets(f);
    drop_buffer(f);
    zmq_ctx_term(f->zmq);
    free(f);
}

size_t btest_engine_held(const struct btest_engine *f) {
    size_t n = 0;
    for (int k = 0; k < BTEST_ENGINE_BLOCKS; k++)
        n += f->blocks[k].copies > 0;
    return n;
}

size_t btest_engine_path(const struct btest_engine *f, int block, uint64_t out[BTEST_ENGINE_DEPTH],
                         size_t *held) {
    size_t n = f->blocks[block].depth + 1;
    *held = 0;
    for (size_t i = n; i-- > 0; block = f->blocks[block].parent) {
        out[i] = f->blocks[block].prefix;
        if (f->blocks[block].copies && !*held) *held = i + 1;
    }
    return n;
}
