// SPDX-License-Identifier: Apache-2.0
// kvroute-bench-worst: how long one call may hold the server, at worst.
//
// A server does one thing at a time, so what a call takes is what everybody else waits. Each row is one call
// that is as large as the limits let it be, or that meets a pool which earlier calls have made awkward; of
// calls that are small themselves, the longest of many. The thread's CPU time, no server.
#include <stdio.h>
#include <string.h>

#include "bench/common/bench_args.h"
#include "bench_worst_queue.h"
#include "bench_worst_row.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"

enum { BENCH_WORST_MILLION = KVR_MAX_BLOCKS, BENCH_WORST_PAIRS = 2000, BENCH_WORST_CHUNK = 1024 };

// One sequence; the same blocks in any order; another sequence.
static uint64_t chain[BENCH_WORST_MILLION], mixed[BENCH_WORST_MILLION], other[BENCH_WORST_MILLION];

static struct kvr_bytes text(const char *s) {
    return (struct kvr_bytes){s, strlen(s)};
}

static struct kvr_pool *new_pool(int64_t predict) {
    struct kvr_alloc a = {bench_worst_resize, NULL};
    struct kvr_options o;
    kvr_options_default(&o);
    o.predict = predict;
    struct kvr_pool *p = kvr_pool_new(&a, &o, 0x1234567);
    struct kvr_worker_settings set = {0};
    int created;
    if (!p) support_fail("out of memory");
    bench_worst_must(kvr_worker_set(p, 1, text("w"), &set, &created));
    bench_worst_must(kvr_worker_set(p, 1, text("v"), &set, &created));
    return p;
}

static void event(struct kvr_pool *p, const char *worker, uint64_t seq, enum kvr_pool_op_kind kind,
                  const uint64_t *hashes, size_t n) {
    struct kvr_pool_op op = {kind, KVR_DEVICE, false, 0, hashes, n};
    struct kvr_event_result r;
    bench_worst_must(kvr_event(p, text(worker), 0, 1, seq, &op, 1, true, &r));
}

static struct kvr_booking claim(struct kvr_pool *p, const char *id, const uint64_t *hashes,
                                size_t n) {
    struct kvr_booking b = {.hashes = hashes, .n = n, .isl = -1, .lease = -1};
    int booked;
    b.created = b.renewed = 1;
    b.predict_until = kvr_pool_options(p)->predict;
    bench_worst_must(kvr_claim(p, text(id), text("w"), 0, &b, &booked));
    return b;
}

static void release(struct kvr_pool *p, const char *id) {
    struct kvr_bytes name = text(id);
    if (kvr_release(p, 1, &name, 1, KVR_LAPSED) != 1) support_fail("a request is lost");
}

static void drop_all(struct kvr_pool *p) {
    while (kvr_pool_sweep(p, 1000)) {
    }
}

// ---- Large lists ---------------------------------------------------------------------------------

static void events(void) {
    struct kvr_pool *p = new_pool(0);
    uint64_t seq = 0;
    bench_worst_begin();
    event(p, "w", ++seq, KVR_STORED, chain, BENCH_WORST_MILLION);
    bench_worst_done("EVENT STORED, 1 M new blocks");
    bench_worst_begin();
    event(p, "w", ++seq, KVR_REMOVED, chain, BENCH_WORST_MILLION);
    bench_worst_done("EVENT REMOVED, 1 M blocks in their order");
    event(p, "w", ++seq, KVR_STORED, chain, BENCH_WORST_MILLION);
    bench_worst_begin();
    event(p, "w", ++seq, KVR_REMOVED, mixed, BENCH_WORST_MILLION);
    bench_worst_done("EVENT REMOVED, 1 M blocks in any order");
    event(p, "w", ++seq, KVR_STORED, chain, BENCH_WORST_MILLION);
    event(p, "v", 1, KVR_STORED, chain, BENCH_WORST_MILLION);
    bench_worst_begin();
    event(p, "w", ++seq, KVR_REMOVED, mixed, BENCH_WORST_MILLION);
    bench_worst_done("the same, of blocks that others hold, too");
    event(p, "w", ++seq, KVR_STORED, chain, BENCH_WORST_MILLION);
    static uint64_t half[BENCH_WORST_MILLION / 2];
    for (size_t i = 0; i < BENCH_WORST_MILLION / 2; i++)
        half[i] = chain[2 * i];
    bench_worst_begin();
    event(p, "w", ++seq, KVR_REMOVED, half, BENCH_WORST_MILLION / 2);
    bench_worst_done("EVENT REMOVED, every second block of 1 M");
    bench_worst_begin();
    event(p, "w", ++seq, KVR_STORED, chain, BENCH_WORST_MILLION);
    bench_worst_done("EVENT STORED, the same blocks again");
    bench_worst_begin();
    event(p, "w", ++seq, KVR_CLEARED, NULL, 0);
    bench_worst_done("EVENT CLEARED, 1 M blocks");
    drop_all(p);
    kvr_pool_free(p);
}

