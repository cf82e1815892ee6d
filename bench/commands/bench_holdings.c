// SPDX-License-Identifier: Apache-2.0
// What is held; see bench_holdings.h.
#include "bench_holdings.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "client/common/random.h"

const size_t bench_lengths[BENCH_LENGTHS] = {64, 256, 512, 1000, 3750};
const char bench_pool_key[] = "pool";

enum { BENCH_FILL_BATCH = 128, BENCH_FILL_BLOCKS = 256 };

void bench_holdings_make(struct bench_holdings *h, size_t workers, size_t blocks) {
    *h = (struct bench_holdings){.workers = workers, .seq = bench_calloc(workers, sizeof *h->seq)};
    uint64_t state = 1;
    for (size_t l = 0; l < BENCH_LENGTHS; l++) {
        size_t n = blocks / BENCH_LENGTHS / bench_lengths[l];
        h->prompts[l] = n ? n : 1;
        h->blocks += h->prompts[l] * bench_lengths[l];
        h->first[l] = bench_calloc(h->prompts[l] * bench_lengths[l], sizeof **h->first);
        for (size_t i = 0; i < h->prompts[l] * bench_lengths[l]; i++)
            h->first[l][i] = kvr_random(&state);
    }
}

void bench_holdings_free(struct bench_holdings *h) {
    for (size_t l = 0; l < BENCH_LENGTHS; l++)
        free(h->first[l]);
    free(h->seq);
    *h = (struct bench_holdings){0};
}

const uint64_t *bench_prompt(const struct bench_holdings *h, size_t length, uint64_t draw) {
    return h->first[length] + kvr_random_mix(draw) % h->prompts[length] * bench_lengths[length];
}

static void worker_name(char out[BENCH_NAME_ROOM], size_t worker) {
    snprintf(out, BENCH_NAME_ROOM, "worker-%04zu", worker % 10000);
}

size_t bench_worker_number(const char *name, size_t n) {
    size_t v = 0;
    for (size_t i = n - 4; i < n; i++)
        v = v * 10 + (size_t)(name[i] - '0');
    return v;
}

void bench_block_key(char out[BENCH_KEY_BYTES], char letter, uint64_t hash) {
    out[0] = letter;
    memcpy(out + 1, &hash, sizeof hash);
}

// The k-th holder of a prompt's stretch. The first two hold all of the prompt.
static size_t holder(const struct bench_holdings *h, size_t prompt, size_t stretch, size_t k) {
    return (prompt * 7 + k + (k < 2 ? 0 : stretch % 2 * 2)) % h->workers;
}

// ---- Sending in batches --------------------------------------------------------------------------

struct bench_batch {
    struct bench_wire *wire;
    size_t n;
};

static void flush(struct bench_batch *b) {
    bench_wire_send(b->wire);
    for (; b->n; b->n--)
        bench_wire_skip(b->wire);
}

static void count(struct bench_batch *b) {
    if (++b->n == BENCH_FILL_BATCH) flush(b);
}

// Calls f for each stretch of each prompt.
static void each_stretch(const struct bench_holdings *h, void *ctx,
                         void (*f)(void *ctx, size_t prompt, size_t stretch, const uint64_t *hashes,
                                   size_t n)) {
    size_t prompt = 0;
    for (size_t l = 0; l < BENCH_LENGTHS; l++)
        for (size_t i = 0; i < h->prompts[l]; i++, prompt++)
            for (size_t at = 0; at < bench_lengths[l]; at += BENCH_STRETCH) {
                size_t n =
                    bench_lengths[l] - at < BENCH_STRETCH ? bench_lengths[l] - at : BENCH_STRETCH;
                f(ctx, prompt, at / BENCH_STRETCH, h->first[l] + i * bench_lengths[l] + at, n);
            }
}

// ---- The pool ------------------------------------------------------------------------------------

void bench_put_event(struct bench_wire *w, struct bench_holdings *h, size_t worker, const char *op,
                     const uint64_t *parent, const uint64_t *hashes, size_t n) {
    char name[BENCH_NAME_ROOM];
    worker_name(name, worker);
    bool stored = strcmp(op, "STORED") == 0;
    bench_wire_begin(w, stored ? 10 : 9, "KVROUTE.EVENT", bench_pool_key, name, "0", "1", NULL);
    bench_wire_number(w, ++h->seq[worker]);
    bench_wire_text(w, op);
    if (stored && parent)
        bench_wire_word(w, parent, sizeof *parent);
    else if (stored)
        bench_wire_text(w, "-");
    bench_wire_text(w, "HASHES");
    bench_wire_word(w, hashes, n * sizeof *hashes);
}

