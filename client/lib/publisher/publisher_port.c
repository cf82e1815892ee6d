// SPDX-License-Identifier: Apache-2.0
#include "publisher_port.h"

#include <string.h>
#include <sys/random.h>

#include "client/common/clock.h"
#include "publisher_send.h"

static size_t or_default(size_t value, size_t otherwise) {
    return value ? value : otherwise;
}

static size_t clamp(size_t value, size_t min, size_t max) {
    return value < min ? min : value > max ? max : value;
}

// A batch may have twice as many words as blocks; a few of them always fit into the ring, and half of
// the ring is left for changes that come while the other half is under way.
static void set_sizes(struct kvr_publisher *p, const struct kvr_publisher_options *o) {
    p->ring_bytes = clamp(or_default(o->ring_bytes, (size_t)4 << 20), 4096, SIZE_MAX / 2);
    size_t max = clamp(p->ring_bytes / 64, 1, KVR_MAX_BLOCKS);
    p->batch_blocks = clamp(or_default(o->batch_blocks, 4096), 1, max);
    p->window_bytes = clamp(p->ring_bytes / 2, 1, KVR_EVENT_WINDOW_BYTES);
    p->linger = o->linger > 0 ? o->linger : o->linger < 0 ? 0 : 2;
    if (p->linger > KVR_MAX_MS) p->linger = KVR_MAX_MS;
}

struct kvr_publisher *kvr_publisher_open(const struct kvr_publisher_port *port,
                                         struct kvr_bytes worker, uint32_t rank,
                                         const struct kvr_publisher_options *options) {
    static const struct kvr_publisher_options defaults;
    const struct kvr_publisher_options *o = options ? options : &defaults;
    if (worker.n < 1 || worker.n > KVR_MAX_NAME || rank >= KVR_MAX_RANKS || o->epoch > INT64_MAX)
        return NULL;
    struct kvr_publisher *p = kvr_alloc_zeroed(port->alloc, sizeof *p);
    if (!p) return NULL;
    size_t max_blocks = clamp(or_default(o->max_blocks, (size_t)1 << 23), 1, (size_t)1 << 31);
    if (kvr_held_init(&p->held, port->alloc, port->random, max_blocks)) {
        kvr_alloc_free(port->alloc, p);
        return NULL;
    }
    p->port = *port;
    memcpy(p->worker, worker.p, worker.n);
    p->worker_n = worker.n;
    p->rank = rank;
    p->random = port->random;
    p->armed = KVR_NEVER;
    set_sizes(p, o);
    kvr_ops_init(&p->batch, port->alloc);
    kvr_ring_init(&p->ring, port->alloc);
    p->follower.wake_at = KVR_NEVER;
    p->follower.history = kvr_publisher_history;
    p->follower.wake = kvr_publisher_wake;
    port->follow(port->handle, &p->follower);
    // The first epoch is there at once. Its first event is due even if nothing is stored: it makes the
    // pool drop what an earlier life of this rank has left.
    p->epoch = o->epoch;
    if (!p->epoch && !kvr_publisher_next_epoch(p, 1)) p->epoch = 1;
    p->round = 1;
    p->next = 1;
    p->due = port->now(port->handle) + p->linger;
    kvr_publisher_arm(p);
    return p;
}

void kvr_publisher_free(struct kvr_publisher *p) {
    if (!p) return;
    for (size_t i = 0; i < KVR_EVENT_WINDOW; i++)
        if (p->flights[i].busy) p->port.detach(p->port.handle, &p->flights[i]);
    p->port.unfollow(p->port.handle, &p->follower);
    kvr_ops_free(&p->batch);
    kvr_ring_free(&p->ring);
    kvr_held_free(&p->held);
    kvr_alloc_free(p->port.alloc, p);
}

// ---- On real handles -----------------------------------------------------------------------------

static void follow(void *handle, struct kvr_follower *f) {
    kvr_handle_follow(handle, f);
}

static void unfollow(void *handle, struct kvr_follower *f) {
    (void)handle;
    kvr_handle_unfollow(f);
}

static void wake(void *handle, struct kvr_follower *f, int64_t at) {
    kvr_handle_wake(handle, f, at);
}

static int64_t now(void *handle) {
    (void)handle;
    return kvr_clock_ms();
}

static uint64_t date(void *handle) {
    (void)handle;
    return (uint64_t)kvr_clock_date_us();
}

static enum kvr_code send_event(void *handle, struct kvr_command *command, kvr_done *done,
                                void *ctx) {
    return kvr_handle_send(handle, command, done, ctx);
}

static void detach(void *handle, void *ctx) {
    struct kvr_client *c = handle;
    kvr_calls_detach(&c->calls, ctx);
}

static void log_line(void *handle, enum kvr_level level, const char *line) {
    struct kvr_client *c = handle;
    kvr_context_log(&c->context, level, "%s", line);
}

// Where the system has no random numbers, addresses and time have to do: the secret only keeps
// callers from choosing hashes that make the index slow.
static uint64_t secret(const struct kvr_client *c) {
    uint64_t random;
    if (getrandom(&random, sizeof random, GRND_NONBLOCK) == (ssize_t)sizeof random) return random;
    return date(NULL) * 0x9e3779b97f4a7c15u ^ (uint64_t)(uintptr_t)c;
}

struct kvr_publisher *kvr_publisher_new(struct kvr_client *c, struct kvr_bytes worker,
                                        uint32_t rank,
                                        const struct kvr_publisher_options *options) {
    struct kvr_publisher_port port = {.handle = c,
                                      .alloc = &c->context.alloc,
                                      .pool = kvr_text(c->pool),
                                      .random = secret(c),
                                      .follow = follow,
                                      .unfollow = unfollow,
                                      .wake = wake,
                                      .now = now,
                                      .date = date,
                                      .send = send_event,
                                      .detach = detach,
                                      .log = log_line};
    return kvr_publisher_open(&port, worker, rank, options);
}
