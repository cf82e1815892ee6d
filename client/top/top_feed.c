// SPDX-License-Identifier: Apache-2.0
#include "top_feed.h"

#include <kvroute/adapters/libevent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "client/common/clock.h"

enum { SEARCH_MS = 30000, FLOWS_A_PART = 500 };

enum feed_call {
    FEED_SERVER,
    FEED_INFO,
    FEED_WORKERS,
    FEED_CLASSES,
    FEED_QUEUE,
    FEED_FLOWS,
    FEED_EXPLAIN,
    FEED_CALLS
};

// A pool's handle and what is under way on it.
struct feed_pool {
    struct top_feed *feed;
    struct top_pool *pool;
    struct kvr_client *client;
    size_t index;
    unsigned pending, rounds;
    uint64_t connects;        // when the ACL refused something
    bool refused[FEED_CALLS]; // by it, or by a module that doesn't know it
    bool first_flows;
};

struct top_feed {
    struct event_base *base;
    const struct top_config *config;
    struct top_view *view;
    top_changed *changed;
    void *ctx;
    struct kvr_loop loop;
    struct event *tick;
    struct feed_pool *pools[TOP_MAX_POOLS];
    size_t n_pools, watched;
    bool paused, explaining;
    struct kvr_client *finder; // NULL: pools were named
    bool searching, searched;
    char found[TOP_MAX_POOLS][TOP_MAX_KEY]; // by the search that is going on
    size_t n_found;
    int64_t search_at;
};

static void tell(struct top_feed *f) {
    f->changed(f->ctx);
}

// ---- Answers -------------------------------------------------------------------------------------

static void ask_flows(struct feed_pool *q, uint64_t cursor);

// An answer of the kind has come: whether it is to be taken.
static bool take(struct feed_pool *q, enum feed_call call, const struct kvr_result *r) {
    q->pending--;
    if (r->code == KVR_CODE_CLOSED) return false;
    if (!q->pending) q->rounds++;
    // A module or a user that has no flows, say, is no trouble; INFO is what a pool is known by.
    bool never = r->code == KVR_CODE_DENIED || r->code == KVR_CODE_REFUSED;
    if (never && call != FEED_INFO) q->refused[call] = true;
    return !never || call == FEED_INFO;
}

static void look_at_link(struct feed_pool *q) {
    struct kvr_client_stats stats;
    kvr_client_stats(q->client, &stats);
    top_view_link(q->pool, &stats, kvr_clock_ms(), (int64_t)time(NULL));
    if (stats.connects != q->connects) memset(q->refused, 0, sizeof q->refused);
    q->connects = stats.connects;
}

static void on_info(void *ctx, const struct kvr_result *r) {
    struct feed_pool *q = ctx;
    if (r->code != KVR_CODE_CLOSED) look_at_link(q);
    if (take(q, FEED_INFO, r)) top_view_info(q->pool, r, kvr_clock_ms());
    if (r->code != KVR_CODE_CLOSED) tell(q->feed);
}

static void on_server(void *ctx, const struct kvr_result *r) {
    struct feed_pool *q = ctx;
    if (take(q, FEED_SERVER, r)) top_view_server(q->pool, r);
}

static void on_workers(void *ctx, const struct kvr_result *r) {
    struct feed_pool *q = ctx;
    if (take(q, FEED_WORKERS, r)) top_view_workers(q->pool, r);
    if (r->code != KVR_CODE_CLOSED) tell(q->feed);
}

static void on_classes(void *ctx, const struct kvr_result *r) {
    struct feed_pool *q = ctx;
    if (take(q, FEED_CLASSES, r)) top_view_classes(q->pool, r);
}

static void on_queue(void *ctx, const struct kvr_result *r) {
    struct feed_pool *q = ctx;
    if (take(q, FEED_QUEUE, r)) top_view_queue(q->pool, r);
    if (r->code != KVR_CODE_CLOSED) tell(q->feed);
}

static void on_explained(void *ctx, const struct kvr_result *r) {
    struct feed_pool *q = ctx;
    if (take(q, FEED_EXPLAIN, r)) top_view_explanation(q->pool, r);
    if (r->code != KVR_CODE_CLOSED) tell(q->feed);
}

static void on_flows(void *ctx, const struct kvr_result *r) {
    struct feed_pool *q = ctx;
    q->pending++; // the round isn't over if there is another part
    bool more = take(q, FEED_FLOWS, r) && top_view_flows(q->pool, r, q->first_flows);
    q->first_flows = false;
    if (r->code == KVR_CODE_CLOSED) {
        q->pending--;
        return;
    }
    if (more) ask_flows(q, r->cursor);
    if (!--q->pending) q->rounds++;
    tell(q->feed);
}

