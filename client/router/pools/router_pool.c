// SPDX-License-Identifier: Apache-2.0
#include "router_pool.h"

#include <kvroute/adapters/libevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/engine/engine_create.h"
#include "client/http1/h1_address.h"
#include "client/router/router.h"
#include "router_identity.h"

enum { POOL_TROUBLE_S = 5 }; // a refusal that isn't repeated for so long is over

// ---- Refreshing ----------------------------------------------------------------------------------

static void forget_workers(struct router_worker *all, size_t n) {
    for (size_t i = 0; i < n; i++)
        router_worker_drop(&all[i]);
    free(all);
}

static void note(struct router_pool *p, const struct kvr_result *r) {
    if (r->code != p->last && r->code != KVR_CODE_OK)
        kvr_log_line(KVR_LOG_WARNING, "pool %s at %s: %s %s", p->options.name, p->where,
                     kvr_code_name(r->code), r->message);
    else if (r->code != p->last)
        kvr_log_line(KVR_LOG_INFO, "pool %s at %s: it answers again", p->options.name, p->where);
    p->last = r->code;
    snprintf(p->said, sizeof p->said, "%s", r->code == KVR_CODE_OK ? "" : r->message);
}

// Both lists are by name, so it mostly is where it was.
static void keep_seen(const struct router_pool *p, struct router_worker *w, size_t i) {
    const struct router_worker *old = i < p->n_workers ? &p->workers[i] : NULL;
    if (!old || !router_worker_is_same(old, w)) old = router_pool_worker(p, kvr_text(w->name));
    if (!old) old = router_absent_find(&p->absent, w->name);
    bool known = old && router_worker_is_same(old, w);
    if (known)
        router_worker_inherit(w, old);
    else if (*w->addr && !h1_is_url(w->addr))
        kvr_log_line(KVR_LOG_WARNING,
                     "pool %s: nothing can be sent to worker %s: its address is no "
                     "http[s]://HOST:PORT, but \"%s\"",
                     p->options.name, w->name, w->addr);
    if (!known || old->state != w->state ||
        (old->circuit == KVR_CLOSED) != (w->circuit == KVR_CLOSED))
        w->here.changed_us = kvr_clock_us();
}

// A pool that has just been created lists none of the workers that are on their way to it.
static bool is_too_early(struct router_pool *p, const struct kvr_result *r) {
    bool early = !r->n && p->n_workers && !p->seen_us && !p->was_empty;
    p->was_empty = true;
    return early;
}

void router_pool_take_workers(struct router_pool *p, const struct kvr_result *r, int64_t sent_us) {
    if (r->code != KVR_CODE_OK || r->degraded || is_too_early(p, r)) return;
    struct router_worker *all = malloc((r->n ? r->n : 1) * sizeof *all);
    if (!all) return;
    p->failing = 0;
    for (size_t i = 0; i < r->n; i++) {
        router_worker_copy(&all[i], &r->workers[i]);
        keep_seen(p, &all[i], i);
        p->failing += all[i].failures != 0;
    }
    struct router_worker *before = p->workers;
    size_t n_before = p->n_workers;
    p->workers = all;
    p->n_workers = r->n;
    p->seen_us = kvr_clock_us();
    p->sent_us = sent_us;
    router_absent_update(&p->absent, all, r->n, before, n_before);
    forget_workers(before, n_before);
}

static void on_workers(void *ctx, const struct kvr_result *r) {
    struct router_pool *p = ctx;
    p->asking--;
    if (r->code == KVR_CODE_CLOSED) return;
    note(p, r);
    router_pool_take_workers(p, r, p->asked_us);
}

static void on_queue_answer(struct router_pool *p) {
    p->asking--;
}

static void take_policy(struct router_pool *p, const struct kvr_result *info) {
    for (size_t i = 0; info->fields && i < info->n; i++)
        if (info->fields[i].name.n == 6 && !memcmp(info->fields[i].name.p, "policy", 6))
            snprintf(p->policy, sizeof p->policy, "%.*s", (int)info->fields[i].value.n,
                     info->fields[i].value.p);
}