struct bench_filling {
    struct bench_batch batch;
    struct bench_holdings *h;
};

static void store_some(void *ctx, size_t prompt, size_t stretch, const uint64_t *hashes, size_t n) {
    struct bench_filling *f = ctx;
    for (size_t k = 2; k < BENCH_HOLDERS; k++) {
        bench_put_event(f->batch.wire, f->h, holder(f->h, prompt, stretch, k), "STORED",
                        stretch ? hashes - 1 : NULL, hashes, n);
        count(&f->batch);
    }
}

void bench_fill_workers(struct bench_wire *w, struct bench_holdings *h) {
    struct bench_batch b = {w, 0};
    char name[BENCH_NAME_ROOM];
    bench_wire_begin(w, 2, "KVROUTE.CREATE", bench_pool_key, NULL);
    count(&b);
    for (size_t i = 0; i < h->workers; i++) {
        worker_name(name, i);
        h->seq[i] = 0;
        bench_wire_begin(w, 6, "KVROUTE.WORKER", "SET", bench_pool_key, name, "ADDR",
                         "http://10.20.30.40:8000", NULL);
        count(&b);
    }
    flush(&b);
}

void bench_fill_pool(struct bench_wire *w, struct bench_holdings *h) {
    bench_fill_workers(w, h);
    struct bench_filling f = {{w, 0}, h};
    size_t prompt = 0;
    for (size_t l = 0; l < BENCH_LENGTHS; l++)
        for (size_t i = 0; i < h->prompts[l]; i++, prompt++)
            for (size_t k = 0; k < 2; k++)
                for (size_t at = 0; at < bench_lengths[l]; at += BENCH_FILL_BLOCKS) {
                    const uint64_t *hashes = h->first[l] + i * bench_lengths[l] + at;
                    size_t n = bench_lengths[l] - at < BENCH_FILL_BLOCKS ? bench_lengths[l] - at
                                                                         : BENCH_FILL_BLOCKS;
                    bench_put_event(w, h, holder(h, prompt, 0, k), "STORED", at ? hashes - 1 : NULL,
                                    hashes, n);
                    count(&f.batch);
                }
    each_stretch(h, &f, store_some);
    flush(&f.batch);
}

// ---- The plain layouts ---------------------------------------------------------------------------

static void set_hashes(void *ctx, size_t prompt, size_t stretch, const uint64_t *hashes, size_t n) {
    struct bench_filling *f = ctx;
    char key[BENCH_KEY_BYTES], name[BENCH_NAME_ROOM];
    for (size_t i = 0; i < n; i++) {
        bench_block_key(key, 'h', hashes[i]);
        bench_wire_begin(f->batch.wire, 2 + 2 * BENCH_HOLDERS, "HSET", NULL);
        bench_wire_word(f->batch.wire, key, BENCH_KEY_BYTES);
        for (size_t k = 0; k < BENCH_HOLDERS; k++) {
            worker_name(name, holder(f->h, prompt, stretch, k));
            bench_wire_text(f->batch.wire, name);
            bench_wire_text(f->batch.wire, "1");
        }
        count(&f->batch);
    }
}

static void set_strings(void *ctx, size_t prompt, size_t stretch, const uint64_t *hashes,
                        size_t n) {
    struct bench_filling *f = ctx;
    char key[BENCH_KEY_BYTES];
    uint16_t workers[BENCH_HOLDERS];
    for (size_t k = 0; k < BENCH_HOLDERS; k++)
        workers[k] = (uint16_t)holder(f->h, prompt, stretch, k);
    for (size_t i = 0; i < n; i++) {
        bench_block_key(key, 's', hashes[i]);
        bench_wire_begin(f->batch.wire, 3, "SET", NULL);
        bench_wire_word(f->batch.wire, key, BENCH_KEY_BYTES);
        bench_wire_word(f->batch.wire, workers, sizeof workers);
        count(&f->batch);
    }
}

void bench_fill_hashes(struct bench_wire *w, struct bench_holdings *h) {
    struct bench_filling f = {{w, 0}, h};
    each_stretch(h, &f, set_hashes);
    flush(&f.batch);
}

void bench_fill_strings(struct bench_wire *w, struct bench_holdings *h) {
    struct bench_filling f = {{w, 0}, h};
    each_stretch(h, &f, set_strings);
    flush(&f.batch);
}