// ---- Questions -----------------------------------------------------------------------------------

static void ask_flows(struct feed_pool *q, uint64_t cursor) {
    q->pending +=
        kvr_client_flow_list_async(q->client, cursor, FLOWS_A_PART, on_flows, q) == KVR_CODE_OK;
}

static const struct kvr_select_call new_prompt = {.isl = TOP_PROMPT};

static enum kvr_code ask(struct feed_pool *q, enum feed_call call) {
    switch (call) {
    case FEED_SERVER:
        return kvr_client_server_async(q->client, on_server, q);
    case FEED_INFO:
        return kvr_client_info_async(q->client, on_info, q);
    case FEED_WORKERS:
        return kvr_client_worker_list_async(q->client, on_workers, q);
    case FEED_CLASSES:
        return kvr_client_class_list_async(q->client, on_classes, q);
    case FEED_QUEUE:
        return kvr_client_queue_async(q->client, TOP_MAX_QUEUED, on_queue, q);
    case FEED_FLOWS:
        break;
    case FEED_EXPLAIN:
        return kvr_client_explain_async(q->client, &new_prompt, TOP_MAX_CANDIDATES, on_explained,
                                        q);
    case FEED_CALLS:
        break;
    }
    q->first_flows = true;
    ask_flows(q, 0);
    return KVR_CODE_INVALID; // it has counted itself
}

static void look(struct feed_pool *q) {
    size_t watched = q->feed->watched;
    bool all = watched == q->index || watched == TOP_MAX_POOLS;
    look_at_link(q);
    if (q->pending || q->feed->paused) return;
    for (int i = 0; i < FEED_CALLS; i++) {
        enum feed_call call = (enum feed_call)i;
        if (q->refused[i] || (!all && call != FEED_INFO)) continue;
        if (call == FEED_EXPLAIN && !q->feed->explaining) continue;
        if (ask(q, call) == KVR_CODE_OK) q->pending++;
    }
}

static void on_log(void *ctx, enum kvr_level level, const char *line) {
    struct feed_pool *q = ctx;
    struct top_link *l = &q->pool->link;
    if (level >= KVR_LOG_WARNING && !l->connected)
        snprintf(l->trouble, sizeof l->trouble, "%s", line);
}

static struct kvr_client *open_client(struct top_feed *f, const char *key, struct feed_pool *q,
                                      char *error, size_t error_size) {
    struct kvr_client_options o = {.loop = &f->loop, .log = q ? on_log : NULL, .log_ctx = q};
    return kvr_client_open(f->config->redis, key, &o, error, error_size);
}

static bool add_pool(struct top_feed *f, struct kvr_bytes key, char *error, size_t error_size) {
    size_t before = f->view->n_pools;
    struct top_pool *p = top_view_pool(f->view, key);
    if (!p || f->view->n_pools == before) return p != NULL;
    struct feed_pool *q = calloc(1, sizeof *q);
    if (!q) return false;
    *q = (struct feed_pool){.feed = f, .pool = p, .index = before};
    q->client = open_client(f, p->key, q, error, error_size);
    f->pools[f->n_pools++] = q;
    return q->client != NULL;
}

// ---- Looking for pools ---------------------------------------------------------------------------

static const char default_pool[] = "kvroute";

static void on_found(void *ctx, const struct kvr_result *r);

static void search(struct top_feed *f, uint64_t cursor) {
    f->searching = kvr_client_pools_async(f->finder, cursor, on_found, f) == KVR_CODE_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(a, b);
}

// The server says them in no order.
static void add_found(struct top_feed *f) {
    char error[160];
    qsort(f->found, f->n_found, sizeof *f->found, by_name);
    for (size_t i = 0; i < f->n_found; i++)
        add_pool(f, kvr_text(f->found[i]), error, sizeof error);
    f->n_found = 0;
    for (size_t i = 0; i < f->n_pools; i++)
        if (f->pools[i]->client && !f->pools[i]->rounds) look(f->pools[i]);
}

// One for which there is no room here is only counted: as one more.
static void note_found(struct top_feed *f, struct kvr_bytes key) {
    if (f->n_found == TOP_MAX_POOLS || !key.n || key.n >= TOP_MAX_KEY || memchr(key.p, 0, key.n)) {
        f->view->more_pools = true;
        return;
    }
    memcpy(f->found[f->n_found], key.p, key.n);
    f->found[f->n_found++][key.n] = 0;
}

