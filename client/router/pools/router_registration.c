// SPDX-License-Identifier: Apache-2.0
#include "router_registration.h"

#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/common/random.h"
#include "client/router/prompt/router_json.h"
#include "router_labels.h"

enum {
    REGISTRATION_MARGIN_MS = 500,    // how far off it may be when a TTL was set, as seen from here
    REGISTRATION_OVERTIME_MS = 5000, // for moving streams, after the drain's end
    REGISTRATION_OWN_TURNS = 10,     // TTLs after which all is said again, whoever renews it
};

static const char mark_gone[] = "discovery=gone", mark_leaving[] = "discovery=leaving";

// ---- What is known of it -------------------------------------------------------------------------

static void set_stage(struct router_registration *g, enum router_registration_stage stage) {
    g->stage = stage;
    g->since_us = kvr_clock_us();
}

static json_t *labels_of(const struct discovery_engine *e) {
    json_t *labels = json_array();
    for (size_t i = 0; i < e->n_labels; i++) {
        json_t *label = router_json_text(e->labels[i]);
        if (label && !router_label_is_own(json_string_value(label)))
            json_array_append(labels, label);
        json_decref(label);
    }
    return labels;
}

bool router_registration_see(struct router_registration *g, const struct discovery_engine *e) {
    json_t *labels = labels_of(e);
    if (!labels) return false;
    bool was = g->stage == ROUTER_REGISTRATION_PRESENT;
    json_decref(g->labels);
    g->labels = labels;
    g->role = e->role;
    g->ranks = e->ranks;
    g->capacity = e->capacity;
    g->said_us = 0;
    g->labels_said = false;
    if (e->leaving && g->stage == ROUTER_REGISTRATION_LEAVING) return true;
    if (!e->leaving && !was) g->returned = true;
    set_stage(g, e->leaving ? ROUTER_REGISTRATION_LEAVING : ROUTER_REGISTRATION_PRESENT);
    return true;
}

bool router_registration_init(struct router_registration *g, const struct discovery_engine *e,
                              int64_t drain) {
    uint64_t random = (uint64_t)kvr_clock_ns(CLOCK_MONOTONIC) ^ (uint64_t)(uintptr_t)g;
    *g = (struct router_registration){.drain = drain, .returned = true};
    kvr_list_init(&g->link);
    snprintf(g->name, sizeof g->name, "%s", e->name);
    snprintf(g->url, sizeof g->url, "%s", e->url);
    snprintf(g->pool, sizeof g->pool, "%s", e->pool);
    g->share = 0.7 + 0.3 * kvr_random_unit(&random);
    return router_registration_see(g, e);
}

void router_registration_close(struct router_registration *g) {
    json_decref(g->labels);
}

void router_registration_lose(struct router_registration *g) {
    set_stage(g, ROUTER_REGISTRATION_LOST);
}

// ---- Telling the pool ----------------------------------------------------------------------------

static bool is_marked(const struct router_worker *w) {
    for (size_t i = 0; i < json_array_size(w->labels); i++) {
        const char *text = json_string_value(json_array_get(w->labels, i));
        if (text && router_label_is_mark(text)) return true;
    }
    return false;
}

// key=…; a label without a key is one as a whole.
static bool same_key(const char *a, const char *b) {
    size_t n = strcspn(a, "=");
    return n == strcspn(b, "=") && !memcmp(a, b, n);
}

static bool has_key(const json_t *labels, const char *label) {
    for (size_t i = 0; i < json_array_size(labels); i++) {
        const char *text = json_string_value(json_array_get(labels, i));
        if (text && same_key(text, label)) return true;
    }
    return false;
}

// What the source says of the engine, then what others have said of the worker; of ours that one, unless it is NULL.
static size_t put_labels(const struct router_registration *g, const struct router_worker *w,
                         const char *own, struct kvr_bytes out[KVR_MAX_LABELS]) {
    size_t n = 0;
    if (own) out[n++] = kvr_text(own);
    for (size_t i = 0; i < json_array_size(g->labels) && n < KVR_MAX_LABELS; i++)
        out[n++] = kvr_text(json_string_value(json_array_get(g->labels, i)));
    for (size_t i = 0; w && i < json_array_size(w->labels) && n < KVR_MAX_LABELS; i++) {
        const char *text = json_string_value(json_array_get(w->labels, i));
        if (text && !router_label_is_mark(text) && !has_key(g->labels, text))
            out[n++] = kvr_text(text);
    }
    return n;
}

