// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-dumps: what a large pool costs its server that is saved, loaded, copied, compared, and takes over.
//
// Real servers: a primary and a replica. While a command runs another connection asks for nothing and notes its
// longest wait: how long the server stood still.
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "bench/common/bench_args.h"
#include "bench/common/bench_usage.h"
#include "bench_holdings.h"
#include "client/common/clock.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"
#include "tests/support/support_redis.h"

enum { DUMPS_EVENT = 64, DUMPS_POLL_MS = 5 };

static struct dumps_options {
    uint64_t blocks, workers, rate;
    const char *module, *server;
} o = {10000000, 64, 1000, NULL, NULL};

static const char usage[] =
    "usage: kvroute-bench-dumps [options]\n"
    "\n"
    "A pool in a real server: a save under events, DIGEST, DUMP, COPY, a replica's "
    "synchronisation,\n"
    "its failover and the old primary's restart; how long each takes and the server stands still.\n"
    "\n"
    "  --blocks N       (10,000,000)\n"
    "  --workers N      (64)\n"
    "  --rate N         events of 64 new blocks a second during the save (1,000)\n"
    "  --module PATH    kvroute.so\n"
    "  --redis-server PATH\n"
    "  --help, --version\n";

#define AT(field) offsetof(struct dumps_options, field)
static const struct bench_arg args[] = {
    {"blocks", bench_arg_whole, AT(blocks), 1000, 1e9},
    {"workers", bench_arg_whole, AT(workers), 4, 10000},
    {"rate", bench_arg_whole, AT(rate), 0, 100000},
    {"module", bench_arg_text, AT(module), 0, 0},
    {"redis-server", bench_arg_text, AT(server), 0, 0},
};
#undef AT

// ---- Whoever asks meanwhile ----------------------------------------------------------------------

struct dumps_watch {
    const char *socket;
    pthread_t thread;
    atomic_bool stop;
    int64_t longest; // µs
};

static void *watch(void *ctx) {
    struct dumps_watch *w = ctx;
    struct bench_wire wire = {0};
    bench_wire_open_unix(&wire, w->socket);
    while (!atomic_load(&w->stop)) {
        int64_t start = kvr_clock_us();
        bench_wire_begin(&wire, 1, "PING", NULL);
        bench_wire_send(&wire);
        bench_wire_skip(&wire);
        int64_t took = kvr_clock_us() - start;
        if (took > w->longest) w->longest = took;
        support_sleep_ms(1);
    }
    bench_wire_close(&wire);
    return NULL;
}

static void watch_begin(struct dumps_watch *w, const char *socket) {
    *w = (struct dumps_watch){.socket = socket};
    if (pthread_create(&w->thread, NULL, watch, w)) support_fail("no thread");
}

static double watch_end(struct dumps_watch *w) { // ms
    atomic_store(&w->stop, true);
    pthread_join(w->thread, NULL);
    return (double)w->longest / 1e3;
}

// ---- Steps ---------------------------------------------------------------------------------------

static void row(const char *what, double seconds, double cpu, double still) {
    printf("%-40s %8.2f %8.2f %10.1f\n", what, seconds, cpu, still);
    fflush(stdout);
}

static void send_words(struct bench_wire *w, const char *const *words, size_t n) {
    bench_wire_begin(w, n, words[0], NULL);
    for (size_t i = 1; i < n; i++)
        bench_wire_text(w, words[i]);
    bench_wire_send(w);
}

static void timed(struct support_redis *r, struct bench_wire *w, const char *const *words,
                  size_t n) {
    struct dumps_watch eye;
    char what[80] = "";
    for (size_t i = 0; i < n; i++)
        snprintf(what + strlen(what), sizeof what - strlen(what), i ? " %s" : "%s", words[i]);
    watch_begin(&eye, r->socket);
    double cpu = bench_cpu_s(r->pid);
    int64_t start = kvr_clock_us();
    send_words(w, words, n);
    bench_wire_skip(w);
    double seconds = (double)(kvr_clock_us() - start) / 1e6;
    cpu = bench_cpu_s(r->pid) - cpu;
    row(what, seconds, cpu, watch_end(&eye));
}

static double number(struct support_redis *r, const char *section, const char *field) {
    return support_redis_number(r, section, field);
}

