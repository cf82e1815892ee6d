// SPDX-License-Identifier: Apache-2.0
#include "router_metrics.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "router_exchange.h"

struct router_metrics *router_metrics_new(void) {
    return calloc(1, sizeof(struct router_metrics));
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

void router_metrics_exchange(struct router_metrics *m, const struct router_exchange *x,
                             const char *route) {
    const struct h1_exchange *h = &x->h1;
    const struct router_record *c = &x->record;
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
    kvr_prom_observe(&m->select, us);
    m->select_codes[r->code]++;
    m->degraded += r->degraded;
}

static int compare_worker(const struct router_worker_metrics *w, const char *pool,
                          const char *worker) {
    int c = strcmp(w->pool, pool);
    return c ? c : strcmp(w->worker, worker);
}

// NULL: there are too many.
static struct router_worker_metrics *worker_of(struct router_metrics *m, const char *pool,
                                               const char *worker) {
    size_t low = 0, high = m->n_workers;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int c = compare_worker(&m->workers[middle], pool, worker);
        if (c == 0) return &m->workers[middle];
        if (c < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (m->n_workers == ROUTER_METRICS_WORKERS) return NULL;
    struct router_worker_metrics *all = realloc(m->workers, (m->n_workers + 1) * sizeof *all), *w;
    if (!all) return NULL;
    m->workers = all;
    w = &all[low];
    memmove(w + 1, w, (m->n_workers - low) * sizeof *w);
    m->n_workers++;
    memset(w, 0, sizeof *w);
    snprintf(w->pool, sizeof w->pool, "%s", pool);
    snprintf(w->worker, sizeof w->worker, "%s", worker);
    return w;
}

void router_metrics_engine(struct router_metrics *m, const char *pool, const char *worker,
                           enum router_engine_outcome outcome) {
    struct router_worker_metrics *w = worker_of(m, pool, worker);
    if (w)
        w->tries[outcome]++;
    else
        m->workers_unnamed++;
}
