// SPDX-License-Identifier: Apache-2.0
#include "router_problems.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/router/pools/router_circuit.h"
#include "client/router/pools/router_found.h"
#include "client/router/pools/router_neighbours.h"
#include "client/router/pools/router_pools.h"
#include "client/router/prompt/router_json.h"
#include "client/router/proxy/router_proxy.h"
#include "client/router/router.h"
#include "client/router/router_totals.h"

enum { PROBLEM_TEXT = 1000, PROBLEM_LATELY_MS = 60000, PROBLEM_SOURCE_MS = 5000 };

struct problem_list {
    const struct router *router;
    json_t *all;
    int64_t now;
    bool several; // pools: then it is said which
};

struct problem {
    const char *level, *what;
    const struct router_pool *pool; // NULL: of this router
    const char *worker;             // "": of none
    int64_t since_us;               // 0: not known
};

static void add(struct problem_list *l, const struct problem *p, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void add(struct problem_list *l, const struct problem *p, const char *format, ...) {
    char text[PROBLEM_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(
        l->all, json_pack("{s:s,s:s,s:s,s:o,s:I,s:o}", "level", p->level, "what", p->what, "pool",
                          p->pool ? p->pool->options.name : "", "worker",
                          router_json_text(kvr_text(p->worker ? p->worker : "")), "since_ms",
                          (json_int_t)(p->since_us ? (l->now - p->since_us) / 1000 : -1), "text",
                          router_json_text(kvr_text(text))));
}

// " of pool x", where there are several.
static const char *of_pool(const struct problem_list *l, const struct router_pool *p, char *out,
                           size_t size) {
    snprintf(out, size, "%s%s", l->several ? " of pool " : "", l->several ? p->options.name : "");
    return out;
}

static const char *plural(size_t n) {
    return n == 1 ? "" : "s";
}

// ---- Workers -------------------------------------------------------------------------------------

static bool is_left_out(const struct router *r, const struct router_pool *p,
                        const struct router_worker *w) {
    return router_circuit_is_open(router_proxy_circuits(r->proxy), p, kvr_text(w->name));
}

static bool is_open(const struct router *r, const struct router_pool *p,
                    const struct router_worker *w) {
    (void)r;
    (void)p;
    return w->state != KVR_EXPIRED && w->circuit == KVR_OPEN;
}

static bool is_tried_again(const struct router *r, const struct router_pool *p,
                           const struct router_worker *w) {
    (void)r;
    (void)p;
    return w->state != KVR_EXPIRED && w->circuit == KVR_HALF_OPEN;
}

static bool is_expired(const struct router *r, const struct router_pool *p,
                       const struct router_worker *w) {
    (void)r;
    (void)p;
    return w->state == KVR_EXPIRED;
}

static bool is_silent_here(const struct router *r, const struct router_pool *p,
                           const struct router_worker *w) {
    return w->state != KVR_EXPIRED && w->circuit == KVR_CLOSED && is_left_out(r, p, w);
}

static bool is_failing(const struct router *r, const struct router_pool *p,
                       const struct router_worker *w) {
    return w->state != KVR_EXPIRED && w->circuit == KVR_CLOSED && w->failures &&
           !is_left_out(r, p, w);
}

static bool is_leaving(const struct router *r, const struct router_pool *p,
                       const struct router_worker *w) {
    (void)r;
    (void)p;
    return w->state == KVR_DRAINING;
}

static const struct worker_trouble {
    bool (*holds)(const struct router *r, const struct router_pool *p,
                  const struct router_worker *w);
    const char *level, *what, *one, *more;
    bool dated; // since the worker's last change
} worker_troubles[] = {
    {is_open, "bad", "circuit_open",
     "doesn't answer: its circuit is open, no router sends it anything", "don't answer either",
     true},
    {is_silent_here, "bad", "no_answer", "doesn't answer this router, which leaves it out",
     "don't answer this router either", false},
    {is_expired, "bad", "expired", "has expired: its heartbeat has stopped", "have expired, too",
     true},
    {is_tried_again, "warning", "half_open", "has failed and is being tried again",
     "are being tried again, too", true},
    {is_failing, "warning", "failing", "failed its last call", "failed their last call, too",
     false},
    {is_leaving, "note", "leaving", "is leaving: it finishes what it has and gets nothing new",
     "are leaving, too", true},
};

static void add_workers(struct problem_list *l, const char *level) {
    char where[160];
    for (size_t k = 0; k < sizeof worker_troubles / sizeof *worker_troubles; k++) {
        const struct worker_trouble *t = &worker_troubles[k];
        if (strcmp(t->level, level) != 0) continue;
        for (const struct router_pool *p = router_pools_first(l->router->pools); p; p = p->next) {
            struct problem one = {t->level, t->what, p, "", 0};
            size_t n = 0;
            of_pool(l, p, where, sizeof where);
            for (size_t i = 0; i < p->n_workers; i++) {
                const struct router_worker *w = &p->workers[i];
                if (!t->holds(l->router, p, w) || ++n > ROUTER_PROBLEMS_MAX_WORKERS) continue;
                one.worker = w->name;
                one.since_us = t->dated ? w->here.changed_us : 0;
                add(l, &one, "Worker %s%s %s.", w->name, where, t->one);
            }
            if (n <= ROUTER_PROBLEMS_MAX_WORKERS) continue;
            one.worker = "";
            one.since_us = 0;
            n -= ROUTER_PROBLEMS_MAX_WORKERS;
            add(l, &one, "%zu more worker%s%s %s.", n, plural(n), where, t->more);
        }
    }
}

static bool may_be_chosen(const struct router *r, const struct router_pool *p,
                          const struct router_worker *w) {
    return w->state == KVR_READY && w->circuit == KVR_CLOSED && !is_left_out(r, p, w);
}

static size_t ready_workers(const struct router *r, const struct router_pool *p) {
    size_t n = 0;
    for (size_t i = 0; i < p->n_workers; i++)
        n += may_be_chosen(r, p, &p->workers[i]);
    return n;
}

// ---- Pools ---------------------------------------------------------------------------------------

static void add_empty_pools(struct problem_list *l) {
    for (const struct router_pool *p = router_pools_first(l->router->pools); p; p = p->next) {
        const char *name = p->options.name;
        struct problem none = {"bad", "no_workers", p, "", 0},
                       idle = {"bad", "none_ready", p, "", 0};
        if (!p->n_workers)
            add(l, &none, "Pool %s has no workers.", name);
        else if (!ready_workers(l->router, p))
            add(l, &idle, "Pool %s: none of its %zu worker%s is ready.", name, p->n_workers,
                plural(p->n_workers));
    }
}

static void add_refusing_pools(struct problem_list *l) {
    char where[160];
    for (const struct router_pool *p = router_pools_first(l->router->pools); p; p = p->next) {
        const char *why = router_pool_trouble(p);
        struct problem one = {"bad", router_pool_degraded(p) ? "redis_away" : "redis_refuses", p,
                              "", p->trouble_us};
        if (!why) continue;
        of_pool(l, p, where, sizeof where);
        if (router_pool_degraded(p))
            add(l, &one, "Redis%s is away%s%s%s: this router chooses alone, by what it knew last.",
                where, *p->said ? " (" : "", p->said, *p->said ? ")" : "");
        else if (p->seen_us)
            add(l, &one, "Redis%s refuses (%s): this router chooses alone, by what it knew last.",
                where, why);
        else
            add(l, &one, "Pool %s has not been seen yet: %s.", p->options.name,
                *p->said ? p->said : why);
    }
}

// That somebody waits is what a queue is for; that it doesn't empty in time, with the instances there are, needs
// looking after.
static void add_queues(struct problem_list *l, const char *level) {
    for (const struct router_pool *p = router_pools_first(l->router->pools); p; p = p->next) {
        const struct router_queue *q = &p->queue;
        struct problem waiting = {"note", "waiting", p, "", q->since_us},
                       wanted = {"warning", "instances_wanted", p, "", q->since_us};
        if (!q->since_us || router_pool_degraded(p)) continue;
        bool late = q->wanted && l->now - q->since_us > p->scale_target * 1000;
        if (late != !strcmp(level, "warning")) continue;
        if (late)
            add(l, &wanted, "Pool %s: requests wait for longer than scale_target.",
                p->options.name);
        else
            add(l, &waiting, "Pool %s: requests wait in its queue.", p->options.name);
    }
}

static void add_failures(struct problem_list *l) {
    struct router_minutes_figures steps[ROUTER_MINUTES_STEPS];
    enum { LATELY = PROBLEM_LATELY_MS / ROUTER_MINUTES_STEP_MS };
    size_t n = router_totals_minutes(l->router, l->now, steps);
    unsigned long long all = 0, failed = 0;
    for (size_t i = n > LATELY ? n - LATELY : 0; i < n; i++) {
        all += steps[i].requests;
        failed += steps[i].failed;
    }
    struct problem one = {failed * 100 >= all ? "bad" : "warning", "failed_requests", NULL, "", 0};
    if (failed)
        add(l, &one, "%llu of %llu request%s in the last minute failed here.", failed, all,
            plural((size_t)all));
}

// One try that fails is nothing: the next one is soon.
static void add_sources(struct problem_list *l) {
    struct router_found_trouble t;
    for (size_t i = 0; router_found_trouble(l->router->found, i, &t); i++) {
        struct problem one = {"warning", "discovery_failing", NULL, "", t.since_us};
        if (l->now - t.since_us < (int64_t)PROBLEM_SOURCE_MS * 1000) continue;
        add(l, &one,
            "Engines can't be looked for at %.300s: %s. The %zu engine%s known there stay.",
            t.source, t.text, t.engines, plural(t.engines));
    }
}

// ---- Redis ---------------------------------------------------------------------------------------

static bool knows_replicas(const struct router_pool *p) {
    return p->neighbours && p->neighbours->server_us && p->neighbours->server == KVR_CODE_OK &&
           !router_pool_degraded(p);
}

static size_t replicas_listed(const struct router_neighbours *b) {
    return b->n_replicas < ROUTER_MAX_REPLICAS ? b->n_replicas : ROUTER_MAX_REPLICAS;
}

static void add_replicas(struct problem_list *l) {
    char where[160];
    for (const struct router_pool *p = router_pools_first(l->router->pools); p; p = p->next) {
        const struct router_neighbours *b = p->neighbours;
        if (!knows_replicas(p)) continue;
        struct problem fewer = {"warning", "replica_lost", p, "", b->fewer_us},
                       behind = {"warning", "replica_behind", p, "", 0};
        of_pool(l, p, where, sizeof where);
        if (b->n_replicas < b->most_replicas)
            add(l, &fewer, "Redis%s has %zu replica%s left of %zu.", where, b->n_replicas,
                plural(b->n_replicas), b->most_replicas);
        for (size_t i = 0; i < replicas_listed(b); i++) {
            const struct router_replica *o = &b->replicas[i];
            if (!router_replica_is_behind(o)) continue;
            if (o->online)
                add(l, &behind, "Replica %s%s is behind: %lld kB, last heard %lld s ago.",
                    o->address, where, (long long)o->behind >> 10, (long long)o->lag);
            else
                add(l, &behind, "Replica %s%s isn't in step yet: it is being sent all data.",
                    o->address, where);
        }
    }
}

static void add_lonely(struct problem_list *l) {
    char where[160];
    for (const struct router_pool *p = router_pools_first(l->router->pools); p; p = p->next) {
        struct problem one = {"note", "no_replica", p, "", 0};
        if (knows_replicas(p) && !p->neighbours->most_replicas)
            add(l, &one, "Redis%s has no replica that could take its place.",
                of_pool(l, p, where, sizeof where));
    }
}

// ---- All of it -----------------------------------------------------------------------------------

static struct problem_list begin(const struct router *r) {
    const struct router_pool *first = router_pools_first(r->pools);
    return (struct problem_list){r, json_array(), kvr_clock_us(), first && first->next};
}

json_t *router_problems(const struct router *r) {
    struct problem_list l = begin(r);
    static const struct problem leaving = {"warning", "draining", NULL, "", 0};
    add_empty_pools(&l);
    add_refusing_pools(&l);
    add_failures(&l);
    add_workers(&l, "bad");
    if (r->draining)
        add(&l, &leaving,
            "This router is leaving: it finishes open requests and takes no new ones.");
    add_workers(&l, "warning");
    add_queues(&l, "warning");
    add_sources(&l);
    add_replicas(&l);
    add_workers(&l, "note");
    add_queues(&l, "note");
    add_lonely(&l);
    return l.all;
}

static void say(json_t *all, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void say(json_t *all, const char *format, ...) {
    char text[PROBLEM_TEXT];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    json_array_append_new(all, router_json_text(kvr_text(text)));
}

static void say_redis(json_t *all, const struct router_pool *p, const char *where) {
    struct kvr_client_stats st;
    kvr_client_stats(p->client, &st);
    const struct router_neighbours *b = p->neighbours;
    size_t behind = 0;
    if (!st.connected) return;
    if (!knows_replicas(p)) {
        say(all, "Redis%s at %s answers; replicas are not known.", where, st.primary);
        return;
    }
    for (size_t i = 0; i < replicas_listed(b); i++)
        behind += router_replica_is_behind(&b->replicas[i]);
    if (!b->n_replicas)
        say(all, "Redis%s at %s answers, without a replica.", where, st.primary);
    else
        say(all, "Redis%s at %s answers, %zu of %zu replica%s in step.", where, st.primary,
            b->n_replicas - behind, b->n_replicas, plural(b->n_replicas));
}

json_t *router_problems_checked(const struct router *r) {
    struct problem_list l = begin(r);
    char where[160];
    for (const struct router_pool *p = router_pools_first(r->pools); p; p = p->next) {
        const struct router_neighbours *b = p->neighbours;
        of_pool(&l, p, where, sizeof where);
        say(l.all, "%zu of %zu worker%s%s can be chosen.", ready_workers(r, p), p->n_workers,
            plural(p->n_workers), where);
        say_redis(l.all, p, where);
        if (!router_pool_degraded(p) && b && b->list_us && b->list == KVR_CODE_OK && !b->crowded)
            say(l.all, "%zu router%s at work%s.", b->n_names, b->n_names == 1 ? " is" : "s are",
                where);
    }
    return l.all;
}
