// SPDX-License-Identifier: Apache-2.0
#include "btest_flood.h"

#include <endian.h>
#include <msgpack.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zmq.h>

enum { FLOOD_PAUSE_MS = 4, FLOOD_HWM = 64 };

// ---- A batch -------------------------------------------------------------------------------------

static void pack_text(msgpack_packer *pk, const char *s) {
    msgpack_pack_str(pk, strlen(s));
    msgpack_pack_str_body(pk, s, strlen(s));
}

static void pack_batch(msgpack_packer *pk, unsigned block_size) {
    msgpack_pack_array(pk, 2);
    msgpack_pack_double(pk, 1.0);
    msgpack_pack_array(pk, 2);
    msgpack_pack_array(pk, 1);
    pack_text(pk, "AllBlocksCleared");
    msgpack_pack_array(pk, 7);
    pack_text(pk, "BlockStored");
    msgpack_pack_array(pk, BTEST_FLOOD_BLOCKS);
    for (uint64_t i = 0; i < BTEST_FLOOD_BLOCKS; i++)
        msgpack_pack_uint64(pk, UINT64_MAX - i);
    msgpack_pack_nil(pk);
    msgpack_pack_array(pk, BTEST_FLOOD_BLOCKS * (size_t)block_size);
    for (uint32_t i = 0; i < BTEST_FLOOD_BLOCKS * block_size; i++)
        msgpack_pack_uint32(pk, 1000 + i % 30000);
    msgpack_pack_uint32(pk, block_size);
    msgpack_pack_nil(pk);
    pack_text(pk, "GPU");
}

// ---- Sending -------------------------------------------------------------------------------------

static void send_batch(struct btest_flood *f, void *socket, uint64_t seq) {
    uint64_t number = htobe64(seq);
    double time = (double)seq;
    uint64_t bits;
    memcpy(&bits, &time, sizeof bits);
    bits = htobe64(bits);
    memcpy(f->payload + f->time_at, &bits, sizeof bits);
    zmq_send(socket, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(socket, &number, sizeof number, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(socket, f->payload, f->n, ZMQ_DONTWAIT);
}

static void answer_replay(struct btest_flood *f) {
    uint8_t identity[64], from[8];
    int n = zmq_recv(f->router, identity, sizeof identity, ZMQ_DONTWAIT);
    if (n < 0) return;
    if (zmq_recv(f->router, from, sizeof from, 0) != 0 ||
        zmq_recv(f->router, from, sizeof from, 0) != sizeof from)
        return;
    uint64_t seq, last = atomic_load(&f->seq), end = UINT64_MAX;
    memcpy(&seq, from, sizeof seq);
    seq = be64toh(seq);
    if (last > BTEST_FLOOD_BUFFER && seq < last - BTEST_FLOOD_BUFFER)
        seq = last - BTEST_FLOOD_BUFFER;
    for (; seq < last; seq++) {
        zmq_send(f->router, identity, (size_t)n, ZMQ_SNDMORE | ZMQ_DONTWAIT);
        send_batch(f, f->router, seq); // whose first frame, the topic, is the delimiter here
    }
    zmq_send(f->router, identity, (size_t)n, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(f->router, "", 0, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(f->router, &end, sizeof end, ZMQ_SNDMORE | ZMQ_DONTWAIT);
    zmq_send(f->router, "", 0, ZMQ_DONTWAIT);
}

static void *flood(void *arg) {
    struct btest_flood *f = arg;
    zmq_pollitem_t item = {f->router, 0, ZMQ_POLLIN, 0};
    while (!atomic_load(&f->stop)) {
        zmq_poll(&item, 1, FLOOD_PAUSE_MS);
        answer_replay(f);
        if (atomic_load(&f->quiet)) continue;
        send_batch(f, f->pub, atomic_load(&f->seq));
        atomic_fetch_add(&f->seq, 1);
    }
    return NULL;
}

// ---- Beginning and end ---------------------------------------------------------------------------

static void *bound(void *zmq, int type, int *port) {
    char endpoint[60];
    size_t n = sizeof endpoint;
    int hwm = FLOOD_HWM, none = 0;
    void *socket = zmq_socket(zmq, type);
    zmq_setsockopt(socket, ZMQ_SNDHWM, &hwm, sizeof hwm);
    zmq_setsockopt(socket, ZMQ_LINGER, &none, sizeof none);
    if (zmq_bind(socket, "tcp://127.0.0.1:*") ||
        zmq_getsockopt(socket, ZMQ_LAST_ENDPOINT, endpoint, &n))
        abort();
    *port = atoi(strrchr(endpoint, ':') + 1);
    return socket;
}

void btest_flood_begin(struct btest_flood *f, unsigned block_size) {
    msgpack_sbuffer b;
    msgpack_packer pk;
    msgpack_sbuffer_init(&b);
    msgpack_packer_init(&pk, &b, msgpack_sbuffer_write);
    pack_batch(&pk, block_size);
    *f = (struct btest_flood){.zmq = zmq_ctx_new(), .n = b.size, .time_at = 2};
    f->payload = (uint8_t *)msgpack_sbuffer_release(&b);
    f->pub = bound(f->zmq, ZMQ_PUB, &f->events_port);
    f->router = bound(f->zmq, ZMQ_ROUTER, &f->replay_port);
    if (pthread_create(&f->thread, NULL, flood, f)) abort();
}

void btest_flood_end(struct btest_flood *f) {
    atomic_store(&f->stop, true);
    pthread_join(f->thread, NULL);
    zmq_close(f->pub);
    zmq_close(f->router);
    zmq_ctx_term(f->zmq);
    free(f->payload);
}
