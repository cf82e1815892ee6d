// SPDX-License-Identifier: Apache-2.0
// One run in virtual time; see fleet.h.
#include "fleet.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/memory.h"
#include "bench/common/progress.h"
#include "bench/common/random.h"
#include "bench/common/stop.h"
#include "queue.h"

enum due_kind {
    ARRIVES,  // a: request
    ASKED,    // a: request, b: engine to avoid
    GIVEN,    // a: request, b: engine
    REFUSED,  // a: request, b: engine
    STEP,     // a: engine, b: its life
    NEWS,     // a: request, b: enum news; its engine as of then
    CHANGED,  // p: struct change
    CALLED,   // p: struct call
    INCIDENT, // a: which
    RETURN,   // a: which incident is over
    NOTICED,  // a: engine, b: whether it is there
};

struct call {
    void (*call)(void *self, uint32_t a, uint32_t b);
    void *self;
};

struct worker {
    struct engine *engine; // NULL: not there
    uint32_t life;         // counts deaths: what a dead engine had planned doesn't happen
    bool stepping;
    uint64_t changes;
    struct model model; // as fast as this one is
    size_t blocks;
};

struct fleet {
    const struct run_plan *plan;
    const struct workload *load;
    struct stats *stats;
    struct queue queue;
    double now;
    unsigned workers; // those that are there or will be
    struct worker worker[MAX_WORKERS];
    size_t capacity[MAX_WORKERS];
    bool there[MAX_WORKERS]; // as routers know
    bool up[MAX_ROUTERS];    // routers
    double back[MAX_ROUTERS];
    uint32_t memory[MAX_ROUTERS]; // counts how often it has lost what it knew
    uint8_t *router_of;           // by request
    uint32_t *memory_of;          // by request: its router's memory when it chose
    uint32_t *follower,
        *sibling;          // by request: the first that waits for it; the next that does so, too
    size_t arrived;        // of those that are measured
    size_t done, left_out; // left_out: were to arrive when nobody does any more
    void *self;            // of the kind of router
    struct progress progress;
    bool broken;
};

static bool fail(struct fleet *f, const char *what, uint32_t which) {
    if (!f->broken) fprintf(stderr, "kvroute-sim: %s: %s (%u)\n", f->plan->title, what, which);
    f->broken = true;
    return false;
}

static void later(struct fleet *f, double seconds, enum due_kind kind, uint32_t a, uint32_t b,
                  void *p) {
    queue_put(&f->queue, f->now + seconds, kind, a, b, p);
}

// Routers are not all equally far from everything.
static double hop_of(const struct fleet *f, unsigned router) {
    return f->plan->hop * (0.5 + (router + 0.5) / f->plan->routers);
}

// ---- Engines -------------------------------------------------------------------------------------

static void begin_step(struct fleet *f, uint32_t w) {
    struct worker *x = &f->worker[w];
    const struct begun *begun;
    size_t n;
    double seconds;
    x->stepping = engine_begin(x->engine, &seconds, &begun, &n);
    for (size_t i = 0; i < n; i++) {
        f->stats->lives[begun[i].request].hits = begun[i].hits;
        if (f->stats->lives[begun[i].request].arrived < f->stats->began) continue;
        f->stats->hits += begun[i].hits;
        f->stats->loaded += begun[i].loaded;
        f->stats->blocks += f->load->requests[begun[i].request].blocks;
    }
    if (x->stepping) later(f, seconds, STEP, w, x->life, NULL);
}

static void *put(char **at, const void *from, size_t n, size_t width) {
    void *to = *at;
    if (n) memcpy(to, from, n * width);
    *at += n * width;
    return to;
}

static void publish(struct fleet *f, uint32_t w, const struct step *s) {
    if (!s->n_removed && !s->n_stored && !s->n_moved) return;
    uint64_t number = ++f->worker[w].changes;
    if (!f->plan->kind->cached) return;
    struct change *c =
        memory_take(1, sizeof *c + s->n_removed * sizeof *s->removed +
                           s->n_stored * sizeof *s->stored + s->n_moved * sizeof *s->moved);
    char *at = (char *)(c + 1); // the widest first
    c->worker = w;
    c->number = number;
    c->n_removed = s->n_removed;
    c->n_stored = s->n_stored;
    c->n_moved = s->n_moved;
    c->moved = put(&at, s->moved, s->n_moved, sizeof *s->moved);
    c->removed = put(&at, s->removed, s->n_removed, sizeof *s->removed);
    c->stored = put(&at, s->stored, s->n_stored, sizeof *s->stored);
    later(f, f->plan->delay, CHANGED, w, 0, c);
}

