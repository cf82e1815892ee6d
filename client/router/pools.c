// SPDX-License-Identifier: Apache-2.0
// See pools.h.
#include "pools.h"

#include <kvroute/adapters/libevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "client/common/clock.h"
#include "client/common/log.h"
#include "owed.h"
#include "router.h"
#include "router_exchange.h"

enum { TROUBLE_S = 5 };    // a refusal that isn't repeated for so long is over
enum { RETIRE_LOOKS = 3 }; // a retired pool is closed when it was quiet for so many looks

struct pools {
    struct router *router;
    struct pool *first, *retired;
    char redis[1024]; // of the handles
    int64_t deadline;
    struct event *look, *renew;
};

// ---- Looking -------------------------------------------------------------------------------------

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
        json_array_append_new(labels, answer_text(w->labels[i]));
    return labels;
}

static void copy_worker(struct pool_worker *out, const struct kvr_worker *w) {
    *out = (struct pool_worker){.state = w->state,
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

static void forget_workers(struct pool *p) {
    for (size_t i = 0; i < p->n_workers; i++)
        json_decref(p->workers[i].labels);
    p->n_workers = 0;
}

static void note(struct pool *p, const struct kvr_result *r) {
    if (r->code != p->last && r->code != KVR_CODE_OK)
        kvr_log_line(KVR_LOG_WARNING, "pool %s: %s %s", p->options.name, kvr_code_name(r->code),
                     r->message);
    p->last = r->code;
}

static bool same_engine(const struct pool_worker *a, const struct pool_worker *b) {
    return !strcmp(a->name, b->name) && !strcmp(a->addr, b->addr);
}

// Both lists are by name, so it mostly is where it was.
static void keep_seen(const struct pool *p, struct pool_worker *w, size_t i) {
    const struct pool_worker *old = i < p->n_workers ? &p->workers[i] : NULL;
    if (!old || !same_engine(old, w)) old = pool_worker(p, kvr_text(w->name));
    if (old && same_engine(old, w)) w->here = old->here;
}

static void on_workers(void *ctx, const struct kvr_result *r) {
    struct pool *p = ctx;
    p->asking--;
    if (r->code == KVR_CODE_CLOSED) return;
    note(p, r);
    if (r->code != KVR_CODE_OK || r->degraded) return;
    struct pool_worker *all = malloc((r->n ? r->n : 1) * sizeof *all);
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
    struct pool *p = ctx;
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

static void look_at(struct pool *p) {
    if (p->asking) return;
    p->asking = 2;
    // In this order: who knows of workers knows how large their blocks are.
    enum kvr_code info = kvr_client_info_async(p->client, on_info, p);
    enum kvr_code list = kvr_client_worker_list_async(p->client, on_workers, p);
    p->asking -= (info != KVR_CODE_OK) + (list != KVR_CODE_OK);
    owed_count(p, info);
    owed_count(p, list);
}

static void pool_free(struct pool *p) {
    kvr_client_close(p->client);
    owed_forget(p);
    forget_workers(p);
    free(p->workers);
    free(p);
}

static void close_retired(struct pools *s) {
    for (struct pool **at = &s->retired; *at;) {
        struct pool *p = *at;
        struct kvr_client_stats st;
        owed_pay(p);
        kvr_client_stats(p->client, &st);
        p->quiet = p->uses || p->owed || st.pending ? 0 : p->quiet + 1;
        if (p->quiet < RETIRE_LOOKS) {
            at = &p->next;
            continue;
        }
        *at = p->next;
        kvr_log_line(KVR_LOG_INFO, "pool %s: closed", p->options.name);
        pool_free(p);
    }
}

static void arm(struct event *timer, int64_t ms) {
    struct timeval t = {(time_t)(ms / 1000), (suseconds_t)(ms % 1000 * 1000)};
    event_add(timer, &t);
}

static void on_look(evutil_socket_t fd, short what, void *arg) {
    struct pools *s = arg;
    bool seen = true;
    (void)fd;
    (void)what;
    for (struct pool *p = s->first; p; p = p->next) {
        owed_pay(p);
        look_at(p);
        seen = seen && p->seen_us;
    }
    close_retired(s);
    // At the start sooner, so that it is ready soon.
    int64_t ms = s->router->config.refresh;
    arm(s->look, seen || ms < 100 ? ms : 100);
}

// ---- Engines of our own --------------------------------------------------------------------------

static void on_renewed(void *ctx, const struct kvr_result *r) {
    if (!r->degraded) pool_answered(ctx, POOL_REGISTERS, r);
}

static void on_renew(evutil_socket_t fd, short what, void *arg) {
    struct pools *s = arg;
    const struct router_config *o = &s->router->config;
    (void)fd;
    (void)what;
    for (size_t i = 0; i < o->n_engines; i++) {
        const struct router_engine_config *g = &o->engines[i];
        struct pool *p = pools_named(s, g->pool);
        struct kvr_worker_call call = {.worker = kvr_text(g->name),
                                       .addr = kvr_text(g->url),
                                       .set = KVR_WORKER_ADDR | KVR_WORKER_RANKS | KVR_WORKER_TTL,
                                       .ranks = g->ranks,
                                       .ttl = o->ttl};
        if (g->capacity) {
            call.set |= KVR_WORKER_CAPACITY;
            call.capacity = g->capacity;
        }
        if (p) owed_count(p, kvr_client_worker_set_async(p->client, &call, on_renewed, p));
    }
    arm(s->renew, o->ttl / 3);
}

// ---- Opening -------------------------------------------------------------------------------------

static bool has_engines(const struct router_config *o, const char *pool) {
    for (size_t i = 0; i < o->n_engines; i++)
        if (strcmp(o->engines[i].pool, pool) == 0) return true;
    return false;
}

// Until the pool has been seen, the settings are what is known of it.
static bool take_settings(struct pool *p, const struct router_config *o) {
    if (!o->n_engines) return true;
    p->workers = calloc(o->n_engines, sizeof *p->workers);
    if (!p->workers) return false;
    for (size_t i = 0; i < o->n_engines; i++) {
        const struct router_engine_config *g = &o->engines[i];
        if (strcmp(g->pool, p->options.name) != 0) continue;
        struct pool_worker *w = &p->workers[p->n_workers++];
        *w = (struct pool_worker){.state = KVR_READY,
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

static struct pool *pool_new(struct pools *s, const struct router_pool_config *po, char *error,
                             size_t error_size) {
    const struct router_config *o = &s->router->config;
    struct kvr_loop loop = kvr_libevent(s->router->base);
    char url[1100], why[160] = "no memory";
    struct pool *p = calloc(1, sizeof *p);
    if (!p) return NULL;
    p->router = s->router;
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

// The open pool that these options would open again.
static struct pool **find_same(struct pools *s, const struct router_pool_config *po) {
    for (struct pool **at = &s->first; *at; at = &(*at)->next)
        if (strcmp((*at)->options.name, po->name) == 0 &&
            strcmp((*at)->options.key, po->key) == 0 &&
            strcmp((*at)->options.create, po->create) == 0)
            return at;
    return NULL;
}

bool pools_reload(struct pools *s, char *error, size_t error_size) {
    const struct router_config *o = &s->router->config;
    struct pool **fresh = calloc(o->n_pools, sizeof *fresh), *all = NULL, **end = &all;
    bool same = strcmp(s->redis, o->redis) == 0 && s->deadline == o->deadline, good = fresh != NULL;
    for (size_t i = 0; good && i < o->n_pools; i++)
        if (!same || !find_same(s, &o->pools[i]))
            good = (fresh[i] = pool_new(s, &o->pools[i], error, error_size)) != NULL;
    for (size_t i = 0; !good && fresh && i < o->n_pools; i++)
        if (fresh[i]) pool_free(fresh[i]);
    for (size_t i = 0; good && i < o->n_pools; i++) {
        struct pool **at = fresh[i] ? NULL : find_same(s, &o->pools[i]), *p = fresh[i];
        if (at) {
            p = *at;
            *at = p->next;
            p->options = o->pools[i];
        }
        *end = p;
        end = &p->next;
        p->next = NULL;
    }
    free(fresh);
    if (!good) return false;
    while (s->first) {
        struct pool *p = s->first;
        s->first = p->next;
        p->retired = true;
        p->next = s->retired;
        s->retired = p;
    }
    s->first = all;
    snprintf(s->redis, sizeof s->redis, "%s", o->redis);
    s->deadline = o->deadline;
    event_active(s->renew, EV_TIMEOUT, 0);
    event_active(s->look, EV_TIMEOUT, 0);
    return true;
}

struct pools *pools_new(struct router *r, char *error, size_t error_size) {
    struct pools *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->router = r;
    s->look = event_new(r->base, -1, 0, on_look, s);
    s->renew = event_new(r->base, -1, 0, on_renew, s);
    if (s->look && s->renew && pools_reload(s, error, error_size)) return s;
    pools_free(s);
    return NULL;
}

void pools_free(struct pools *s) {
    if (!s) return;
    struct pool *lists[] = {s->first, s->retired};
    for (size_t i = 0; i < 2; i++)
        for (struct pool *p = lists[i], *next; p; p = next) {
            next = p->next;
            pool_free(p);
        }
    if (s->look) event_free(s->look);
    if (s->renew) event_free(s->renew);
    free(s);
}

bool pools_settled(const struct pools *s) {
    const struct pool *lists[] = {s->first, s->retired};
    for (size_t i = 0; i < 2; i++)
        for (const struct pool *p = lists[i]; p; p = p->next) {
            struct kvr_client_stats st;
            kvr_client_stats(p->client, &st);
            if (p->owed || st.pending > p->asking) return false;
        }
    return true;
}

// ---- Finding -------------------------------------------------------------------------------------

struct pool *pools_first(const struct pools *s) {
    return s->first;
}

struct pool *pools_named(const struct pools *s, const char *name) {
    for (struct pool *p = s->first; p; p = p->next)
        if (strcmp(p->options.name, name) == 0) return p;
    return NULL;
}

static bool lists(const char *models, const char *model) {
    size_t n = strlen(model);
    for (const char *m = models; *m; m += strspn(m, " ")) {
        size_t len = strcspn(m, " ");
        if (len == n && memcmp(m, model, n) == 0) return true;
        m += len;
    }
    return false;
}

struct pool *pools_for(const struct pools *s, const char *model) {
    struct pool *any = NULL;
    for (struct pool *p = s->first; p; p = p->next) {
        if (model && lists(p->options.models, model)) return p;
        if (!any && (!*p->options.models || lists(p->options.models, "*"))) any = p;
    }
    return any || model ? any : s->first && !s->first->next ? s->first : NULL;
}

void pools_take(struct router_exchange *x, struct pool *p) {
    x->pool = p;
    p->uses++;
}

void pools_give_back(struct router_exchange *x) {
    if (x->pool) x->pool->uses--;
    x->pool = NULL;
}

struct pool_worker *pool_worker(const struct pool *p, struct kvr_bytes name) {
    for (size_t i = 0; i < p->n_workers; i++)
        if (strlen(p->workers[i].name) == name.n && !memcmp(p->workers[i].name, name.p, name.n))
            return &p->workers[i];
    return NULL;
}

void pool_answered(struct pool *p, enum pool_act act, const struct kvr_result *r) {
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

const char *pool_trouble(const struct pool *p) {
    if (pool_degraded(p)) return "no primary";
    if (p->last != KVR_CODE_OK) return kvr_code_name(p->last);
    for (size_t i = 0; i < 2; i++)
        if (p->refuses[i] != KVR_CODE_OK &&
            kvr_clock_us() - p->refused_us[i] < (int64_t)TROUBLE_S * 1000000)
            return kvr_code_name(p->refuses[i]);
    return p->seen_us ? NULL : "not seen yet";
}

bool pool_degraded(const struct pool *p) {
    struct kvr_client_stats st;
    kvr_client_stats(p->client, &st);
    return !st.connected;
}
