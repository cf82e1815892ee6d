// SPDX-License-Identifier: Apache-2.0
// Clients of mock engines; see btest_fleet.h. A prompt is the beginning of one of a few families of tokens,
// with something of its own behind it or not; so prompts share beginnings of all lengths, caches fill
// and evict, and some prompts are computed twice at once.
#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/common/bench_http.h"
#include "bench/common/bench_memory.h"
#include "btest_fleet.h"
#include "client/common/clock.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"

enum {
    MAX_OWN_TOKENS = 40,
    MAX_ANSWER_TOKENS = 12,
    TOKEN_DIGITS = 8,
    LOAD_HTTP_MS = 3000,
    LEAVE_PERCENT = 3 /* % of the clients */
};

static uint32_t token_of(uint64_t family, unsigned i) {
    return 256 + (uint32_t)(kvr_random_mix(family << 20 | i) % 100000);
}

void btest_load_hashes(uint64_t seed, unsigned family, uint64_t *hashes, size_t n) {
    uint32_t *tokens = bench_calloc(n * BTEST_BLOCK_SIZE, sizeof *tokens);
    for (size_t i = 0; i < n * BTEST_BLOCK_SIZE; i++)
        tokens[i] = token_of(seed * 1000 + family, (unsigned)i);
    kvr_hash_tokens(tokens, n * BTEST_BLOCK_SIZE, BTEST_BLOCK_SIZE, KVR_HASH_SEED, NULL, hashes);
    free(tokens);
}

// Newer schemas tell of both.
static const char *extra_of(const struct bench_engine *e, uint64_t draw) {
    bool names = strstr(e->options, "--lora") != NULL;
    if (names && draw % 5 == 0) return ",\"model\":\"ad\"";
    if (names && draw % 5 == 1) return ",\"cache_salt\":\"pepper\"";
    return "";
}

static void ask(struct btest_load *l, uint64_t *random) {
    const struct btest_fleet *w = l->fleet;
    const struct bench_engine *e = &w->engines[kvr_random(random) % w->n_engines];
    uint64_t family = l->seed * 1000 + kvr_random(random) % l->families, own = kvr_random(random);
    unsigned n = 1 + (unsigned)(kvr_random(random) % (l->longest * BTEST_BLOCK_SIZE));
    unsigned more = own % 2 ? (unsigned)(own >> 8) % MAX_OWN_TOKENS : 0;
    unsigned answer = 1 + (unsigned)(kvr_random(random) % MAX_ANSWER_TOKENS);
    char *body = bench_calloc((n + more) * TOKEN_DIGITS + 200, 1), header[60];
    size_t len = (size_t)sprintf(body, "{\"prompt\":[");
    for (unsigned i = 0; i < n + more; i++)
        len += (size_t)sprintf(body + len, "%s%u", i ? "," : "",
                               i < n ? token_of(family, i) : token_of(own >> 12, i));
    sprintf(body + len, "],\"max_tokens\":%u%s}", answer, extra_of(e, own >> 40));
    snprintf(header, sizeof header, "X-data-parallel-rank: %u\r\n",
             (unsigned)(kvr_random(random) % e->ranks));
    int fd = bench_http_send(e->http, "POST", "/v1/completions", header, body, LOAD_HTTP_MS);
    free(body);
    if (fd >= 0 &&
        kvr_random(random) % 100 < LEAVE_PERCENT) { // the client goes before it has an answer
        close(fd);
        return;
    }
    struct bench_answer a = bench_http_read(fd);
    if (a.status == 200) {
        atomic_fetch_add(&l->answered, 1);
        atomic_fetch_add(&l->tokens, n + more + answer);
    } else {
        atomic_fetch_add(&l->failed, 1);
        support_sleep_ms(5);
    }
    free(a.body);
}

static void *client(void *arg) {
    struct btest_load *l = arg;
    uint64_t random = kvr_random_mix(l->seed * 64 + atomic_fetch_add(&l->ready, 1) + 1);
    while (!atomic_load(&l->stop)) {
        if (l->requests && atomic_fetch_add(&l->begun, 1) >= l->requests) break;
        ask(l, &random);
    }
    return NULL;
}

void btest_load_begin(struct btest_load *l, unsigned threads) {
    l->n_threads = threads < BTEST_MAX_THREADS ? threads : BTEST_MAX_THREADS;
    for (unsigned i = 0; i < l->n_threads; i++)
        if (pthread_create(&l->threads[i], NULL, client, l)) abort();
}

void btest_load_wait(struct btest_load *l) {
    for (unsigned i = 0; i < l->n_threads; i++)
        pthread_join(l->threads[i], NULL);
    l->n_threads = 0;
}

void btest_load_end(struct btest_load *l) {
    atomic_store(&l->stop, true);
    btest_load_wait(l);
}

void btest_load_run(struct btest_fleet *w, uint64_t seed, size_t requests) {
    struct btest_load l = {
        .fleet = w, .seed = seed, .requests = requests, .families = 6, .longest = 24};
    btest_load_begin(&l, 3);
    btest_load_wait(&l);
}
