// SPDX-License-Identifier: Apache-2.0
// What is held; see held.h.
#include "held.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/memory.h"
#include "bench/common/random.h"

const size_t lengths[LENGTHS] = {64, 256, 512, 1000, 3750};
const char pool_key[] = "pool";

enum { BATCH = 128, EVENT_BLOCKS = 256 };

void held_make(struct held *h, size_t workers, size_t blocks) {
    *h = (struct held){.workers = workers, .seq = memory_take(workers, sizeof *h->seq)};
    uint64_t state = 1;
    for (size_t l = 0; l < LENGTHS; l++) {
        size_t n = blocks / LENGTHS / lengths[l];
        h->prompts[l] = n ? n : 1;
        h->blocks += h->prompts[l] * lengths[l];
        h->first[l] = memory_take(h->prompts[l] * lengths[l], sizeof **h->first);
        for (size_t i = 0; i < h->prompts[l] * lengths[l]; i++)
            h->first[l][i] = random_next(&state);
    }
}

void held_free(struct held *h) {
    for (size_t l = 0; l < LENGTHS; l++)
        free(h->first[l]);
    free(h->seq);
    *h = (struct held){0};
}

const uint64_t *held_prompt(const struct held *h, size_t length, uint64_t draw) {
    return h->first[length] + random_mix(draw) % h->prompts[length] * lengths[length];
}

void worker_name(char out[NAME_ROOM], size_t worker) {
    snprintf(out, NAME_ROOM, "worker-%04zu", worker % 10000);
}

size_t worker_number(const char *name, size_t n) {
    size_t v = 0;
    for (size_t i = n - 4; i < n; i++)
        v = v * 10 + (size_t)(name[i] - '0');
    return v;
}

void block_key(char out[KEY_BYTES], char letter, uint64_t hash) {
    out[0] = letter;
    memcpy(out + 1, &hash, sizeof hash);
}

// The k-th holder of a prompt's stretch. The first two hold all of the prompt.
static size_t holder(const struct held *h, size_t prompt, size_t stretch, size_t k) {
    return (prompt * 7 + k + (k < 2 ? 0 : stretch % 2 * 2)) % h->workers;
}

// ---- Sending in batches --------------------------------------------------------------------------

struct batch {
    struct wire *wire;
    size_t n;
};

static void flush(struct batch *b) {
    wire_send(b->wire);
    for (; b->n; b->n--)
        wire_skip(b->wire);
}

static void count(struct batch *b) {
    if (++b->n == BATCH) flush(b);
}

// Calls f for each stretch of each prompt.
static void each_stretch(const struct held *h, void *ctx,
                         void (*f)(void *ctx, size_t prompt, size_t stretch, const uint64_t *hashes,
                                   size_t n)) {
    size_t prompt = 0;
    for (size_t l = 0; l < LENGTHS; l++)
        for (size_t i = 0; i < h->prompts[l]; i++, prompt++)
            for (size_t at = 0; at < lengths[l]; at += STRETCH) {
                size_t n = lengths[l] - at < STRETCH ? lengths[l] - at : STRETCH;
                f(ctx, prompt, at / STRETCH, h->first[l] + i * lengths[l] + at, n);
            }
}

// ---- The pool ------------------------------------------------------------------------------------

void put_event(struct wire *w, struct held *h, size_t worker, const char *op,
               const uint64_t *parent, const uint64_t *hashes, size_t n) {
    char name[NAME_ROOM];
    worker_name(name, worker);
    bool stored = strcmp(op, "STORED") == 0;
    wire_begin(w, stored ? 10 : 9);
    wire_text(w, "KVROUTE.EVENT");
    wire_text(w, pool_key);
    wire_text(w, name);
    wire_text(w, "0");
    wire_text(w, "1");
    wire_number(w, ++h->seq[worker]);
    wire_text(w, op);
    if (stored && parent)
        wire_word(w, parent, sizeof *parent);
    else if (stored)
        wire_text(w, "-");
    wire_text(w, "HASHES");
    wire_word(w, hashes, n * sizeof *hashes);
}