static void bookings(void) {
    struct kvr_pool *p = new_pool(1000);
    bench_worst_begin();
    struct kvr_query q = {
        .hashes = chain, .n = BENCH_WORST_MILLION, .isl = -1, .rule = kvr_pool_options(p)->rule};
    struct kvr_pool_choice choice;
    struct kvr_booking booked;
    bench_worst_must(kvr_select(p, 1, text("long"), &q, -1, 0, &choice, &booked));
    bench_worst_done("SELECT, 1 M blocks, predicted");
    double worst = 0;
    for (size_t i = 0; i < BENCH_WORST_PAIRS; i++) {
        size_t n = 1 + i * 521 % (BENCH_WORST_MILLION / 2) * (i % 2);
        if (i % 2 && n > 5000) continue; // what is short itself
        bench_worst_begin();
        claim(p, "short", chain, n);
        release(p, "short");
        double ms = bench_worst_ms();
        worst = ms > worst ? ms : worst;
    }
    bench_worst_row("SELECT + RELEASE of up to 5,000 of these, the longest", worst);
    bench_worst_begin();
    release(p, "long");
    bench_worst_done("RELEASE, 1 M blocks");
    kvr_pool_free(p);
}

// ---- Much at once --------------------------------------------------------------------------------

static void many(void) {
    enum { BENCH_WORST_REQUESTS = 200000, BENCH_WORST_BLOCKS = 50 };
    struct kvr_pool *p = new_pool(1000);
    char id[32];
    for (size_t i = 0; i < BENCH_WORST_REQUESTS; i++) {
        snprintf(id, sizeof id, "r%zu", i);
        claim(p, id, chain + i * 5, BENCH_WORST_BLOCKS);
    }
    bench_worst_begin();
    kvr_renew_all(p, 2);
    bench_worst_done("the clock is set forward, 200,000 live requests");
    bench_worst_begin();
    kvr_renew_all(p, 1);
    bench_worst_done("the clock is set back, 200,000 live requests");
    bench_worst_begin();
    struct kvr_pool_op op = {.kind = KVR_CLEARED, .tier = -1};
    struct kvr_event_result r;
    bench_worst_must(kvr_event(p, text("w"), 0, 1, 1, &op, 1, true, &r));
    bench_worst_done("EVENT CLEARED, 200,000 predictions");
    bench_worst_begin();
    bench_worst_must(kvr_worker_del(p, text("w")));
    bench_worst_done("WORKER DEL, 200,000 live requests");
    kvr_pool_free(p);
}

static int nowhere(void *bytes, const void *chunk, size_t n) {
    (void)chunk;
    *(size_t *)bytes += n;
    return 0;
}

static void saving(void) {
    struct kvr_pool *p = new_pool(0);
    size_t bytes = 0;
    uint64_t seq = 0;
    for (size_t i = 0; i < BENCH_WORST_MILLION; i += BENCH_WORST_CHUNK) {
        event(p, "w", ++seq, KVR_STORED, chain + i, BENCH_WORST_CHUNK);
        event(p, "v", seq, KVR_STORED, other + i, BENCH_WORST_CHUNK);
    }
    uint8_t digest[KVR_DIGEST_BYTES];
    bench_worst_begin();
    kvr_pool_digest(p, digest);
    bench_worst_done("DIGEST, 2 M blocks");
    bench_worst_begin();
    bench_worst_must(kvr_pool_save(p, nowhere, &bytes));
    bench_worst_done("DUMP or COPY (saving), 2 M blocks");
    bench_worst_begin();
    bench_worst_must(kvr_worker_del(p, text("v")));
    bench_worst_done("WORKER DEL, 1 M blocks");
    bench_worst_begin();
    bench_worst_must(kvr_pool_save(p, nowhere, &bytes));
    bench_worst_done("DUMP or COPY (saving), 1 M blocks right after another 1 M were dropped");
    double worst = 0;
    for (bool more = true; more;) {
        bench_worst_begin();
        more = kvr_pool_sweep(p, 128);
        worst = bench_worst_ms() > worst ? bench_worst_ms() : worst;
    }
    bench_worst_row("a step of sweeping them, the longest", worst);
    kvr_pool_free(p);
}

int main(int argc, char **argv) {
    static const char usage[] = "usage: kvroute-bench-worst\nOne core, ten seconds.\n";
    int status = bench_args_read(NULL, NULL, 0, usage, argc, argv);
    if (status >= 0) return status;
    uint64_t state = 1;
    for (size_t i = 0; i < BENCH_WORST_MILLION; i++)
        chain[i] = mixed[i] = kvr_random(&state), other[i] = ~chain[i];
    for (size_t i = BENCH_WORST_MILLION - 1; i > 0; i--) {
        size_t k = kvr_random(&state) % (i + 1);
        uint64_t x = mixed[i];
        mixed[i] = mixed[k];
        mixed[k] = x;
    }
    events();
    bookings();
    many();
    saving();
    bench_worst_queue();
    return 0;
}
