// SPDX-License-Identifier: Apache-2.0
// What one call may take with 10,000 who wait. A release is what the command does: it ends one and admits, as far as
// a command looks.
#include <stdio.h>
#include <string.h>

#include "bench_worst_queue.h"
#include "bench_worst_row.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"

enum {
    WAITING = 10000,
    WORST_WORKERS = 64,
    WORST_LOOKS = 64, // of one command, and of one step of the timer
    WORST_BLOCKS = 512,
    WORST_TRIES = 1000,
    WORST_WAIT_MS = 3600000,
};

enum kind { KIND_LINE, KIND_FLOWS, KIND_BLOCKS, KIND_AMONG };
struct crowd {
    struct kvr_pool *p;
    enum kind kind;
    int64_t now;
    uint64_t next, first; // numbers of requests: the next that comes, the first that lives
};

static uint64_t state = 5;

static struct kvr_bytes name_of(const char *format, uint64_t number, char room[32]) {
    return (struct kvr_bytes){room, (size_t)snprintf(room, 32, format, (unsigned long long)number)};
}

static void workers(struct kvr_pool *p, uint64_t capacity) {
    char room[32];
    int created;
    for (uint64_t i = 0; i < WORST_WORKERS; i++) {
        struct kvr_worker_settings set = {.set = KVR_SET_CAPACITY, .capacity = capacity};
        bench_worst_must(kvr_worker_set(p, 1, name_of("w%03llu", i, room), &set, &created));
    }
}

// No two prompts are alike. With KIND_BLOCKS they are of many lengths; with KIND_AMONG all who wait may go to one
// worker alone, which is never free.
static enum kvr_err ask(struct crowd *c, bool any) {
    uint64_t hashes[WORST_BLOCKS];
    char id[32], flow[32], worker[32];
    for (size_t i = 0; i < WORST_BLOCKS; i++)
        hashes[i] = kvr_random(&state);
    struct kvr_bytes among = name_of("w%03llu", 0, worker);
    struct kvr_query q = {.hashes = hashes,
                          .n = WORST_BLOCKS,
                          .isl = -1,
                          .rule = kvr_pool_options(c->p)->rule,
                          .wait = WORST_WAIT_MS};
    if (c->kind == KIND_BLOCKS) q.n = 256 + kvr_random(&state) % 257;
    if (c->kind == KIND_FLOWS) q.flow = name_of("f%llu", c->next, flow);
    if (c->kind == KIND_AMONG && !any) {
        q.among = &among;
        q.n_among = 1;
        q.has_among = true;
    }
    struct kvr_pool_choice choice;
    struct kvr_booking booked;
    return kvr_select(c->p, c->now, name_of("r%llu", c->next++, id), &q, -1, 0, &choice, &booked);
}

static size_t admit(struct crowd *c) {
    struct kvr_admission a;
    size_t looks = WORST_LOOKS, n = 0;
    while (kvr_admit(c->p, c->now, &looks, 0, NULL, NULL, &a))
        n++;
    return n;
}

static void admit_all(struct crowd *c) {
    while (kvr_admit_left(c->p, c->now))
        admit(c);
}

static struct crowd begin_crowd(enum kind kind) {
    struct kvr_alloc a = {bench_worst_resize, NULL};
    struct kvr_options o;
    kvr_options_default(&o);
    o.max_waiting = 2 * WAITING;
    o.max_requests = kind != KIND_BLOCKS;
    o.max_blocks = kind == KIND_BLOCKS ? 100 : 0;
    struct crowd c = {.p = kvr_pool_new(&a, &o, 0x1234567), .kind = kind, .now = 1};
    if (!c.p) support_fail("out of memory");
    workers(c.p, kind == KIND_BLOCKS ? 1024 : 0);
    for (size_t i = 0; i < WORST_WORKERS; i++)
        bench_worst_must(ask(&c, true));
    for (size_t i = 0; i < WAITING; i++)
        bench_worst_must(ask(&c, false));
    admit_all(&c);
    return c;
}