// Who may not look for pools may know the one that all programs have unless they are told of another.
static void end_search(struct top_feed *f, const struct kvr_result *r) {
    enum kvr_code code = r->code;
    f->searched = true;
    f->search_at = kvr_clock_ms() + SEARCH_MS;
    f->view->trouble[0] = 0;
    if (code == KVR_CODE_DENIED || code == KVR_CODE_REFUSED)
        note_found(f, kvr_text(default_pool));
    else if (code != KVR_CODE_OK)
        f->search_at = 0;
    add_found(f);
    if (code != KVR_CODE_OK && !f->n_pools)
        snprintf(f->view->trouble, sizeof f->view->trouble, "looking for pools: %s %s",
                 kvr_code_name(code), r->message);
    else if (!f->n_pools)
        snprintf(f->view->trouble, sizeof f->view->trouble, "there is no pool yet");
    if (!f->n_pools) f->search_at = 0;
}

static void on_found(void *ctx, const struct kvr_result *r) {
    struct top_feed *f = ctx;
    f->searching = false;
    if (r->code == KVR_CODE_CLOSED) return;
    for (size_t i = 0; r->code == KVR_CODE_OK && i < r->n; i++)
        note_found(f, r->fields[i].name);
    if (r->code == KVR_CODE_OK && r->cursor && f->n_found < TOP_MAX_POOLS)
        search(f, r->cursor);
    else
        end_search(f, r);
    tell(f);
}

// ---- The clock -----------------------------------------------------------------------------------

static void on_tick(evutil_socket_t fd, short what, void *arg) {
    struct top_feed *f = arg;
    struct timeval t = kvr_timeval(f->config->refresh);
    (void)fd;
    (void)what;
    if (f->finder && !f->searching && !f->paused && kvr_clock_ms() >= f->search_at) search(f, 0);
    for (size_t i = 0; i < f->n_pools; i++)
        if (f->pools[i]->client) look(f->pools[i]);
    event_add(f->tick, &t);
    tell(f);
}

static bool open_pools(struct top_feed *f, char *error, size_t error_size) {
    for (size_t i = 0; i < f->config->n_pools; i++)
        if (!add_pool(f, kvr_text(f->config->pools[i]), error, error_size)) return false;
    if (!f->config->n_pools) f->finder = open_client(f, default_pool, NULL, error, error_size);
    f->searched = f->config->n_pools > 0;
    return f->searched || f->finder;
}

struct top_feed *top_feed_new(struct event_base *base, const struct top_config *c,
                              struct top_view *v, top_changed *changed, void *ctx, char *error,
                              size_t error_size) {
    struct top_feed *f = calloc(1, sizeof *f);
    snprintf(error, error_size, "no memory");
    if (!f) return NULL;
    *f = (struct top_feed){.base = base, .config = c, .view = v, .changed = changed, .ctx = ctx};
    f->loop = kvr_libevent(base);
    f->tick = event_new(base, -1, 0, on_tick, f);
    if (f->tick && open_pools(f, error, error_size)) {
        event_active(f->tick, EV_TIMEOUT, 0);
        return f;
    }
    top_feed_free(f);
    return NULL;
}

void top_feed_free(struct top_feed *f) {
    if (!f) return;
    for (size_t i = 0; i < f->n_pools; i++) {
        kvr_client_close(f->pools[i]->client);
        free(f->pools[i]);
    }
    kvr_client_close(f->finder);
    if (f->tick) event_free(f->tick);
    free(f);
}

void top_feed_watch(struct top_feed *f, size_t pool) {
    if (f->watched == pool) return;
    f->watched = pool;
    if (pool < f->n_pools && f->pools[pool]->client) look(f->pools[pool]);
}

void top_feed_explain(struct top_feed *f, bool on) {
    bool begun = on && !f->explaining;
    f->explaining = on;
    if (begun && f->watched < f->n_pools && f->pools[f->watched]->client)
        look(f->pools[f->watched]);
}

void top_feed_pause(struct top_feed *f, bool paused) {
    f->paused = paused;
}

unsigned top_feed_rounds(const struct top_feed *f) {
    unsigned least = f->n_pools ? f->pools[0]->rounds : 0;
    for (size_t i = 0; i < f->n_pools; i++)
        if (f->pools[i]->rounds < least) least = f->pools[i]->rounds;
    return least;
}

bool top_feed_searched(const struct top_feed *f) {
    return f->searched;
}
