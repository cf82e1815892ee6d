// SPDX-License-Identifier: Apache-2.0
// See bench_publisher.h. The holdings are chains of 64 blocks; 16 chains begin with the same 32.
#include "bench_publisher.h"

#include <kvroute/publisher.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/common/bench_quantile.h"
#include "client/common/clock.h"
#include "client/common/random.h"

enum {
    PUBLISHER_HALF = 32,
    PUBLISHER_FAMILY = 16,
    PUBLISHER_MAX_ROUNDS = 99,
    PUBLISHER_PATIENCE_S = 120
};

static const char worker[] = "publisher";

static double seconds_since(int64_t start) {
    return (double)(kvr_clock_ns(CLOCK_MONOTONIC) - start) / 1e9;
}

static const char *store(struct kvr_publisher *p, size_t holdings) {
    uint64_t shared[PUBLISHER_HALF], own[PUBLISHER_HALF], state = 5;
    const uint64_t *parent = NULL;
    for (size_t n = 0, chain = 0; n < holdings; n += PUBLISHER_HALF, chain++) {
        uint64_t *hashes = chain % (PUBLISHER_FAMILY + 1) ? own : shared;
        for (size_t i = 0; i < PUBLISHER_HALF; i++)
            hashes[i] = kvr_random(&state);
        parent = hashes == own ? &shared[PUBLISHER_HALF - 1] : NULL;
        if (kvr_publisher_stored(p, KVR_DEVICE, parent, hashes, PUBLISHER_HALF) != KVR_CODE_OK)
            return "the publisher refuses blocks";
    }
    return NULL;
}

static const char *settle(struct kvr_client *c, const struct kvr_publisher *p) {
    int64_t start = kvr_clock_ns(CLOCK_MONOTONIC);
    while (!kvr_publisher_settled(p)) {
        if (seconds_since(start) > PUBLISHER_PATIENCE_S) return "the publisher doesn't settle";
        kvr_client_run(c, 100);
    }
    return NULL;
}

static const char *register_worker(struct kvr_client *c) {
    struct kvr_worker_call w = {.worker = kvr_text(worker)};
    return kvr_client_worker_set(c, &w)->code == KVR_CODE_OK ? NULL : "a worker is refused";
}

// The worker goes, and comes back holding nothing. What it held is dropped at once but swept in steps,
// and storing it again would be cheap until that is done: then the pool's memory doesn't change any more.
static const char *start_over(struct kvr_client *c) {
    int64_t start = kvr_clock_ns(CLOCK_MONOTONIC), last = -1;
    if (kvr_client_worker_del(c, kvr_text(worker))->code != KVR_CODE_OK)
        return "a worker can't be deleted";
    for (int same = 0; same < 5;) {
        kvr_client_run(c, 50);
        int64_t memory = kvr_info_int(kvr_client_info(c), "memory_bytes", -1);
        same = memory == last ? same + 1 : 0;
        last = memory;
        if (seconds_since(start) > PUBLISHER_PATIENCE_S) return "the pool doesn't become quiet";
    }
    return register_worker(c);
}

static const char *measure(struct kvr_client *c, struct kvr_publisher *p, size_t holdings,
                           size_t rounds) {
    double rates[PUBLISHER_MAX_ROUNDS];
    struct kvr_publisher_stats st;
    int64_t start = kvr_clock_ns(CLOCK_MONOTONIC);
    const char *wrong = store(p, holdings);
    double stored = (double)holdings / seconds_since(start);
    if (!wrong) wrong = settle(c, p);
    for (size_t i = 0; i < rounds && !wrong && !(wrong = start_over(c)); i++) {
        start = kvr_clock_ns(CLOCK_MONOTONIC);
        kvr_publisher_republish(p);
        wrong = settle(c, p);
        rates[i] = (double)holdings / seconds_since(start);
    }
    if (wrong) return wrong;
    kvr_publisher_stats(p, &st);
    double *sorted = bench_sorted(rates, rounds);
    printf("publisher of %zu holdings\n", st.holdings);
    printf("  %-24s %10.1f %12s %s\n", "memory, MB", (double)st.memory_bytes / 1e6, "", "<= 64");
    printf("  %-24s %10.2f\n", "stored, M blocks/s", stored / 1e6);
    printf("  %-24s %10.2f %12s %s\n", "all anew, M blocks/s",
           bench_quantile(sorted, rounds, 0.5) / 1e6, "", ">= 1");
    free(sorted);
    return NULL;
}

const char *bench_publisher(struct kvr_client *c, size_t holdings, size_t rounds) {
    const char *wrong = register_worker(c);
    if (wrong) return wrong;
    struct kvr_publisher *p = kvr_publisher_new(c, kvr_text(worker), 0, NULL);
    if (!p) return "out of memory";
    wrong = measure(c, p, holdings, rounds);
    kvr_publisher_free(p);
    if (!wrong && kvr_client_worker_del(c, kvr_text(worker))->code != KVR_CODE_OK)
        wrong = "a worker can't be deleted";
    return wrong;
}