static bool say(struct router_registration *g, struct router_pool *p,
                struct kvr_worker_call *call) {
    call->worker = kvr_text(g->name);
    enum kvr_code code = kvr_client_worker_set_async(p->client, call, router_pool_registered, p);
    router_pool_count(p, code);
    if (code == KVR_CODE_OK) g->own_us = kvr_clock_us();
    return code == KVR_CODE_OK;
}

// Its labels aren't said before the worker has been seen as it is now: who drained it a moment ago has marked it.
static bool may_say_labels(const struct router_registration *g, const struct router_pool *p,
                           const struct router_worker *w) {
    bool seen = p->seen_us > g->since_us + (int64_t)REGISTRATION_MARGIN_MS * 1000;
    return !g->labels_said && json_array_size(g->labels) && (!w || (seen && !is_marked(w)));
}

static void renew(struct router_registration *g, struct router_pool *p,
                  const struct router_worker *w, int64_t ttl) {
    struct kvr_bytes labels[KVR_MAX_LABELS];
    struct kvr_worker_call call = {.set = KVR_WORKER_TTL, .ttl = ttl};
    bool with_labels = may_say_labels(g, p, w), all = with_labels || !g->said_us;
    if (g->said_us < kvr_clock_us() - REGISTRATION_OWN_TURNS * ttl * 1000) all = true;
    if (all) {
        call.set |= KVR_WORKER_ADDR;
        if (g->ranks) call.set |= KVR_WORKER_RANKS;
        call.addr = kvr_text(g->url);
        call.ranks = g->ranks;
        // A module that knows no roles or labels takes engines without them.
        if (g->role != KVR_ROLE_BOTH) call.set |= KVR_WORKER_ROLE;
        if (g->capacity) call.set |= KVR_WORKER_CAPACITY;
        call.role = g->role;
        call.capacity = g->capacity;
    }
    if (with_labels) {
        call.set |= KVR_WORKER_LABELS;
        call.n_labels = put_labels(g, w, NULL, labels);
        call.labels = labels;
    }
    if (!say(g, p, &call)) return;
    g->said_us = g->own_us;
    g->labels_said |= with_labels;
}

static bool drain_worker(struct router_registration *g, struct router_pool *p,
                         const struct router_worker *w, int64_t ttl, const char *label) {
    struct kvr_bytes labels[KVR_MAX_LABELS];
    struct kvr_worker_call call = {.set = KVR_WORKER_STATE | KVR_WORKER_DRAIN | KVR_WORKER_TTL |
                                          KVR_WORKER_LABELS,
                                   .state = KVR_DRAINING,
                                   .drain = g->drain,
                                   .ttl = ttl,
                                   .n_labels = put_labels(g, w, label, labels),
                                   .labels = labels};
    kvr_log_line(KVR_LOG_INFO, "pool %s: worker %s is drained (%s)", p->options.name, g->name,
                 label);
    if (!say(g, p, &call)) return false;
    g->drained = true;
    return true;
}

static void make_ready(struct router_registration *g, struct router_pool *p,
                       const struct router_worker *w, int64_t ttl) {
    struct kvr_bytes labels[KVR_MAX_LABELS];
    struct kvr_worker_call call = {.set = KVR_WORKER_STATE | KVR_WORKER_TTL | KVR_WORKER_LABELS,
                                   .state = KVR_READY,
                                   .ttl = ttl,
                                   .n_labels = put_labels(g, w, NULL, labels),
                                   .labels = labels};
    kvr_log_line(KVR_LOG_INFO, "pool %s: worker %s is back", p->options.name, g->name);
    if (!say(g, p, &call)) return;
    g->returned = g->drained = false;
    g->labels_said = true;
}

// ---- The stages ----------------------------------------------------------------------------------

// When somebody last renewed it, as the pool says; 0: not known.
static int64_t renewed_us(const struct router_pool *p, const struct router_worker *w, int64_t ttl) {
    return w && w->ttl_left >= 0 ? p->seen_us + (w->ttl_left - ttl) * 1000 : 0;
}

static bool by_others(const struct router_registration *g, const struct router_pool *p,
                      const struct router_worker *w, int64_t ttl, int64_t since_us) {
    int64_t after = g->own_us > since_us ? g->own_us : since_us;
    return renewed_us(p, w, ttl) > after + (int64_t)REGISTRATION_MARGIN_MS * 1000;
}

// Somebody has deleted it. What makes it again by chance doesn't say all: a renewal makes a name without an address,
// and what engines say of themselves comes without labels.
static bool is_bare(const struct router_registration *g, const struct router_worker *w) {
    if (!w || !*w->addr) return true;
    for (size_t i = 0; !is_marked(w) && i < json_array_size(g->labels); i++)
        if (!has_key(w->labels, json_string_value(json_array_get(g->labels, i)))) return true;
    return false;
}