struct filling {
    struct batch batch;
    struct held *h;
};

static void store_some(void *ctx, size_t prompt, size_t stretch, const uint64_t *hashes, size_t n) {
    struct filling *f = ctx;
    for (size_t k = 2; k < HOLDERS; k++) {
        put_event(f->batch.wire, f->h, holder(f->h, prompt, stretch, k), "STORED",
                  stretch ? hashes - 1 : NULL, hashes, n);
        count(&f->batch);
    }
}

void fill_workers(struct wire *w, struct held *h) {
    struct batch b = {w, 0};
    char name[NAME_ROOM];
    wire_begin(w, 2);
    wire_text(w, "KVROUTE.CREATE");
    wire_text(w, pool_key);
    count(&b);
    for (size_t i = 0; i < h->workers; i++) {
        worker_name(name, i);
        h->seq[i] = 0;
        wire_begin(w, 6);
        wire_text(w, "KVROUTE.WORKER");
        wire_text(w, "SET");
        wire_text(w, pool_key);
        wire_text(w, name);
        wire_text(w, "ADDR");
        wire_text(w, "http://10.20.30.40:8000");
        count(&b);
    }
    flush(&b);
}

void fill_pool(struct wire *w, struct held *h) {
    fill_workers(w, h);
    struct filling f = {{w, 0}, h};
    size_t prompt = 0;
    for (size_t l = 0; l < LENGTHS; l++)
        for (size_t i = 0; i < h->prompts[l]; i++, prompt++)
            for (size_t k = 0; k < 2; k++)
                for (size_t at = 0; at < lengths[l]; at += EVENT_BLOCKS) {
                    const uint64_t *hashes = h->first[l] + i * lengths[l] + at;
                    size_t n = lengths[l] - at < EVENT_BLOCKS ? lengths[l] - at : EVENT_BLOCKS;
                    put_event(w, h, holder(h, prompt, 0, k), "STORED", at ? hashes - 1 : NULL,
                              hashes, n);
                    count(&f.batch);
                }
    each_stretch(h, &f, store_some);
    flush(&f.batch);
}

// ---- The plain layouts ---------------------------------------------------------------------------

static void set_hashes(void *ctx, size_t prompt, size_t stretch, const uint64_t *hashes, size_t n) {
    struct filling *f = ctx;
    char key[KEY_BYTES], name[NAME_ROOM];
    for (size_t i = 0; i < n; i++) {
        block_key(key, 'h', hashes[i]);
        wire_begin(f->batch.wire, 2 + 2 * HOLDERS);
        wire_text(f->batch.wire, "HSET");
        wire_word(f->batch.wire, key, KEY_BYTES);
        for (size_t k = 0; k < HOLDERS; k++) {
            worker_name(name, holder(f->h, prompt, stretch, k));
            wire_text(f->batch.wire, name);
            wire_text(f->batch.wire, "1");
        }
        count(&f->batch);
    }
}

static void set_strings(void *ctx, size_t prompt, size_t stretch, const uint64_t *hashes,
                        size_t n) {
    struct filling *f = ctx;
    char key[KEY_BYTES];
    uint16_t workers[HOLDERS];
    for (size_t k = 0; k < HOLDERS; k++)
        workers[k] = (uint16_t)holder(f->h, prompt, stretch, k);
    for (size_t i = 0; i < n; i++) {
        block_key(key, 's', hashes[i]);
        wire_begin(f->batch.wire, 3);
        wire_text(f->batch.wire, "SET");
        wire_word(f->batch.wire, key, KEY_BYTES);
        wire_word(f->batch.wire, workers, sizeof workers);
        count(&f->batch);
    }
}

void fill_hashes(struct wire *w, struct held *h) {
    struct filling f = {{w, 0}, h};
    each_stretch(h, &f, set_hashes);
    flush(&f.batch);
}

void fill_strings(struct wire *w, struct held *h) {
    struct filling f = {{w, 0}, h};
    each_stretch(h, &f, set_strings);
    flush(&f.batch);
}
