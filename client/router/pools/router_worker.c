// SPDX-License-Identifier: Apache-2.0
#include "router_worker.h"

#include <stdlib.h>
#include <string.h>

#include "client/router/prompt/router_json.h"

static void copy_name(char *out, size_t size, struct kvr_bytes b) {
    size_t n = b.n < size - 1 ? b.n : size - 1;
    memcpy(out, b.p, n);
    out[n] = 0;
}

// Of the ranks that know it; −1: none does.
static double mean_of(const struct kvr_worker *w, size_t at) {
    double sum = 0, value;
    size_t n = 0;
    for (size_t i = 0; i < w->n_ranks; i++) {
        memcpy(&value, (const char *)&w->ranks[i] + at, sizeof value);
        if (!(value >= 0)) continue;
        sum += value;
        n++;
    }
    return n ? sum / (double)n : -1;
}

static json_t *labels_of(const struct kvr_worker *w) {
    json_t *labels = w->n_labels ? json_array() : NULL;
    for (size_t i = 0; i < w->n_labels; i++)
        json_array_append_new(labels, router_json_text(w->labels[i]));
    return labels;
}

void router_worker_copy(struct router_worker *out, const struct kvr_worker *w) {
    *out = (struct router_worker){.state = w->state,
                                  .circuit = w->circuit,
                                  .role = w->role,
                                  .drain_left = w->drain_left,
                                  .failures = w->failures,
                                  .ranks = (uint32_t)w->n_ranks,
                                  .capacity = w->capacity,
                                  .max_requests = w->max_requests,
                                  .ttl_left = w->ttl_left,
                                  .speed = w->speed,
                                  .labels = labels_of(w)};
    copy_name(out->name, sizeof out->name, w->name);
    copy_name(out->addr, sizeof out->addr, w->addr);
    for (size_t i = 0; i < w->n_ranks; i++) {
        for (int t = 0; t < KVR_TIERS; t++)
            out->held[t] += w->ranks[i].held[t];
        out->requests += w->ranks[i].requests;
        out->prefill_tokens += w->ranks[i].prefill_tokens;
        out->decode_blocks += w->ranks[i].decode_blocks;
    }
    out->ttft = mean_of(w, offsetof(struct kvr_rank, ttft));
    out->tpot = mean_of(w, offsetof(struct kvr_rank, tpot));
}

void router_worker_suppose(struct router_worker *out, const char *name, const char *addr) {
    *out = (struct router_worker){.state = KVR_READY,
                                  .circuit = KVR_CLOSED,
                                  .drain_left = -1,
                                  .ttl_left = -1,
                                  .ttft = -1,
                                  .tpot = -1};
    copy_name(out->name, sizeof out->name, kvr_text(name));
    copy_name(out->addr, sizeof out->addr, kvr_text(addr));
}

void router_worker_inherit(struct router_worker *w, const struct router_worker *old) {
    w->here = old->here;
    json_incref(w->here.serves);
    json_incref(w->here.facts);
}

void router_worker_drop(struct router_worker *w) {
    json_decref(w->labels);
    json_decref(w->here.serves);
    json_decref(w->here.facts);
}

// ---- Which it is ---------------------------------------------------------------------------------

bool router_worker_is_same(const struct router_worker *a, const struct router_worker *b) {
    return !strcmp(a->name, b->name) && !strcmp(a->addr, b->addr);
}

static int compare_name(struct kvr_bytes name, const struct router_worker *w) {
    size_t n = strlen(w->name), least = name.n < n ? name.n : n;
    int order = memcmp(name.p, w->name, least);
    return order ? order : (name.n > n) - (name.n < n);
}

bool router_worker_is_among(const struct router_worker *w, const struct kvr_bytes *names,
                            size_t n) {
    for (size_t i = 0; i < n; i++)
        if (compare_name(names[i], w) == 0) return true;
    return false;
}

size_t router_worker_place(const struct router_worker *all, const uint32_t *order, size_t n,
                           struct kvr_bytes name, bool *known) {
    size_t from = 0, to = n;
    *known = false;
    while (from < to && !*known) {
        size_t middle = from + (to - from) / 2;
        int way = compare_name(name, &all[order ? order[middle] : middle]);
        *known = !way;
        if (way <= 0)
            to = middle;
        else
            from = middle + 1;
    }
    return to;
}

struct router_worker *router_worker_find(struct router_worker *all, const uint32_t *order, size_t n,
                                         struct kvr_bytes name) {
    bool known;
    size_t at = router_worker_place(all, order, n, name, &known);
    return !known ? NULL : &all[order ? order[at] : at];
}