static void tell(struct fleet *f, uint32_t request, enum news what) {
    double hop = f->plan->hop;
    if (f->plan->kind->remote) hop += hop_of(f, f->router_of[request]);
    later(f, hop, NEWS, request, what, NULL);
}

// Whoever waited for the request's end goes on.
static void follow(struct fleet *f, uint32_t request) {
    for (uint32_t r = f->follower[request]; r != NO_REQUEST; r = f->sibling[r])
        later(f, f->load->requests[r].delay / f->plan->speed, ARRIVES, r, 0, NULL);
}

// The gap between two tokens of a request that was preempted lasts until it is resumed.
static void preempted(struct fleet *f, const struct step *s) {
    for (size_t i = 0; i < s->n_preempted; i++) {
        f->stats->lives[s->preempted[i]].paused = f->now - s->seconds;
        if (stats_within(f->stats, f->now)) f->stats->preempted++;
    }
    for (size_t i = 0; i < s->n_resumed && stats_within(f->stats, f->now); i++)
        spread_add(&f->stats->tbt, f->now - f->stats->lives[s->resumed[i]].paused, 1);
}

static void end_step(struct fleet *f, uint32_t w) {
    struct step s;
    engine_end(f->worker[w].engine, &s);
    if (stats_within(f->stats, f->now)) {
        f->stats->work[w] += s.work;
        if (s.decoding) spread_add(&f->stats->tbt, s.seconds, s.decoding);
    }
    preempted(f, &s);
    for (size_t i = 0; i < s.n_first; i++) {
        f->stats->lives[s.first[i]].first = f->now;
        tell(f, s.first[i], PREFILLED);
    }
    for (size_t i = 0; i < s.n_done; i++) {
        struct life *l = &f->stats->lives[s.done[i]];
        if (l->done >= 0 || l->first < 0) fail(f, "a request ended out of turn", s.done[i]);
        l->done = f->now;
        f->done++;
        tell(f, s.done[i], DONE);
        follow(f, s.done[i]);
    }
    f->stats->ended = f->now;
    publish(f, w, &s);
    begin_step(f, w);
}

static void open_engine(struct fleet *f, uint32_t w) {
    f->worker[w].engine =
        engine_new(&f->worker[w].model, f->load, f->worker[w].blocks, f->plan->host);
    f->there[w] = true;
}

// ---- Requests ------------------------------------------------------------------------------------

// The router a request goes to first, or the next one that is up. NOBODY: none is.
static uint32_t find_router(const struct fleet *f, uint32_t request) {
    unsigned n = f->plan->routers;
    uint32_t key = f->plan->together ? f->load->requests[request].session : request;
    uint32_t r = (uint32_t)(random_mix(f->plan->seed * 0x9e3779b9u + key) % n);
    for (unsigned i = 0; i < n; i++, r = (r + 1) % n)
        if (f->up[r]) return r;
    return NOBODY;
}

// Plans the next arrival, from this request on, of those that wait for no other.
static void plan_arrival(struct fleet *f, size_t request) {
    const struct workload *load = f->load;
    while (request < load->n && load->requests[request].after != NO_REQUEST)
        request++;
    if (request < load->n)
        queue_put(&f->queue, load->requests[request].at / f->plan->speed, ARRIVES,
                  (uint32_t)request, 0, NULL);
}

// The request comes too late to be begun, and so do all that wait for it.
static void leave_out(struct fleet *f, uint32_t request) {
    f->left_out++;
    for (uint32_t r = f->follower[request]; r != NO_REQUEST; r = f->sibling[r])
        leave_out(f, r);
}