// The longest of many, of a new one that waits and of a release with its admissions. Time goes on, so that who has
// waited for long has an instance kept for him.
static void churn(enum kind kind, const char *comes, const char *goes) {
    struct crowd c = begin_crowd(kind);
    double worst[2] = {0, 0};
    char id[32];
    for (size_t i = 0; i < WORST_TRIES; i++) {
        c.now += 10;
        bench_worst_begin();
        admit(&c); // as SELECT does before it looks for itself
        bench_worst_must(ask(&c, false));
        double ms = bench_worst_ms();
        worst[0] = ms > worst[0] ? ms : worst[0];
        // The first live one that isn't the one that nobody may take.
        struct kvr_bytes one = name_of("r%llu", c.first + (kind == KIND_AMONG), id);
        bench_worst_begin();
        kvr_release(c.p, c.now, &one, 1, KVR_RELEASED);
        admit(&c);
        ms = bench_worst_ms();
        worst[1] = ms > worst[1] ? ms : worst[1];
        if (kind == KIND_AMONG) bench_worst_must(ask(&c, true));
        c.first++;
    }
    bench_worst_row(comes, worst[0]);
    bench_worst_row(goes, worst[1]);
    kvr_pool_free(c.p);
}

static void nothing(void *ctx, const struct kvr_waiting_info *w) {
    (void)w;
    ++*(size_t *)ctx;
}

static void no_name(void *ctx, struct kvr_bytes id) {
    (void)ctx, (void)id;
}

static void shown(void) {
    struct crowd c = begin_crowd(KIND_FLOWS);
    size_t n = 0;
    int64_t estimate;
    int created;
    uint8_t digest[KVR_DIGEST_BYTES];
    bench_worst_begin();
    bench_worst_must(kvr_queue(c.p, c.now, 10, nothing, &n, &estimate));
    bench_worst_done("QUEUE, each of a flow");
    bench_worst_begin();
    bench_worst_must(kvr_queue(c.p, c.now, WAITING, nothing, &n, &estimate));
    bench_worst_done("QUEUE COUNT 10000, each of a flow (without the reply)");
    bench_worst_begin();
    struct kvr_class_info set = {.priority = 5};
    bench_worst_must(
        kvr_class_set(c.p, (struct kvr_bytes){"default", 7}, KVR_CLASS_PRIORITY, &set, &created));
    admit(&c);
    bench_worst_done("CLASS SET, another priority");
    bench_worst_begin();
    struct kvr_options o = *kvr_pool_options(c.p);
    o.max_requests = 2;
    bench_worst_must(kvr_pool_alter(c.p, &o));
    admit(&c);
    bench_worst_done("ALTER, room for 64 more: the command");
    bench_worst_begin();
    admit_all(&c);
    bench_worst_done("what is left to the timer");
    bench_worst_begin();
    kvr_pool_digest(c.p, digest);
    bench_worst_done("DIGEST, of 512 blocks each");
    bench_worst_begin();
    kvr_renew_all(c.p, 0);
    bench_worst_done("the clock is set back");
    bench_worst_begin();
    kvr_end_waiting(c.p, c.now + 2 * (int64_t)WORST_WAIT_MS, WORST_LOOKS, no_name, NULL);
    bench_worst_done("64 whose time is over");
    kvr_pool_free(c.p);
}

void bench_worst_queue(void) {
    printf("\nWith 10,000 who wait, 64 instances\n");
    churn(KIND_LINE, "SELECT, one more waits; the longest of 1,000",
          "RELEASE with its admission, the longest");
    churn(KIND_FLOWS, "SELECT, each of a flow", "RELEASE, each of a flow");
    churn(KIND_BLOCKS, "SELECT, MAXBLOCKS, of many lengths", "RELEASE, MAXBLOCKS");
    churn(KIND_AMONG, "SELECT, all for one worker that has no room",
          "RELEASE of others beside them");
    shown();
}