// Events of new blocks at the rate, while a save runs.
static void save(struct support_redis *r, struct bench_wire *w, struct bench_holdings *h) {
    static const char *const words[] = {"BGSAVE"};
    struct dumps_watch eye;
    uint64_t random = 77, hashes[DUMPS_EVENT], sent = 0;
    watch_begin(&eye, r->socket);
    double cpu = bench_cpu_s(r->pid);
    int64_t start = kvr_clock_us(), look = start;
    send_words(w, words, 1);
    bench_wire_skip(w);
    while (true) {
        int64_t now = kvr_clock_us();
        if (now > look + 50000) {
            look = now;
            if (!number(r, "persistence", "rdb_bgsave_in_progress")) break;
        }
        if (sent >= (uint64_t)(now - start) * o.rate / 1000000) {
            support_sleep_ms(1);
            continue;
        }
        for (size_t i = 0; i < DUMPS_EVENT; i++)
            hashes[i] = kvr_random(&random);
        bench_put_event(w, h, sent++ % h->workers, "STORED", NULL, hashes, DUMPS_EVENT);
        bench_wire_send(w);
        bench_wire_skip(w);
    }
    double seconds = (double)(kvr_clock_us() - start) / 1e6;
    cpu = bench_cpu_s(r->pid) - cpu;
    row("BGSAVE under events", seconds, cpu, watch_end(&eye));
    double memory = number(r, "memory", "used_memory"),
           copied = number(r, "persistence", "rdb_last_cow_size");
    printf("  %.0f events a second; copied for the save: %.1f MB of %.1f (%.0f %%)\n",
           (double)sent / seconds, copied / 1e6, memory / 1e6, 100 * copied / memory);
}

static void follow(struct support_redis *replica, struct support_redis *primary) {
    struct dumps_watch eye;
    watch_begin(&eye, primary->socket);
    double cpu = bench_cpu_s(replica->pid);
    int64_t start = kvr_clock_us();
    redisReply *r = support_redis_command(replica, "REPLICAOF 127.0.0.1 %d", primary->port);
    if (!r) support_fail("it doesn't become a replica");
    freeReplyObject(r);
    char link[20] = "";
    while (strcmp(link, "up") != 0) {
        support_sleep_ms(DUMPS_POLL_MS);
        support_redis_info(replica, "replication", "master_link_status", link, sizeof link);
    }
    double seconds = (double)(kvr_clock_us() - start) / 1e6;
    row("a replica loads all of it", seconds, bench_cpu_s(replica->pid) - cpu, watch_end(&eye));
}

// The primary is killed, the replica takes over; the other comes back with what it had saved.
static void fail_over(struct support_redis *replica, struct support_redis *primary) {
    struct bench_wire w = {0};
    bench_wire_open_unix(&w, replica->socket);
    support_redis_end(primary, SIGKILL);
    double cpu = bench_cpu_s(replica->pid);
    int64_t start = kvr_clock_us();
    static const char *const promote[] = {"REPLICAOF", "NO", "ONE"},
                             *const ask[] = {
                                 "KVROUTE.SELECT", bench_pool_key, "after", "IDS", "2", "1", "2"};
    send_words(&w, promote, 3);
    bench_wire_skip(&w);
    send_words(&w, ask, 7);
    bench_wire_skip(&w);
    row("REPLICAOF NO ONE, then a SELECT", (double)(kvr_clock_us() - start) / 1e6,
        bench_cpu_s(replica->pid) - cpu, 0);
    bench_wire_close(&w);
    start = kvr_clock_us();
    if (!support_redis_restart(primary)) support_fail("the old primary doesn't come back");
    double seconds = (double)(kvr_clock_us() - start) / 1e6;
    cpu = bench_cpu_s(primary->pid);
    row("the old primary starts again", seconds, cpu, 0);
    printf("  %.3f us of CPU a block\n", cpu * 1e6 / (double)o.blocks);
}

int main(int argc, char **argv) {
    int status = bench_args_read(&o, args, sizeof args / sizeof *args, usage, argc, argv);
    if (status >= 0) return status;
    struct support_redis primary = {.module = o.module, .program = o.server},
                         replica = {.module = o.module, .program = o.server};
    struct bench_holdings held;
    struct bench_wire w = {0};
    if (!support_redis_start(&primary) || !support_redis_start(&replica)) return 1;
    bench_holdings_make(&held, o.workers, o.blocks);
    bench_wire_open_unix(&w, primary.socket);
    int64_t start = kvr_clock_us();
    bench_fill_pool(&w, &held);
    printf("%zu blocks, %zu workers: filled in %.1f s, %.1f MB\n\n%-40s %8s %8s %10s\n",
           held.blocks, held.workers, (double)(kvr_clock_us() - start) / 1e6,
           number(&primary, "memory", "used_memory") / 1e6, "", "s", "CPU s", "still, ms");
    static const char *const digest[] = {"KVROUTE.DIGEST", bench_pool_key},
                             *const value[] = {"DEBUG", "DIGEST-VALUE", bench_pool_key},
                             *const dump[] = {"DUMP", bench_pool_key},
                             *const copy[] = {"COPY", bench_pool_key, "twin"},
                             *const drop[] = {"UNLINK", "twin"};
    save(&primary, &w, &held); // first, while nothing that was freed lies between what is held
    timed(&primary, &w, digest, 2);
    timed(&primary, &w, value, 3);
    timed(&primary, &w, dump, 2);
    timed(&primary, &w, copy, 3);
    timed(&primary, &w, drop, 2);
    follow(&replica, &primary);
    bench_wire_close(&w);
    fail_over(&replica, &primary);
    support_redis_end(&primary, SIGKILL);
    support_redis_end(&replica, SIGKILL);
    bench_holdings_free(&held);
    support_home_remove();
    return 0;
}