static void arrives(struct fleet *f, uint32_t request) {
    struct life *l = &f->stats->lives[request];
    if (l->arrived < 0) {
        if (f->load->requests[request].after == NO_REQUEST) plan_arrival(f, request + 1u);
        if (f->now >= f->stats->until) {
            leave_out(f, request);
            return;
        }
        l->arrived = f->now;
        if (f->now >= f->stats->began && ++f->arrived == f->plan->most)
            f->stats->until = nextafter(f->now, INFINITY);
    }
    uint32_t r = find_router(f, request);
    if (r == NOBODY) { // it waits at the door
        double back = f->back[0];
        for (unsigned i = 1; i < f->plan->routers; i++)
            if (f->back[i] < back) back = f->back[i];
        queue_put(&f->queue, back, ARRIVES, request, 0, NULL);
        return;
    }
    f->router_of[request] = (uint8_t)r;
    later(f, f->plan->kind->remote ? hop_of(f, r) : 0, ASKED, request, NOBODY, NULL);
}

static void asked(struct fleet *f, uint32_t request, uint32_t avoid) {
    unsigned r = f->router_of[request];
    uint32_t w = f->plan->kind->choose(f->self, r, request, avoid);
    if (w >= f->workers) {
        fail(f, "no engine was chosen for a request", request);
        return;
    }
    f->memory_of[request] = f->memory[r];
    later(f, f->plan->hop + (f->plan->kind->remote ? hop_of(f, r) : 0), GIVEN, request, w, NULL);
}

static void given(struct fleet *f, uint32_t request, uint32_t w) {
    struct life *l = &f->stats->lives[request];
    struct worker *x = &f->worker[w];
    l->worker = w;
    if (l->tries++ == 1) f->stats->retried++;
    if (!x->engine) {
        later(f, f->plan->hop, REFUSED, request, w, NULL);
        return;
    }
    engine_add(x->engine, request);
    if (!x->stepping) begin_step(f, w);
}

// Whether a router still knows of a request that it chose for.
static bool remembers(const struct fleet *f, uint32_t request) {
    return f->plan->kind->remote || f->memory_of[request] == f->memory[f->router_of[request]];
}

static void refused(struct fleet *f, uint32_t request, uint32_t w) {
    unsigned r = f->router_of[request];
    bool up = f->up[r] || f->plan->kind->remote;
    if (up && remembers(f, request)) f->plan->kind->news(f->self, r, request, w, FAILED);
    if (!f->up[r]) {
        arrives(f, request); // another router's now
        return;
    }
    later(f, 0, ASKED, request, w, NULL);
}

static void news(struct fleet *f, uint32_t request, enum news what) {
    unsigned r = f->router_of[request];
    if (!remembers(f, request)) return;
    if (!f->up[r] && !f->plan->kind->remote) { // it hears of it when it is back
        queue_put(&f->queue, f->back[r], NEWS, request, what, NULL);
        return;
    }
    f->plan->kind->news(f->self, r, request, f->stats->lives[request].worker, what);
}

// ---- Incidents -----------------------------------------------------------------------------------

static void worker_dies(struct fleet *f, uint32_t w) {
    struct worker *x = &f->worker[w];
    if (!x->engine) return;
    size_t n = engine_requests(x->engine, NULL);
    uint32_t *requests = memory_take(n, sizeof *requests);
    engine_requests(x->engine, requests);
    for (size_t i = 0; i < n; i++) {
        f->stats->lives[requests[i]].first = -1; // all over again
        later(f, f->plan->hop, REFUSED, requests[i], w, NULL);
    }
    free(requests);
    engine_free(x->engine);
    x->engine = NULL;
    x->life++;
    x->stepping = false;
    later(f, f->plan->notice, NOTICED, w, false, NULL);
}

static void worker_comes(struct fleet *f, uint32_t w) {
    open_engine(f, w);
    later(f, 0, NOTICED, w, true, NULL);
}

static void incident(struct fleet *f, uint32_t which) {
    const struct incident *i = &f->plan->incidents[which];
    const struct router *kind = f->plan->kind;
    switch (i->kind) {
    case ROUTER_DIES:
        if (i->which >= f->plan->routers) return;
        f->up[i->which] = false;
        f->back[i->which] = f->now + i->lasts;
        break;
    case WORKER_DIES:
        if (i->which >= f->plan->workers) return;
        worker_dies(f, i->which);
        if (i->lasts <= 0) return; // for good
        break;
    case WORKERS_JOIN:
        for (uint32_t k = 0; k < i->which && f->workers < MAX_WORKERS; k++)
            worker_comes(f, f->workers++);
        return;
    case SERVER_DIES:
        if (kind->server) kind->server(f->self, false, i->lost);
        break;
    }
    later(f, i->lasts, RETURN, which, 0, NULL);
}

