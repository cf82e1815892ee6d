// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // strcasestr
#include "top_rows.h"

#include <stdlib.h>
#include <string.h>

const char *top_state_name(enum kvr_state s) {
    return s == KVR_READY ? "ready" : s == KVR_DRAINING ? "draining" : "expired";
}

const char *top_circuit_name(enum kvr_circuit c) {
    return c == KVR_CLOSED ? "closed" : c == KVR_OPEN ? "open" : "half";
}

const char *top_role_name(enum kvr_role r) {
    return r == KVR_ROLE_PREFILL ? "prefill" : r == KVR_ROLE_DECODE ? "decode" : "both";
}

static bool is_wanted(const struct top_worker *w, const char *filter) {
    const char *texts[] = {w->name, w->addr, w->tags, top_state_name(w->said.state),
                           top_role_name(w->said.role)};
    if (!*filter) return true;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (strcasestr(texts[i], filter)) return true;
    return false;
}

static struct top_row row_of(const struct top_worker *w, enum top_order order) {
    struct top_row r = {w, 0, ""};
    switch (order) {
    case TOP_BY_WORKER:
    case TOP_ORDERS:
        break;
    case TOP_BY_STATE:
        r.key = (double)w->said.state;
        break; // trouble first
    case TOP_BY_CIRCUIT:
        r.key = (double)w->said.circuit;
        break;
    case TOP_BY_ROLE:
        r.word = top_role_name(w->said.role);
        break;
    case TOP_BY_REQUESTS:
        r.key = (double)w->requests;
        break;
    case TOP_BY_PREFILL:
        r.key = (double)w->prefill_tokens;
        break;
    case TOP_BY_DECODE:
        r.key = (double)w->decode_blocks;
        break;
    case TOP_BY_BLOCKS:
        r.key = (double)w->held[KVR_DEVICE];
        break;
    case TOP_BY_HOST:
        r.key = (double)w->held[KVR_HOST];
        break;
    case TOP_BY_DISK:
        r.key = (double)w->held[KVR_DISK];
        break;
    case TOP_BY_TTFT:
        r.key = w->ttft;
        break;
    case TOP_BY_TPOT:
        r.key = w->tpot;
        break;
    case TOP_BY_FAILURES:
        r.key = (double)w->said.failures;
        break;
    case TOP_BY_TTL:
        r.key = (double)w->said.ttl_left;
        break;
    case TOP_BY_LABELS:
        r.word = w->tags;
        break;
    }
    return r;
}

static int by_key(const void *a, const void *b) {
    const struct top_row *x = a, *y = b;
    if (x->key != y->key) return x->key > y->key ? -1 : 1;
    int words = strcmp(x->word, y->word);
    return words ? words : strcmp(x->worker->name, y->worker->name);
}

static bool reserve(struct top_rows *rows, size_t n) {
    if (n <= rows->cap) return true;
    struct top_row *items = realloc(rows->items, n * sizeof *items);
    if (!items) return false;
    rows->items = items;
    rows->cap = n;
    return true;
}

bool top_rows_fill(struct top_rows *rows, const struct top_list *workers, enum top_order order,
                   bool reverse, const char *filter) {
    const struct top_worker *w = workers->items;
    if (!reserve(rows, workers->n)) return false;
    rows->n = 0;
    for (size_t i = 0; i < workers->n; i++)
        if (is_wanted(&w[i], filter)) rows->items[rows->n++] = row_of(&w[i], order);
    if (rows->n) qsort(rows->items, rows->n, sizeof *rows->items, by_key);
    for (size_t i = 0; reverse && i < rows->n / 2; i++) {
        struct top_row r = rows->items[i];
        rows->items[i] = rows->items[rows->n - 1 - i];
        rows->items[rows->n - 1 - i] = r;
    }
    return true;
}