void router_pool_take_info(struct router_pool *p, const struct kvr_result *r) {
    if (r->code != KVR_CODE_OK) return;
    p->block_size = (uint32_t)kvr_info_int(r, "block_size", p->block_size);
    take_policy(p, r);
    p->predict = kvr_info_int(r, "predict", 0);
    p->lease = kvr_info_int(r, "lease", 0);
    p->selects = kvr_info_int(r, "selects", 0);
    p->select_blocks = kvr_info_int(r, "select_blocks", 0);
    p->overlap_blocks = kvr_info_int(r, "overlap_blocks", 0);
    p->expected_blocks = kvr_info_int(r, "expected_blocks", p->overlap_blocks);
    p->has_sessions = kvr_info_int(r, "sessions", -1) >= 0;
    p->has_pairs = kvr_info_int(r, "localprefill", -1) >= 0;
    p->requests = kvr_info_int(r, "requests", 0);
    p->blocks = kvr_info_int(r, "blocks", 0);
    p->version = kvr_info_int(r, "version", 0);
    router_queue_info(p, r);
}

static void on_info(void *ctx, const struct kvr_result *r) {
    struct router_pool *p = ctx;
    p->asking--;
    router_pool_take_info(p, r);
    if (r->code == KVR_CODE_OK) p->asking += router_queue_ask(p, on_queue_answer);
}

void router_pool_refresh(struct router_pool *p) {
    if (p->asking) return;
    p->asking = 2;
    p->asked_us = kvr_clock_us();
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
    for (size_t i = 0; i < o->sources.n; i++)
        if (strcmp(o->sources.items[i].pool, pool) == 0) return true;
    return false;
}

// NULL: they have been seen, and the pool lists them by name.
static const uint32_t *order_of(const struct router_pool *p) {
    return p->seen_us ? NULL : p->supposed;
}

bool router_pool_suppose(struct router_pool *p, const char *name, const char *addr,
                         enum kvr_role role, uint32_t ranks, int64_t capacity) {
    bool known = true;
    size_t n = p->n_workers, at = 0;
    if (!p->seen_us) at = router_worker_place(p->workers, p->supposed, n, kvr_text(name), &known);
    if (known) return true;
    struct router_worker *all = realloc(p->workers, (n + 1) * sizeof *all);
    if (all) p->workers = all;
    uint32_t *places = realloc(p->supposed, (n + 1) * sizeof *places);
    if (places) p->supposed = places;
    if (!all || !places) return false;
    memmove(places + at + 1, places + at, (n - at) * sizeof *places);
    places[at] = (uint32_t)n;
    struct router_worker *w = &all[p->n_workers++];
    router_worker_suppose(w, name, addr);
    w->role = role;
    w->ranks = ranks;
    w->capacity = capacity;
    return true;
}

static bool take_settings(struct router_pool *p, const struct router_config *o) {
    for (size_t i = 0; i < o->n_engines; i++) {
        const struct router_engine_config *g = &o->engines[i];
        enum kvr_role role = g->role == ENGINE_ROLE_ASK ? KVR_ROLE_BOTH : (enum kvr_role)g->role;
        if (strcmp(g->pool, p->options.name) == 0 &&
            !router_pool_suppose(p, g->name, g->url, role, g->ranks ? g->ranks : 1, g->capacity))
            return false;
    }
    return true;
}

// Of the URL what may be said aloud: no users, passwords, options.
static void copy_place(char *out, size_t size, const char *url) {
    const char *scheme = strstr(url, "://"), *from = scheme ? scheme + 3 : url;
    const char *end = url + strcspn(url, "?");
    for (const char *c = from; c < end; c++)
        if (*c == '@') from = c + 1;
    snprintf(out, size, "%.*s%.*s", scheme ? (int)(scheme + 3 - url) : 0, url,
             end > from ? (int)(end - from) : 0, from);
}

// What libkvroute says, with where it says it of.
static void on_log(void *ctx, enum kvr_level level, const char *line) {
    const struct router_pool *p = ctx;
    kvr_log_line(level, "pool %s at %s: %s", p->options.name, p->where, line);
}

