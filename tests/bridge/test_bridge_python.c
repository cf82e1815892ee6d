// SPDX-License-Identifier: Apache-2.0
// The bridge beside a publisher of pyzmq and msgpack. Skipped where Python lacks them.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "btest_bridge.h"
#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_needs.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { MAX_HELD = 4000, MAX_PATH_TOKENS = 1024 };

struct held_paths {
    size_t n, depth[MAX_HELD];
    uint64_t *paths[MAX_HELD]; // prefix hashes, to be freed
};

static void read_held(FILE *f, struct held_paths *h) {
    static char line[MAX_PATH_TOKENS * 8];
    while (fgets(line, sizeof line, f) && strcmp(line, "end\n") != 0) {
        uint32_t tokens[MAX_PATH_TOKENS];
        size_t n = 0;
        for (char *at = line; *at && *at != '\n' && n < MAX_PATH_TOKENS;)
            tokens[n++] = (uint32_t)strtoul(at, &at, 10);
        cr_assert(h->n < MAX_HELD && n % BTEST_BLOCK_SIZE == 0 && n);
        uint64_t *path = calloc(n / BTEST_BLOCK_SIZE, sizeof *path);
        h->depth[h->n] = kvr_hash_tokens(tokens, n, BTEST_BLOCK_SIZE, KVR_HASH_SEED, NULL, path);
        h->paths[h->n++] = path;
    }
    cr_assert_str_eq(line, "end\n", "the publisher has died");
}

static bool is_true(struct btest_bridge *s, const struct held_paths *h) {
    if (btest_bridge_held(s, "device_blocks") != (long long)h->n) return false;
    for (size_t i = 0; i < h->n; i++)
        if (btest_bridge_overlap(s, h->paths[i], h->depth[i]) != (long long)h->depth[i])
            return false;
    return true;
}

Test(python, a_publisher_of_pyzmq_and_msgpack) {
    support_needs_python("zmq, msgpack", "python3-zmq and python3-msgpack");
    static struct held_paths held;
    struct btest_bridge s = {0};
    int events_port = 0, replay_port = 0, in[2], out[2];
    char events[12], replay[12], engine[200];
    events_port = support_port();
    replay_port = support_port();
    snprintf(events, sizeof events, "%d", events_port);
    snprintf(replay, sizeof replay, "%d", replay_port);
    snprintf(engine, sizeof engine,
             "w audit=300 events=tcp://127.0.0.1:%d replay=tcp://127.0.0.1:%d", events_port,
             replay_port);
    const char *flags[] = {"--engine", engine, NULL};
    const char *argv[] = {"/usr/bin/python3", KVROUTE_PUBLISHER_PY, events, replay, "5", NULL};
    btest_bridge_redis(&s);
    btest_bridge_start(&s, flags);
    cr_assert(pipe(in) == 0 && pipe(out) == 0);
    fcntl(in[1], F_SETFD, FD_CLOEXEC);
    pid_t python = support_fork(in[0], out[1], out[1]);
    if (!python) support_exec(argv);
    close(in[0]);
    close(out[1]);
    FILE *f = fdopen(out[0], "r");
    read_held(f, &held);
    bool good = false;
    for (int64_t end = kvr_clock_ms() + BTEST_WAIT_MS;
         kvr_clock_ms() < end && !(good = is_true(&s, &held));)
        support_sleep_ms(50);
    cr_expect(good, "the publisher holds %zu, the pool says %lld", held.n,
              btest_bridge_held(&s, "device_blocks"));
    close(in[1]);
    int status;
    cr_expect(support_ends(&python, BTEST_WAIT_MS, &status) && status == 0);
    fclose(f);
    for (size_t i = 0; i < held.n; i++)
        free(held.paths[i]);
    btest_bridge_stop(&s);
}