static void returns(struct fleet *f, uint32_t which) {
    const struct incident *i = &f->plan->incidents[which];
    const struct router *kind = f->plan->kind;
    switch (i->kind) {
    case ROUTER_DIES:
        f->up[i->which] = true;
        if (!i->lost) return;
        f->memory[i->which]++;
        if (kind->lost) kind->lost(f->self, i->which);
        return;
    case WORKER_DIES:
        worker_comes(f, i->which);
        return;
    case WORKERS_JOIN:
        return;
    case SERVER_DIES:
        if (kind->server) kind->server(f->self, true, i->lost);
        return;
    }
}

static void noticed(struct fleet *f, uint32_t w, bool there) {
    f->there[w] = there;
    if (f->plan->kind->worker) f->plan->kind->worker(f->self, w, there);
}

// ---- The run -------------------------------------------------------------------------------------

static void happen(struct fleet *f, const struct due *d) {
    struct call *c;
    f->now = d->at;
    switch ((enum due_kind)d->kind) {
    case ARRIVES:
        arrives(f, d->a);
        return;
    case ASKED:
        asked(f, d->a, d->b);
        return;
    case GIVEN:
        given(f, d->a, d->b);
        return;
    case REFUSED:
        refused(f, d->a, d->b);
        return;
    case STEP:
        if (f->worker[d->a].life == d->b) end_step(f, d->a);
        return;
    case NEWS:
        news(f, d->a, (enum news)d->b);
        return;
    case CHANGED:
        if (f->there[d->a]) f->plan->kind->changed(f->self, d->p);
        free(d->p);
        return;
    case CALLED:
        c = d->p;
        c->call(c->self, d->a, d->b);
        free(c);
        return;
    case INCIDENT:
        incident(f, d->a);
        return;
    case RETURN:
        returns(f, d->a);
        return;
    case NOTICED:
        noticed(f, d->a, d->b);
        return;
    }
}

static bool check(struct fleet *f) {
    for (uint32_t i = 0; i < f->load->n; i++)
        if (f->stats->lives[i].arrived >= 0 && f->stats->lives[i].done < 0)
            return fail(f, "a request was lost", i);
    if (f->done + f->left_out < f->load->n) return fail(f, "requests never arrived", 0);
    for (uint32_t w = 0; w < f->workers; w++) {
        if (!f->worker[w].engine) continue;
        const char *wrong = engine_validate(f->worker[w].engine);
        if (wrong) return fail(f, wrong, w);
        if (engine_requests(f->worker[w].engine, NULL)) return fail(f, "an engine goes on", w);
    }
    return !f->broken;
}

static bool run(struct fleet *f) {
    const struct run_plan *plan = f->plan;
    struct due d;
    f->now = f->load->requests[0].at / plan->speed;
    f->stats->began = f->now + plan->from;
    f->stats->until = plan->until > 0 ? f->now + plan->until : INFINITY;
    plan_arrival(f, 0);
    for (uint32_t i = 0; i < plan->n_incidents; i++)
        later(f, plan->incidents[i].at, INCIDENT, i, 0, NULL);
    progress_begin(&f->progress, plan->title, f->load->n);
    for (uint64_t n = 0; f->done + f->left_out < f->load->n && !f->broken; n++) {
        if (n % 4096 == 0) {
            if (stop_asked()) return false;
            progress_show(&f->progress, f->done + f->left_out,
                          f->stats->blocks ? 100 * (double)f->stats->hits / (double)f->stats->blocks
                                           : 0);
        }
        if (!queue_take(&f->queue, &d)) break;
        happen(f, &d);
    }
    progress_end(&f->progress);
    return check(f);
}

// What is still to happen when the last request has ended.
static void drop_rest(struct fleet *f) {
    struct due d;
    while (queue_take(&f->queue, &d))
        free(d.p);
    queue_free(&f->queue);
}

static void plan_engines(struct fleet *f) {
    const struct run_plan *plan = f->plan;
    for (unsigned w = 0; w < MAX_WORKERS; w++) {
        struct engine_plan e = {*plan->model, 1, plan->blocks};
        if (plan->n_engines) e = plan->engines[w % plan->n_engines];
        model_speed(&e.model, e.speed);
        f->worker[w].model = e.model;
        f->worker[w].blocks = f->capacity[w] = e.blocks;
    }
}

