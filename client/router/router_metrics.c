// SPDX-License-Identifier: Apache-2.0
#include "router_metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "router_exchange.h"

struct router_metrics *router_metrics_new(void) {
    struct router_metrics *m = calloc(1, sizeof *m);
    if (m) m->minutes = &m->own_minutes;
    return m;
}

void router_metrics_free(struct router_metrics *m) {
    if (!m) return;
    free(m->workers);
    free(m);
}

// The routes are fewer than there is room for.
static struct router_route_metrics *route_of(struct router_metrics *m, const char *name) {
    size_t i = 0;
    while (i < m->n_routes && strcmp(m->routes[i].name, name) != 0)
        i++;
    if (i == ROUTER_METRICS_ROUTES) return &m->routes[i - 1];
    if (i == m->n_routes) m->routes[m->n_routes++].name = name;
    return &m->routes[i];
}

static void count_status(struct router_route_metrics *t, int status) {
    size_t i = 0;
    while (i < ROUTER_METRICS_STATUSES - 1 && t->statuses[i].n && t->statuses[i].status != status)
        i++;
    if (t->statuses[i].n && t->statuses[i].status != status) status = 0;
    t->statuses[i].status = status;
    t->statuses[i].n++;
}

static void add_positive(uint64_t *sum, int64_t n) {
    if (n > 0) *sum += (uint64_t)n;
}

static void compare_times(struct router_metrics *m, int64_t actual, int64_t predicted) {
    if (actual < 0 || predicted < 0) return;
    double off = (double)(predicted > actual ? predicted - actual : actual - predicted);
    kvr_prom_observe(&m->ttft, actual);
    kvr_prom_observe(&m->ttft_predicted, predicted);
    kvr_prom_observe(&m->ttft_error, (int64_t)(off / (double)(actual ? actual : 1) * 1e6));
}

void router_metrics_first(struct router_metrics *m, int64_t now_us, int64_t first_us) {
    router_minutes_first(m->minutes, now_us, first_us);
}

void router_metrics_tokens(struct router_metrics *m, struct router_record *c, int64_t now_us,
                           int64_t tokens) {
    if (tokens <= c->told_output) return;
    router_minutes_output(m->minutes, now_us, tokens - c->told_output);
    c->told_output = tokens;
}

// That there is no room, or that the router is leaving, is no failure: the client is told when to come back, or
// comes through another router.
static bool is_failure(const struct router_exchange *x) {
    static const char *const none[] = {"NOROOM", "RELEASED", "DRAINING"};
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        if (!strcmp(x->record.code, none[i])) return false;
    return (!x->h1.gone && x->h1.status >= 500) || x->h1.cut;
}

// What asks for a worker: the proxy's requests, and advice that chose one or couldn't.
static void count_minutes(struct router_metrics *m, struct router_exchange *x, int64_t now) {
    struct router_record *c = &x->record;
    bool failed = is_failure(x);
    if (!x->pool || c->question || (c->blocks < 0 && !failed)) return;
    int64_t tokens = c->blocks * c->block_size;
    router_minutes_request(m->minutes, now, failed);
    if (c->blocks >= 0)
        router_minutes_prompt(m->minutes, now, c->input > tokens ? c->input : tokens,
                              c->overlap * c->block_size);
    router_metrics_tokens(m, c, now, c->output);
}

void router_metrics_exchange(struct router_metrics *m, struct router_exchange *x,
                             const char *route) {
    const struct h1_exchange *h = &x->h1;
    const struct router_record *c = &x->record;
    count_minutes(m, x, kvr_clock_us());
    struct router_route_metrics *t = route_of(m, route ? route : "none");
    count_status(t, h->gone && !h->status ? 499 : h->status);
    kvr_prom_observe(&t->duration, kvr_clock_us() - h->began_us);
    if (c->first_us >= 0) kvr_prom_observe(&m->first, c->first_us);
    m->requests++;
    m->cut += h->cut;
    m->gone += h->gone;
    m->in_bytes += h->in_bytes;
    m->out_bytes += h->out_bytes;
    add_positive(&m->blocks, c->blocks);
    add_positive(&m->overlap, c->overlap);
    add_positive(&m->expected, c->expected);
    compare_times(m, c->booked_us, c->predicted_us);
    add_positive(&m->input, c->input);
    add_positive(&m->output, c->output);
}

void router_metrics_select(struct router_metrics *m, int64_t us, const struct kvr_result *r) {
    int64_t waited = r->code == KVR_CODE_OK ? r->choice.waited * 1000 : 0;
    kvr_prom_observe(&m->select, us > waited ? us - waited : 0);
    m->select_codes[r->code]++;
    m->degraded += r->degraded;
}

static int compare_worker(const struct router_worker_metrics *w, const char *pool,
                          const char *worker) {
    int c = strcmp(w->pool, pool);
    return c ? c : strcmp(w->worker, worker);
}

void router_metrics_forget(struct router_metrics *m, int64_t now_us,
                           bool (*knows)(void *ctx, const char *pool, const char *worker),
                           void *ctx) {
    size_t kept = 0;
    for (size_t i = 0; i < m->n_workers; i++) {
        const struct router_worker_metrics *w = &m->workers[i];
        bool old = now_us - w->last_us > (int64_t)ROUTER_METRICS_KEEP_S * 1000000;
        if (old && !knows(ctx, w->pool, w->worker)) continue;
        if (kept != i) m->workers[kept] = *w;
        kept++;
    }
    m->n_workers = kept;
}

static bool knows_none(void *ctx, const char *pool, const char *worker) {
    (void)ctx;
    (void)pool;
    (void)worker;
    return false;
}

// Where nobody asks for metrics, it is here that old names go: looked for once a second at most.
static bool make_room(struct router_metrics *m, int64_t now_us) {
    if (m->n_workers < ROUTER_METRICS_WORKERS) return true;
    if (now_us - m->looked_us < 1000000) return false;
    m->looked_us = now_us;
    router_metrics_forget(m, now_us, knows_none, NULL);
    return m->n_workers < ROUTER_METRICS_WORKERS;
}

static size_t place_of(const struct router_metrics *m, const char *pool, const char *worker,
                       bool *there) {
    size_t low = 0, high = m->n_workers;
    *there = false;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int c = compare_worker(&m->workers[middle], pool, worker);
        *there |= c == 0;
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// NULL: there are too many.
static struct router_worker_metrics *worker_of(struct router_metrics *m, const char *pool,
                                               const char *worker, int64_t now_us) {
    bool there;
    size_t at = place_of(m, pool, worker, &there);
    if (there) return &m->workers[at];
    if (!make_room(m, now_us)) return NULL;
    at = place_of(m, pool, worker, &there);
    struct router_worker_metrics *all = realloc(m->workers, (m->n_workers + 1) * sizeof *all), *w;
    if (!all) return NULL;
    m->workers = all;
    w = &all[at];
    memmove(w + 1, w, (m->n_workers - at) * sizeof *w);
    m->n_workers++;
    memset(w, 0, sizeof *w);
    snprintf(w->pool, sizeof w->pool, "%s", pool);
    snprintf(w->worker, sizeof w->worker, "%s", worker);
    return w;
}

void router_metrics_engine(struct router_metrics *m, const char *pool, const char *worker,
                           enum router_engine_outcome outcome) {
    int64_t now_us = kvr_clock_us();
    struct router_worker_metrics *w = worker_of(m, pool, worker, now_us);
    if (!w) {
        m->workers_unnamed++;
        return;
    }
    w->tries[outcome]++;
    w->last_us = now_us;
}