struct router_pool *router_pool_open(struct router *r, const struct router_pool_config *po,
                                     char *error, size_t error_size) {
    const struct router_config *o = &r->config;
    struct kvr_loop loop = kvr_libevent(r->base);
    char url[1300], name[ROUTER_IDENTITY_SIZE], why[160] = "no memory";
    struct router_pool *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->options = *po;
    p->scale_target = o->scale_target;
    p->queue.estimate = -1;
    // Engines without a bridge report nothing: then what was sent there is what is known.
    const char *create = *po->create                ? po->create
                         : has_engines(o, po->name) ? "POLICY delay PREDICT 600000"
                                                    : NULL;
    p->lacks_size = *po->create && o->learn && engine_create_lacks_size(po->create);
    struct kvr_client_options co = {.create = p->lacks_size ? NULL : create,
                                    .degrade = true,
                                    .max_live = (size_t)o->max_requests * 8,
                                    .refresh = o->refresh,
                                    .log = on_log,
                                    .log_ctx = p,
                                    .loop = &loop};
    copy_place(p->where, sizeof p->where, o->redis);
    snprintf(url, sizeof url, "%s", o->redis);
    if (!strstr(url, "deadline="))
        snprintf(url + strlen(url), sizeof url - strlen(url), "%cdeadline=%lld",
                 strchr(url, '?') ? '&' : '?', (long long)o->deadline);
    if (!strstr(url, "?name=") && !strstr(url, "&name=")) {
        router_identity(o, name);
        snprintf(url + strlen(url), sizeof url - strlen(url), "&name=" ROUTER_IDENTITY_PREFIX "%s",
                 name);
    }
    p->client = kvr_client_open(url, po->key, &co, why, sizeof why);
    if (p->client && p->lacks_size)
        kvr_log_line(KVR_LOG_INFO,
                     "pool %s: if it isn't there, it is created when an engine has said how large "
                     "its blocks are, since `create` names no BLOCKSIZE",
                     po->name);
    if (p->client && take_settings(p, o)) return p;
    if (p->client) kvr_client_close(p->client);
    snprintf(error, error_size, "redis %s, pool %s: %s", p->where, po->name, why);
    free(p);
    return NULL;
}

void router_pool_create(struct router_pool *p, uint32_t block_size) {
    char options[sizeof p->options.create + 24];
    if (!p->lacks_size) return;
    bool fits = engine_create_with_size(p->options.create, block_size, options, sizeof options);
    p->lacks_size = !fits || !kvr_client_create_with(p->client, options);
    if (!p->lacks_size) router_pool_refresh(p);
}

void router_pool_close(struct router_pool *p) {
    kvr_client_close(p->client);
    router_pool_drop_releases(p);
    forget_workers(p->workers, p->n_workers);
    router_absent_close(&p->absent);
    router_queue_free(&p->queue);
    free(p->neighbours);
    free(p->supposed);
    free(p);
}

// ---- What is known of it -------------------------------------------------------------------------

struct router_worker *router_pool_worker(const struct router_pool *p, struct kvr_bytes name) {
    return router_worker_find(p->workers, order_of(p), p->n_workers, name);
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

void router_pool_look_for_trouble(struct router_pool *p) {
    if (!router_pool_trouble(p))
        p->trouble_us = 0;
    else if (!p->trouble_us)
        p->trouble_us = kvr_clock_us();
}

// ---- What is told to it, and what it says --------------------------------------------------------

void router_pool_answered(struct router_pool *p, enum router_pool_act act,
                          const struct kvr_result *r) {
    static const char *const acts[] = {"bookings", "registrations"};
    enum kvr_code code = r->code, old = p->refuses[act];
    bool silent = code == KVR_CODE_CLOSED || code == KVR_CODE_TIMEOUT;
    if (silent || r->degraded) return; // it hasn't answered
    if (code == KVR_CODE_NOWORKER || code == KVR_CODE_NOROOM || code == KVR_CODE_LIMITED ||
        code == KVR_CODE_RELEASED)
        code = KVR_CODE_OK;
    p->refuses[act] = code;
    p->refused_us[act] = kvr_clock_us();
    if (code == old) return;
    if (code == KVR_CODE_OK)
        kvr_log_line(KVR_LOG_INFO, "pool %s: it takes %s again", p->options.name, acts[act]);
    else
        kvr_log_line(KVR_LOG_ERROR, "pool %s: it refuses %s: %s %s", p->options.name, acts[act],
                     kvr_code_name(code), r->message);
}

void router_pool_registered(void *pool, const struct kvr_result *r) {
    router_pool_answered(pool, ROUTER_POOL_REGISTRATIONS, r);
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
    return !p->refused && st.pending <= p->asking + p->asking_neighbours;
}