// Whether every engine has room for every request.
static bool all_fit(struct fleet *f, unsigned workers) {
    size_t least = f->worker[0].blocks;
    for (unsigned w = 1; w < workers; w++)
        if (f->worker[w].blocks < least) least = f->worker[w].blocks;
    for (uint32_t i = 0; i < f->load->n; i++)
        if (!engine_fits(f->load, i, least))
            return fail(f, "an engine's cache has no room for a request", i);
    return true;
}

// Who waits for whom, in the order of the requests.
static void link_followers(struct fleet *f) {
    size_t n = f->load->n;
    f->follower = memory_take(n, sizeof *f->follower);
    f->sibling = memory_take(n, sizeof *f->sibling);
    memset(f->follower, 0xff, n * sizeof *f->follower);
    for (size_t i = n; i-- > 0;) {
        uint32_t after = f->load->requests[i].after;
        f->sibling[i] = NO_REQUEST;
        if (after == NO_REQUEST) continue;
        f->sibling[i] = f->follower[after];
        f->follower[after] = (uint32_t)i;
    }
}

bool fleet_run(const struct run_plan *plan, struct stats *out) {
    static const size_t untold[MAX_WORKERS]; // 0: unknown
    struct fleet *f = memory_take(1, sizeof *f);
    unsigned workers = plan->workers;
    for (size_t i = 0; i < plan->n_incidents; i++)
        if (plan->incidents[i].kind == WORKERS_JOIN) workers += plan->incidents[i].which;
    if (workers > MAX_WORKERS) workers = MAX_WORKERS;
    stats_open(out, plan->load->n, workers);
    *f = (struct fleet){.plan = plan, .load = plan->load, .stats = out, .workers = plan->workers};
    f->router_of = memory_take(plan->load->n, sizeof *f->router_of);
    f->memory_of = memory_take(plan->load->n, sizeof *f->memory_of);
    link_followers(f);
    plan_engines(f);
    for (unsigned r = 0; r < plan->routers; r++)
        f->up[r] = true;
    for (uint32_t w = 0; w < plan->workers; w++)
        open_engine(f, w);
    bool ok = plan->load->n > 0 && all_fit(f, workers);
    if (ok) {
        struct world w = {
            .load = plan->seen ? plan->seen : plan->load,
            .model = plan->model,
            .workers = workers,
            .routers = plan->routers,
            .blocks = plan->untold ? 0 : f->capacity[0],
            .capacity = plan->untold ? untold : f->capacity,
            .there = f->there,
            .now = &f->now,
            .seed = plan->seed,
            .rule = plan->rule,
            .named = plan->named,
            .words = plan->words,
            .sync = plan->sync,
            .age = plan->age,
            .affinity = plan->affinity,
            .fixed = plan->fixed ? plan->fixed : &fixed_default,
            .shared = plan->shared,
            .fleet = f,
        };
        f->self = plan->kind->open(&w);
        ok = run(f);
        plan->kind->close(f->self);
    }
    drop_rest(f);
    for (unsigned w = 0; w < f->workers; w++)
        engine_free(f->worker[w].engine);
    free(f->router_of);
    free(f->memory_of);
    free(f->follower);
    free(f->sibling);
    free(f);
    return ok;
}

// ---- For kinds of routers ------------------------------------------------------------------------

void fleet_later(struct fleet *f, double seconds, void (*call)(void *self, uint32_t a, uint32_t b),
                 void *self, uint32_t a, uint32_t b) {
    struct call *c = memory_take(1, sizeof *c);
    *c = (struct call){call, self};
    later(f, seconds, CALLED, a, b, c);
}

void fleet_predicted(struct fleet *f, uint32_t request, double ms) {
    struct life *l = &f->stats->lives[request];
    l->chosen = f->now;
    l->predicted = ms < 0 ? -1 : ms / 1000;
}

struct engine_load fleet_load(const struct fleet *f, uint32_t worker) {
    struct engine *e = f->worker[worker].engine;
    return e ? engine_load(e) : (struct engine_load){0};
}

const struct kv *fleet_kv(const struct fleet *f, uint32_t worker, uint64_t *number) {
    struct engine *e = f->worker[worker].engine;
    *number = f->worker[worker].changes;
    return e ? engine_kv(e) : NULL;
}

const struct host *fleet_host(const struct fleet *f, uint32_t worker) {
    struct engine *e = f->worker[worker].engine;
    return e ? engine_host(e) : NULL;
}
