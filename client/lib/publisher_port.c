// SPDX-License-Identifier: Apache-2.0
// Publishers on real handles.
#include <sys/random.h>
#include <time.h>

#include "publisher_impl.h"

static void follow(void *handle, struct follower *f) {
    handle_follow(handle, f);
}

static void unfollow(void *handle, struct follower *f) {
    handle_unfollow(handle, f);
}

static void wake(void *handle, struct follower *f, int64_t at) {
    handle_wake(handle, f, at);
}

static int64_t now(void *handle) {
    return handle_now(handle);
}

static uint64_t date(void *handle) {
    (void)handle;
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static enum kvr_code send_event(void *handle, struct command *command, kvr_done *done, void *ctx) {
    return handle_send(handle, command, done, ctx);
}

static void detach(void *handle, void *ctx) {
    handle_detach(handle, ctx);
}

static void log_line(void *handle, enum kvr_level level, const char *line) {
    handle_log(handle, level, "%s", line);
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
    struct publisher_port port = {.handle = c,
                                  .alloc = handle_alloc(c),
                                  .pool = handle_pool(c),
                                  .random = secret(c),
                                  .follow = follow,
                                  .unfollow = unfollow,
                                  .wake = wake,
                                  .now = now,
                                  .date = date,
                                  .send = send_event,
                                  .detach = detach,
                                  .log = log_line};
    return publisher_open(&port, worker, rank, options);
}