static void keep_renewed(struct router_registration *g, struct router_pool *p,
                         const struct router_worker *w, int64_t ttl) {
    int64_t now = kvr_clock_us(), last = renewed_us(p, w, ttl);
    if (g->own_us > last) last = g->own_us;
    bool due = now - last > (int64_t)((double)ttl / 3 * g->share * 1000);
    if (is_bare(g, w) && p->seen_us > g->own_us + (int64_t)REGISTRATION_MARGIN_MS * 1000) {
        g->said_us = 0;
        g->labels_said = false;
    }
    bool long_ago = g->said_us < now - REGISTRATION_OWN_TURNS * ttl * 1000;
    if (!g->said_us || due || long_ago || may_say_labels(g, p, w)) renew(g, p, w, ttl);
}

static void tick_present(struct router_registration *g, struct router_pool *p,
                         const struct router_worker *w, int64_t ttl) {
    bool seen = p->seen_us > g->own_us, drained = w && w->state == KVR_DRAINING;
    bool marked = drained && (g->returned ? is_marked(w) : router_label_is(w, mark_gone));
    if (w && (g->drained || (marked && (seen || g->returned))))
        make_ready(g, p, w, ttl);
    else if (w && p->seen_us > g->since_us + (int64_t)REGISTRATION_MARGIN_MS * 1000)
        g->returned = false;
    keep_renewed(g, p, w, ttl);
}

static void tick_leaving(struct router_registration *g, struct router_pool *p,
                         const struct router_worker *w, int64_t ttl) {
    if (w && w->state != KVR_DRAINING && p->seen_us > g->own_us)
        drain_worker(g, p, w, ttl, mark_leaving);
    else
        keep_renewed(g, p, w, ttl);
}

// Whether it was long under way, since Redis was slow, or this router: when somebody renewed the worker can't be said
// from it as closely as it must be.
static bool is_vague(const struct router_pool *p) {
    return p->seen_us - p->sent_us > (int64_t)REGISTRATION_MARGIN_MS * 500;
}

static bool tick_lost(struct router_registration *g, struct router_pool *p,
                      const struct router_worker *w, int64_t ttl) {
    int64_t patience = (ttl / 3 + REGISTRATION_MARGIN_MS) * 1000;
    if (w && is_vague(p)) return true;
    if (p->seen_us > g->since_us && (!w || by_others(g, p, w, ttl, g->since_us))) return false;
    if (!w || p->seen_us < g->since_us + patience) return true;
    if (w->state == KVR_DRAINING || drain_worker(g, p, w, ttl, mark_gone))
        set_stage(g, ROUTER_REGISTRATION_DRAINING);
    return true;
}

static bool tick_draining(struct router_registration *g, struct router_pool *p,
                          const struct router_worker *w, int64_t ttl) {
    int64_t now = kvr_clock_us();
    bool over = now > g->since_us + (g->drain + REGISTRATION_OVERTIME_MS) * 1000;
    // A list that was asked for before counts requests that came before.
    if (p->seen_us <= g->since_us + (int64_t)REGISTRATION_MARGIN_MS * 1000) return true;
    if (!w || (w->state == KVR_READY && !is_marked(w))) return false;
    if (w->requests && !over) {
        keep_renewed(g, p, w, ttl);
        return true;
    }
    kvr_log_line(KVR_LOG_INFO, "pool %s: worker %s is deleted%s", p->options.name, g->name,
                 w->requests ? ", with requests that haven't ended in time" : "");
    enum kvr_code code =
        kvr_client_worker_del_async(p->client, kvr_text(g->name), router_pool_registered, p);
    router_pool_count(p, code);
    return code != KVR_CODE_OK;
}

bool router_registration_tick(struct router_registration *g, struct router_pool *p, int64_t ttl) {
    bool gone = g->stage == ROUTER_REGISTRATION_LOST || g->stage == ROUTER_REGISTRATION_DRAINING;
    if (!p) return !gone;
    const struct router_worker *w = router_pool_worker(p, kvr_text(g->name));
    switch (g->stage) {
    case ROUTER_REGISTRATION_PRESENT:
        tick_present(g, p, w, ttl);
        return true;
    case ROUTER_REGISTRATION_LEAVING:
        tick_leaving(g, p, w, ttl);
        return true;
    case ROUTER_REGISTRATION_LOST:
        return tick_lost(g, p, w, ttl);
    case ROUTER_REGISTRATION_DRAINING:
        return tick_draining(g, p, w, ttl);
    }
    return true;
}
