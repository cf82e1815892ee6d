// SPDX-License-Identifier: Apache-2.0
#include "router_pool.h"

#include <kvroute/adapters/libevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/router/prompt/router_json.h"
#include "client/router/router.h"

enum { POOL_TROUBLE_S = 5 }; // a refusal that isn't repeated for so long is over

// ---- Refreshing ----------------------------------------------------------------------------------

static void copy_text(char *out, size_t size, struct kvr_bytes b) {
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

static void copy_worker(struct router_worker *out, const struct kvr_worker *w) {
    *out = (struct router_worker){.state = w->state,
                                  .circuit = w->circuit,
                                  .failures = w->failures,
                                  .ranks = (uint32_t)w->n_ranks,
                                  .capacity = w->capacity,
                                  .ttl_left = w->ttl_left,
                                  .speed = w->speed,
                                  .labels = labels_of(w)};
    copy_text(out->name, sizeof out->name, w->name);
    copy_text(out->addr, sizeof out->addr, w->addr);
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

static void forget_workers(struct router_pool *p) {
    for (size_t i = 0; i < p->n_workers; i++)
        json_decref(p->workers[i].labels);
    p->n_workers = 0;
}

static void note(struct router_pool *p, const struct kvr_result *r) {
    if (r->code != p->last && r->code != KVR_CODE_OK)
        kvr_log_line(KVR_LOG_WARNING, "pool %s: %s %s", p->options.name, kvr_code_name(r->code),
                     r->message);
    p->last = r->code;
}

static bool same_engine(const struct router_worker *a, const struct router_worker *b) {
    return !strcmp(a->name, b->name) && !strcmp(a->addr, b->addr);
}

// Both lists are by name, so it mostly is where it was.
static void keep_seen(const struct router_pool *p, struct router_worker *w, size_t i) {
    const struct router_worker *old = i < p->n_workers ? &p->workers[i] : NULL;
    if (!old || !same_engine(old, w)) old = router_pool_worker(p, kvr_text(w->name));
    if (old && same_engine(old, w)) w->here = old->here;
}

static void on_workers(void *ctx, const struct kvr_result *r) {
    struct router_pool *p = ctx;
    p->asking--;
    if (r->code == KVR_CODE_CLOSED) return;
    note(p, r);
    if (r->code != KVR_CODE_OK || r->degraded) return;
    struct router_worker *all = malloc((r->n ? r->n : 1) * sizeof *all);
    if (!all) return;
    p->failing = 0;
    for (size_t i = 0; i < r->n; i++) {
        copy_worker(&all[i], &r->workers[i]);
        keep_seen(p, &all[i], i);
        p->failing += all[i].failures != 0;
    }
    forget_workers(p);
    free(p->workers);
    p->workers = all;
    p->n_workers = r->n;
    p->seen_us = kvr_clock_us();
}

static void on_info(void *ctx, const struct kvr_result *r) {
    struct router_pool *p = ctx;
    p->asking--;
    if (r->code != KVR_CODE_OK) return;
    p->block_size = (uint32_t)kvr_info_int(r, "block_size", p->block_size);
    p->predict = kvr_info_int(r, "predict", 0);
    p->lease = kvr_info_int(r, "lease", 0);
    p->selects = kvr_info_int(r, "selects", 0);
    p->select_blocks = kvr_info_int(r, "select_blocks", 0);
    p->overlap_blocks = kvr_info_int(r, "overlap_blocks", 0);
    p->expected_blocks = kvr_info_int(r, "expected_blocks", p->overlap_blocks);
    p->has_sessions = kvr_info_int(r, "sessions", -1) >= 0;
    p->requests = kvr_info_int(r, "requests", 0);
    p->blocks = kvr_info_int(r, "blocks", 0);
    p->version = kvr_info_int(r, "version", 0);
}

void router_pool_refresh(struct router_pool *p) {
    if (p->asking) return;
    p->asking = 2;
    // In this order, so that workers are never known before the size of their blocks.
    enum kvr_code info = kvr_client_info_async(p->client, on_info, p);
    enum kvr_code list = kvr_client_worker_list_async(p->client, on_workers, p);
    p->asking -= (info != KVR_CODE_OK) + (list != KVR_CODE_OK);
    router_pool_count(p, info);
    router_pool_count(p, list);
}

// ---- Opening -------------------------------------------------------------------------------------

static bool has_engines(const struct router_config *o, const char *pool) {
    for (size_t i = 0; i < o->n_engines; i++)
        if (strcmp(o->engines[i].pool, pool) == 0) return true;
    return false;
}

// Until the pool has been seen, the settings are what is known of it.
static bool take_settings(struct router_pool *p, const struct router_config *o) {
    if (!o->n_engines) return true;
    p->workers = calloc(o->n_engines, sizeof *p->workers);
    if (!p->workers) return false;
    for (size_t i = 0; i < o->n_engines; i++) {
        const struct router_engine_config *g = &o->engines[i];
        if (strcmp(g->pool, p->options.name) != 0) continue;
        struct router_worker *w = &p->workers[p->n_workers++];
        *w = (struct router_worker){.state = KVR_READY,
                                    .circuit = KVR_CLOSED,
                                    .ranks = g->ranks,
                                    .capacity = g->capacity,
                                    .ttl_left = o->ttl,
                                    .ttft = -1,
                                    .tpot = -1};
        copy_text(w->name, sizeof w->name, kvr_text(g->name));
        copy_text(w->addr, sizeof w->addr, kvr_text(g->url));
    }
    return true;
}

struct router_pool *router_pool_open(struct router *r, const struct router_pool_config *po,
                                     char *error, size_t error_size) {
    const struct router_config *o = &r->config;
    struct kvr_loop loop = kvr_libevent(r->base);
    char url[1100], why[160] = "no memory";
    struct router_pool *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->options = *po;
    // Engines without a bridge report nothing: then what was sent there is what is known.
    const char *create = *po->create                ? po->create
                         : has_engines(o, po->name) ? "POLICY delay PREDICT 600000"
                                                    : NULL;
    struct kvr_client_options co = {.create = create,
                                    .degrade = true,
                                    .max_live = (size_t)o->max_requests * 8,
                                    .refresh = o->refresh,
                                    .log = kvr_log_client,
                                    .loop = &loop};
    snprintf(url, sizeof url, "%s", o->redis);
    if (!strstr(url, "deadline="))
        snprintf(url + strlen(url), sizeof url - strlen(url), "%cdeadline=%lld",
                 strchr(url, '?') ? '&' : '?', (long long)o->deadline);
    p->client = kvr_client_open(url, po->key, &co, why, sizeof why);
    if (p->client && take_settings(p, o)) return p;
    if (p->client) kvr_client_close(p->client);
    snprintf(error, error_size, "pool %s: %s", po->name, why);
    free(p);
    return NULL;
}

void router_pool_close(struct router_pool *p) {
    kvr_client_close(p->client);
    router_pool_drop_releases(p);
    forget_workers(p);
    free(p->workers);
    free(p);
}

// ---- What is known of it -------------------------------------------------------------------------

struct router_worker *router_pool_worker(const struct router_pool *p, struct kvr_bytes name) {
    for (size_t i = 0; i < p->n_workers; i++)
        if (strlen(p->workers[i].name) == name.n && !memcmp(p->workers[i].name, name.p, name.n))
            return &p->workers[i];
    return NULL;
}

// Where what was sent counts as cached, any blocks will do; else they must be those that engines report.
static enum router_prompt_way router_prompt_way(const struct router_pool *p) {
    switch (p->options.blocks) {
    case ROUTER_BLOCKS_TEXT:
        return ROUTER_PROMPT_TEXT;
    case ROUTER_BLOCKS_TOKENS:
        return ROUTER_PROMPT_IDS;
    case ROUTER_BLOCKS_AUTO:
        return p->predict ? ROUTER_PROMPT_TEXT : ROUTER_PROMPT_TOKENIZE;
    default:
        return ROUTER_PROMPT_TOKENIZE;
    }
}

struct router_prompt_config router_pool_prompt_config(const struct router_pool *p) {
    return (struct router_prompt_config){.way = router_prompt_way(p),
                                         .block_size = p->block_size,
                                         .chunk = p->options.chunk,
                                         .space = kvr_text(p->options.salt)};
}

bool router_pool_degraded(const struct router_pool *p) {
    struct kvr_client_stats st;
    kvr_client_stats(p->client, &st);
    return !st.connected;
}

const char *router_pool_trouble(const struct router_pool *p) {
    if (router_pool_degraded(p)) return "no primary";
    if (p->last != KVR_CODE_OK) return kvr_code_name(p->last);
    for (size_t i = 0; i < 2; i++)
        if (p->refuses[i] != KVR_CODE_OK &&
            kvr_clock_us() - p->refused_us[i] < (int64_t)POOL_TROUBLE_S * 1000000)
            return kvr_code_name(p->refuses[i]);
    return p->seen_us ? NULL : "not seen yet";
}

// ---- What is told to it, and what it says --------------------------------------------------------

void router_pool_answered(struct router_pool *p, enum router_pool_act act,
                          const struct kvr_result *r) {
    static const char *const acts[] = {"bookings", "registrations"};
    enum kvr_code code = r->code, old = p->refuses[act];
    if (code == KVR_CODE_CLOSED || code == KVR_CODE_TIMEOUT) return; // it hasn't answered
    if (code == KVR_CODE_NOWORKER) code = KVR_CODE_OK;
    p->refuses[act] = code;
    p->refused_us[act] = kvr_clock_us();
    if (code == old) return;
    if (code == KVR_CODE_OK)
        kvr_log_line(KVR_LOG_INFO, "pool %s: it takes %s again", p->options.name, acts[act]);
    else
        kvr_log_line(KVR_LOG_ERROR, "pool %s: it refuses %s: %s %s", p->options.name, acts[act],
                     kvr_code_name(code), r->message);
}

void router_pool_count(struct router_pool *p, enum kvr_code code) {
    p->unsent += code != KVR_CODE_OK;
}

// ---- Releases ------------------------------------------------------------------------------------

struct router_refused_release {
    struct router_refused_release *next;
    size_t n;
    char id[];
};

void router_pool_release(struct router_pool *p, struct kvr_bytes id) {
    enum kvr_code code = kvr_client_release_async(p->client, &id, 1, NULL, NULL);
    router_pool_count(p, code);
    if (code != KVR_CODE_FULL && code != KVR_CODE_NOMEM) return;
    struct router_refused_release *kept = malloc(sizeof *kept + id.n);
    if (!kept) return; // the booking ends with its lease
    memcpy(kept->id, id.p, id.n);
    kept->n = id.n;
    kept->next = p->refused;
    p->refused = kept;
}

static void drop_first_release(struct router_pool *p) {
    struct router_refused_release *first = p->refused;
    p->refused = first->next;
    free(first);
}

void router_pool_retry_releases(struct router_pool *p) {
    while (p->refused) {
        struct kvr_bytes id = {p->refused->id, p->refused->n};
        if (kvr_client_release_async(p->client, &id, 1, NULL, NULL) != KVR_CODE_OK) return;
        drop_first_release(p);
    }
}

void router_pool_drop_releases(struct router_pool *p) {
    while (p->refused)
        drop_first_release(p);
}

bool router_pool_settled(const struct router_pool *p) {
    struct kvr_client_stats st;
    kvr_client_stats(p->client, &st);
    return !p->refused && st.pending <= p->asking;
}
