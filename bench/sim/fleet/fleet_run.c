// SPDX-License-Identifier: Apache-2.0
// One run in virtual time; see fleet_run.h.
#include "fleet_run.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "bench/common/bench_progress.h"
#include "client/common/random.h"
#include "transfers.h"

struct sim_worker {
    struct sim_engine *engine; // NULL: not there
    uint32_t deaths;           // how often it died: what a dead engine had planned doesn't happen
    bool stepping;
    uint64_t changes;
    struct sim_model model; // as fast as this one is
    size_t blocks;
};

struct sim_fleet {
    const struct sim_plan *plan;
    const struct bench_workload *load;
    struct sim_stats *stats;
    struct sim_queue queue;
    double now;
    unsigned workers; // those that are there or will be
    struct sim_worker worker[SIM_MAX_WORKERS];
    size_t capacity[SIM_MAX_WORKERS];
    bool there[SIM_MAX_WORKERS]; // as routers know
    enum kvr_role role[SIM_MAX_WORKERS];
    struct sim_links links;
    struct sim_pair *pair;    // by request
    bool up[SIM_MAX_ROUTERS]; // routers
    double back[SIM_MAX_ROUTERS];
    uint32_t memory[SIM_MAX_ROUTERS]; // counts how often it has lost what it knew
    uint8_t *router_of;               // by request
    uint32_t *memory_of;              // by request: its router's memory when it chose
    uint32_t *follower,
        *sibling;          // by request: the first that waits for it; the next that does so, too
    size_t arrived;        // of those that are measured
    size_t done, left_out; // left_out: were to arrive when nobody does any more
    void *self;            // of the kind of router
    struct bench_progress progress;
    bool broken;
};

// What can happen, each with two numbers.
static sim_event_call arrives, // request
    is_asked,                  // request; engine to avoid
    is_given,                  // request; engine
    is_refused,                // request; engine
    is_passed_on,              // request; its try
    transfer_ends,             // likewise
    lease_ends,                // likewise
    wakes,                     // engine; its deaths
    step_ends,                 // engine; its deaths
    router_hears,              // request; enum sim_news. Its engine as of then
    incident_begins,           // which
    incident_ends,             // which
    is_noticed;                // engine; whether it is there

static bool fail(struct sim_fleet *f, const char *what, uint32_t which) {
    if (!f->broken) fprintf(stderr, "kvroute-sim: %s: %s (%u)\n", f->plan->title, what, which);
    f->broken = true;
    return false;
}

// What happens is a function of the fleet and two numbers.
static void later(struct sim_fleet *f, double seconds, sim_event_call *call, uint32_t a,
                  uint32_t b) {
    sim_queue_put(&f->queue, f->now + seconds, call, f, a, b);
}

// Routers are not all equally far from everything.
static double hop_of(const struct sim_fleet *f, unsigned router) {
    return f->plan->hop * (0.5 + (router + 0.5) / f->plan->routers);
}

// ---- Engines -------------------------------------------------------------------------------------

static void begin_transfer(struct sim_fleet *f, uint32_t w, const struct sim_begun *begun);

static void begin_step(struct sim_fleet *f, uint32_t w) {
    struct sim_worker *x = &f->worker[w];
    const struct sim_begun *begun;
    size_t n;
    double seconds;
    x->stepping = sim_engine_begin(x->engine, &seconds, &begun, &n);
    for (size_t i = 0; i < n; i++) {
        if (begun[i].part == SIM_ANSWER) {
            begin_transfer(f, w, &begun[i]);
            continue;
        }
        f->stats->outcomes[begun[i].request].hits = begun[i].hits;
        if (f->stats->outcomes[begun[i].request].arrived < f->stats->began) continue;
        f->stats->hits += begun[i].hits;
        f->stats->loaded += begun[i].loaded;
        f->stats->blocks += f->load->requests[begun[i].request].blocks;
    }
    if (x->stepping) later(f, seconds, step_ends, w, x->deaths);
}

static void *put(char **at, const void *from, size_t n, size_t width) {
    void *to = *at;
    if (n) memcpy(to, from, n * width);
    *at += n * width;
    return to;
}

static void change_is_known(void *self, uint32_t a, uint32_t b) {
    struct sim_change *c = self;
    struct sim_fleet *f = c->fleet;
    (void)a, (void)b;
    if (f->there[c->worker]) f->plan->kind->on->changed(f->self, c);
    free(c);
}

static void publish(struct sim_fleet *f, uint32_t w, const struct sim_step *s) {
    if (!s->n_removed && !s->n_stored && !s->n_moved) return;
    uint64_t number = ++f->worker[w].changes;
    if (!f->plan->kind->cached) return;
    struct sim_change *c =
        bench_calloc(1, sizeof *c + s->n_removed * sizeof *s->removed +
                            s->n_stored * sizeof *s->stored + s->n_moved * sizeof *s->moved);
    char *at = (char *)(c + 1); // the widest first
    c->fleet = f;
    c->worker = w;
    c->number = number;
    c->n_removed = s->n_removed;
    c->n_stored = s->n_stored;
    c->n_moved = s->n_moved;
    c->moved = put(&at, s->moved, s->n_moved, sizeof *s->moved);
    c->removed = put(&at, s->removed, s->n_removed, sizeof *s->removed);
    c->stored = put(&at, s->stored, s->n_stored, sizeof *s->stored);
    sim_queue_put(&f->queue, f->now + f->plan->delay, change_is_known, c, 0, 0);
}

static void notify_router(struct sim_fleet *f, uint32_t request, enum sim_news what) {
    double hop = f->plan->hop;
    if (f->plan->kind->remote) hop += hop_of(f, f->router_of[request]);
    later(f, hop, router_hears, request, what);
}

// Whoever waited for the request's end goes on.
static void follow(struct sim_fleet *f, uint32_t request) {
    for (uint32_t r = f->follower[request]; r != BENCH_NO_REQUEST; r = f->sibling[r])
        later(f, f->load->requests[r].delay / f->plan->speed, arrives, r, 0);
}

// The gap between two tokens of a request that was preempted lasts until it is resumed.
static void preempted(struct sim_fleet *f, const struct sim_step *s) {
    for (size_t i = 0; i < s->n_preempted; i++) {
        f->stats->outcomes[s->preempted[i]].paused = f->now - s->seconds;
        if (sim_stats_within(f->stats, f->now)) f->stats->preempted++;
    }
    for (size_t i = 0; i < s->n_resumed && sim_stats_within(f->stats, f->now); i++)
        sim_durations_add(&f->stats->tbt, f->now - f->stats->outcomes[s->resumed[i]].paused, 1);
}

// ---- From one engine to another ------------------------------------------------------------------

static void wakes(void *self, uint32_t w, uint32_t deaths) {
    struct sim_fleet *f = self;
    struct sim_worker *x = &f->worker[w];
    if (x->engine && x->deaths == deaths && !x->stepping) begin_step(f, w);
}

static void wake(struct sim_fleet *f, uint32_t w) {
    later(f, 0, wakes, w, f->worker[w].deaths);
}

// Whether what happens to the request counts.
static bool is_measured(const struct sim_fleet *f, uint32_t request) {
    return sim_stats_within(f->stats, f->stats->outcomes[request].arrived);
}

// The engine that computed the prompt need keep it no longer.
static void let_go(struct sim_fleet *f, uint32_t request) {
    uint32_t w = f->pair[request].prefill;
    if (f->worker[w].engine) sim_engine_let_go(f->worker[w].engine, request);
    wake(f, w);
}

// The prompt is computed: its router passes the request on to the other engine.
static void is_kept(struct sim_fleet *f, uint32_t request) {
    struct sim_pair *p = &f->pair[request];
    uint32_t tries = f->stats->outcomes[request].tries;
    p->stage = SIM_KEPT;
    p->told = true;
    f->stats->moves.pairs += is_measured(f, request);
    notify_router(f, request, SIM_PREFILLED);
    later(f, 2 * f->plan->hop, is_passed_on, request, tries);
    later(f, f->plan->network.lease, lease_ends, request, tries);
}

// Whether this is still about what was planned.
static bool is_at(const struct sim_fleet *f, uint32_t request, uint32_t tries, enum sim_stage s) {
    return f->stats->outcomes[request].tries == tries && f->pair[request].stage == s;
}

static void is_passed_on(void *self, uint32_t request, uint32_t tries) {
    struct sim_fleet *f = self;
    uint32_t w = f->stats->outcomes[request].worker;
    struct sim_worker *x = &f->worker[w];
    bool kept = is_at(f, request, tries, SIM_KEPT);
    if (!x->engine) {
        if (kept) let_go(f, request);
        f->pair[request].stage = SIM_NOT_MOVED;
        later(f, f->plan->hop, is_refused, request, w);
        return;
    }
    sim_engine_add(x->engine, request, kept ? SIM_ANSWER : SIM_ALL);
    if (!x->stepping) begin_step(f, w);
}

// The engine has room for what it receives.
static void begin_transfer(struct sim_fleet *f, uint32_t w, const struct sim_begun *begun) {
    struct sim_pair *p = &f->pair[begun->request];
    const struct sim_network *n = &f->plan->network;
    if (p->stage != SIM_KEPT) {
        fail(f, "a prompt is received that nobody keeps", begun->request);
        return;
    }
    p->stage = begun->lacks ? SIM_MOVING : SIM_MOVED;
    if (!begun->lacks) {
        let_go(f, begun->request);
        return;
    }
    double token = sim_transfer_token(n, &f->worker[p->prefill].model, &f->worker[w].model,
                                      sim_racks_differ(n, p->prefill, w));
    double end = sim_links_move(&f->links, f->now, p->prefill, w, begun->lacks * token);
    if (is_measured(f, begun->request)) {
        f->stats->moves.tokens += begun->lacks;
        f->stats->moves.seconds += end - f->now;
    }
    sim_queue_put(&f->queue, end, transfer_ends, f, begun->request,
                  f->stats->outcomes[begun->request].tries);
}

static void transfer_ends(void *self, uint32_t request, uint32_t tries) {
    struct sim_fleet *f = self;
    uint32_t w = f->stats->outcomes[request].worker;
    if (!is_at(f, request, tries, SIM_MOVING)) return;
    f->pair[request].stage = SIM_MOVED;
    let_go(f, request);
    sim_engine_received(f->worker[w].engine, request, true);
    wake(f, w);
}

// What was computed for it is gone: the engine that puts out the answer computes it again.
static void recompute(struct sim_fleet *f, uint32_t request) {
    uint32_t w = f->stats->outcomes[request].worker;
    f->pair[request].stage = SIM_MOVED;
    f->stats->moves.recomputed += is_measured(f, request);
    if (!f->worker[w].engine) return;
    sim_engine_received(f->worker[w].engine, request, false);
    wake(f, w);
}

static void lease_ends(void *self, uint32_t request, uint32_t tries) {
    struct sim_fleet *f = self;
    if (!is_at(f, request, tries, SIM_KEPT)) return;
    let_go(f, request);
    recompute(f, request);
}

// The engine that has died was to send these.
static void lose_kept(struct sim_fleet *f, uint32_t w) {
    for (uint32_t i = 0; i < f->load->n && f->plan->pairs; i++) {
        const struct sim_pair *p = &f->pair[i];
        if (p->prefill == w && (p->stage == SIM_KEPT || p->stage == SIM_MOVING)) recompute(f, i);
    }
}

// The engine that has died had the request: nobody need keep it for that.
static void leave_pair(struct sim_fleet *f, uint32_t request) {
    struct sim_pair *p = &f->pair[request];
    if (p->stage == SIM_KEPT || p->stage == SIM_MOVING) let_go(f, request);
    p->stage = SIM_NOT_MOVED;
}

// ---- Steps end -----------------------------------------------------------------------------------

static void step_ends(void *self, uint32_t w, uint32_t deaths) {
    struct sim_fleet *f = self;
    if (f->worker[w].deaths != deaths) return; // a dead engine's
    struct sim_step s;
    sim_engine_end(f->worker[w].engine, &s);
    if (sim_stats_within(f->stats, f->now)) {
        f->stats->work[w] += s.work;
        f->stats->busy += s.seconds;
        if (s.decoding) sim_durations_add(&f->stats->tbt, s.seconds, s.decoding);
    }
    preempted(f, &s);
    for (size_t i = 0; i < s.n_first; i++) {
        f->stats->outcomes[s.first[i]].first = f->now;
        if (!f->pair[s.first[i]].told) notify_router(f, s.first[i], SIM_PREFILLED);
    }
    for (size_t i = 0; i < s.n_kept; i++)
        is_kept(f, s.kept[i]);
    for (size_t i = 0; i < s.n_done; i++) {
        struct sim_outcome *o = &f->stats->outcomes[s.done[i]];
        if (o->done >= 0 || o->first < 0) fail(f, "a request ended out of turn", s.done[i]);
        o->done = f->now;
        f->done++;
        notify_router(f, s.done[i], SIM_DONE);
        follow(f, s.done[i]);
    }
    f->stats->ended = f->now;
    publish(f, w, &s);
    begin_step(f, w);
}

static void open_engine(struct sim_fleet *f, uint32_t w) {
    f->worker[w].engine =
        sim_engine_new(&f->worker[w].model, f->load, f->worker[w].blocks, f->plan->host);
    f->there[w] = true;
}

// ---- Requests ------------------------------------------------------------------------------------

// A router by its share of the requests of this one's class.
static uint32_t skewed_router(const struct sim_fleet *f, uint32_t request, uint64_t draw) {
    unsigned n = f->plan->routers, k = 0;
    size_t classes = f->plan->admission.n_classes ? f->plan->admission.n_classes : 1;
    double sum = 0, at;
    for (unsigned i = 0; i < n; i++)
        sum += pow(i + 1, -f->plan->skew);
    at = (double)(draw >> 11) * 0x1p-53 * sum;
    while (k + 1 < n && (at -= pow(k + 1, -f->plan->skew)) >= 0)
        k++;
    return (uint32_t)((k + f->load->requests[request].service_class * n / classes) % n);
}

// The router a request goes to first, or the next one that is up. SIM_NOBODY: none is.
static uint32_t find_router(const struct sim_fleet *f, uint32_t request) {
    unsigned n = f->plan->routers;
    uint32_t key = f->plan->together ? f->load->requests[request].session : request;
    uint64_t draw = kvr_random_mix(f->plan->seed * 0x9e3779b9u + key);
    uint32_t r = f->plan->skew > 0 ? skewed_router(f, request, draw) : (uint32_t)(draw % n);
    for (unsigned i = 0; i < n; i++, r = (r + 1) % n)
        if (f->up[r]) return r;
    return SIM_NOBODY;
}

// Plans the next arrival, from this request on, of those that wait for no other.
static void plan_arrival(struct sim_fleet *f, size_t request) {
    const struct bench_workload *load = f->load;
    while (request < load->n && load->requests[request].after != BENCH_NO_REQUEST)
        request++;
    if (request < load->n)
        sim_queue_put(&f->queue, load->requests[request].at / f->plan->speed, arrives, f,
                      (uint32_t)request, 0);
}

// The request comes too late to be begun, and so do all that wait for it.
static void leave_out(struct sim_fleet *f, uint32_t request) {
    f->left_out++;
    for (uint32_t r = f->follower[request]; r != BENCH_NO_REQUEST; r = f->sibling[r])
        leave_out(f, r);
}

static void arrives(void *self, uint32_t request, uint32_t unused) {
    struct sim_fleet *f = self;
    (void)unused;
    struct sim_outcome *o = &f->stats->outcomes[request];
    if (o->arrived < 0) {
        if (f->load->requests[request].after == BENCH_NO_REQUEST) plan_arrival(f, request + 1u);
        if (f->now >= f->stats->until) {
            leave_out(f, request);
            return;
        }
        o->arrived = f->now;
        if (f->now >= f->stats->began && ++f->arrived == f->plan->max_measured)
            f->stats->until = nextafter(f->now, INFINITY);
    }
    uint32_t r = find_router(f, request);
    if (r == SIM_NOBODY) { // it waits at the door
        double back = f->back[0];
        for (unsigned i = 1; i < f->plan->routers; i++)
            if (f->back[i] < back) back = f->back[i];
        sim_queue_put(&f->queue, back, arrives, f, request, 0);
        return;
    }
    f->router_of[request] = (uint8_t)r;
    later(f, f->plan->kind->remote ? hop_of(f, r) : 0, is_asked, request, SIM_NOBODY);
}

static void is_asked(void *self, uint32_t request, uint32_t avoid) {
    struct sim_fleet *f = self;
    unsigned r = f->router_of[request];
    f->pair[request] = (struct sim_pair){.stage = SIM_NOT_MOVED};
    uint32_t w = f->plan->kind->choose(f->self, r, request, avoid);
    if (w != SIM_LATER) sim_fleet_give(f, request, w);
}

void sim_fleet_give(struct sim_fleet *f, uint32_t request, uint32_t w) {
    unsigned r = f->router_of[request];
    if (w >= f->workers) {
        fail(f, "no engine was chosen for a request", request);
        return;
    }
    f->stats->outcomes[request].chosen = f->now;
    f->memory_of[request] = f->memory[r];
    later(f, f->plan->hop + (f->plan->kind->remote ? hop_of(f, r) : 0), is_given, request, w);
}

void sim_fleet_pair(struct sim_fleet *f, uint32_t request, uint32_t prefill) {
    if (prefill >= f->workers)
        fail(f, "no engine was chosen for a prompt", request);
    else
        f->pair[request] = (struct sim_pair){prefill, SIM_COMPUTING, false};
}

unsigned sim_fleet_router(const struct sim_fleet *f, uint32_t request) {
    return f->router_of[request];
}

void sim_fleet_refuse(struct sim_fleet *f, uint32_t request, double seconds) {
    double hop = f->plan->kind->remote ? hop_of(f, f->router_of[request]) : 0;
    f->stats->outcomes[request].refused++;
    later(f, hop + (f->plan->admission.whole ? ceil(seconds) : seconds), arrives, request, 0);
}

static void is_given(void *self, uint32_t request, uint32_t w) {
    struct sim_fleet *f = self;
    struct sim_outcome *o = &f->stats->outcomes[request];
    bool first = f->pair[request].stage == SIM_COMPUTING; // of two engines
    uint32_t at = first ? f->pair[request].prefill : w;
    struct sim_worker *x = &f->worker[at];
    o->worker = w;
    if (o->tries++ == 1) f->stats->retried++;
    if (!x->engine) {
        later(f, f->plan->hop, is_refused, request, at);
        return;
    }
    sim_engine_add(x->engine, request, first ? SIM_PROMPT : SIM_ALL);
    if (!x->stepping) begin_step(f, at);
}

// Whether a router still knows of a request that it chose for.
static bool remembers(const struct sim_fleet *f, uint32_t request) {
    return f->plan->kind->remote || f->memory_of[request] == f->memory[f->router_of[request]];
}

static void hand_news(struct sim_fleet *f, uint32_t request, uint32_t worker, enum sim_news what) {
    const struct sim_router_events *on = f->plan->kind->on;
    if (on->news) on->news(f->self, f->router_of[request], request, worker, what);
}

static void is_refused(void *self, uint32_t request, uint32_t w) {
    struct sim_fleet *f = self;
    unsigned r = f->router_of[request];
    bool up = f->up[r] || f->plan->kind->remote;
    if (up && remembers(f, request))
        hand_news(f, request, f->stats->outcomes[request].worker, SIM_FAILED);
    if (!f->up[r]) {
        arrives(f, request, 0); // another router's now
        return;
    }
    later(f, 0, is_asked, request, w);
}

static void router_hears(void *self, uint32_t request, uint32_t what) {
    struct sim_fleet *f = self;
    unsigned r = f->router_of[request];
    if (!remembers(f, request)) return;
    if (!f->up[r] && !f->plan->kind->remote) { // it hears of it when it is back
        sim_queue_put(&f->queue, f->back[r], router_hears, f, request, what);
        return;
    }
    hand_news(f, request, f->stats->outcomes[request].worker, (enum sim_news)what);
}

// ---- Incidents -----------------------------------------------------------------------------------

static void worker_dies(struct sim_fleet *f, uint32_t w) {
    struct sim_worker *x = &f->worker[w];
    if (!x->engine) return;
    size_t n = sim_engine_requests(x->engine, NULL);
    uint32_t *requests = bench_calloc(n, sizeof *requests);
    sim_engine_requests(x->engine, requests);
    for (size_t i = 0; i < n; i++) {
        f->stats->outcomes[requests[i]].first = -1; // all over again
        leave_pair(f, requests[i]);
        later(f, f->plan->hop, is_refused, requests[i], w);
    }
    free(requests);
    sim_engine_free(x->engine);
    x->engine = NULL;
    x->deaths++;
    x->stepping = false;
    lose_kept(f, w);
    later(f, f->plan->notice, is_noticed, w, false);
}

static void worker_comes(struct sim_fleet *f, uint32_t w) {
    open_engine(f, w);
    later(f, 0, is_noticed, w, true);
}

static void incident_begins(void *self, uint32_t which, uint32_t unused) {
    struct sim_fleet *f = self;
    (void)unused;
    const struct sim_incident *i = &f->plan->incidents[which];
    const struct sim_router *kind = f->plan->kind;
    switch (i->kind) {
    case SIM_ROUTER_DIES:
        if (i->which >= f->plan->routers) return;
        f->up[i->which] = false;
        f->back[i->which] = f->now + i->lasts;
        break;
    case SIM_WORKER_DIES:
        if (i->which >= f->plan->workers) return;
        worker_dies(f, i->which);
        if (i->lasts <= 0) return; // for good
        break;
    case SIM_WORKERS_JOIN:
        for (uint32_t k = 0; k < i->which && f->workers < SIM_MAX_WORKERS; k++)
            worker_comes(f, f->workers++);
        return;
    case SIM_SERVER_DIES:
        if (kind->on->server) kind->on->server(f->self, false, i->lost);
        break;
    }
    later(f, i->lasts, incident_ends, which, 0);
}

static void incident_ends(void *self, uint32_t which, uint32_t unused) {
    struct sim_fleet *f = self;
    (void)unused;
    const struct sim_incident *i = &f->plan->incidents[which];
    const struct sim_router *kind = f->plan->kind;
    switch (i->kind) {
    case SIM_ROUTER_DIES:
        f->up[i->which] = true;
        if (!i->lost) return;
        f->memory[i->which]++;
        if (kind->on->lost) kind->on->lost(f->self, i->which);
        return;
    case SIM_WORKER_DIES:
        worker_comes(f, i->which);
        return;
    case SIM_WORKERS_JOIN:
        return;
    case SIM_SERVER_DIES:
        if (kind->on->server) kind->on->server(f->self, true, i->lost);
        return;
    }
}

static void is_noticed(void *self, uint32_t w, uint32_t there) {
    struct sim_fleet *f = self;
    f->there[w] = there;
    if (f->plan->kind->on->worker) f->plan->kind->on->worker(f->self, w, there);
}

// ---- The run -------------------------------------------------------------------------------------

static bool check(struct sim_fleet *f) {
    for (uint32_t i = 0; i < f->load->n; i++)
        if (f->stats->outcomes[i].arrived >= 0 && f->stats->outcomes[i].done < 0)
            return fail(f, "a request was lost", i);
    if (f->done + f->left_out < f->load->n) return fail(f, "requests never arrived", 0);
    for (uint32_t w = 0; w < f->workers; w++) {
        if (!f->worker[w].engine) continue;
        const char *wrong = sim_engine_validate(f->worker[w].engine);
        if (wrong) return fail(f, wrong, w);
        if (sim_engine_requests(f->worker[w].engine, NULL)) return fail(f, "an engine goes on", w);
        if (sim_engine_kv(f->worker[w].engine)->cached.used)
            return fail(f, "an engine keeps what nobody wants", w);
    }
    return !f->broken;
}

static bool run(struct sim_fleet *f) {
    const struct sim_plan *plan = f->plan;
    struct sim_event d;
    f->now = f->load->requests[0].at / plan->speed;
    f->stats->began = f->now + plan->from;
    f->stats->until = plan->until > 0 ? f->now + plan->until : INFINITY;
    plan_arrival(f, 0);
    for (uint32_t i = 0; i < plan->n_incidents; i++)
        later(f, plan->incidents[i].at, incident_begins, i, 0);
    bench_progress_begin(&f->progress, plan->title, f->load->n);
    for (uint64_t n = 0; f->done + f->left_out < f->load->n && !f->broken; n++) {
        if (n % 4096 == 0)
            bench_progress_show(
                &f->progress, f->done + f->left_out,
                f->stats->blocks ? 100 * (double)f->stats->hits / (double)f->stats->blocks : 0);
        if (!sim_queue_take(&f->queue, &d)) break;
        f->now = d.at;
        d.call(d.self, d.a, d.b);
    }
    bench_progress_end();
    return check(f);
}

// What is still to happen when the last request has ended.
static void drop_rest(struct sim_fleet *f) {
    struct sim_event d;
    while (sim_queue_take(&f->queue, &d))
        if (d.call == change_is_known) free(d.self);
    sim_queue_free(&f->queue);
}

static void plan_engines(struct sim_fleet *f) {
    const struct sim_plan *plan = f->plan;
    for (unsigned w = 0; w < SIM_MAX_WORKERS; w++) {
        struct sim_engine_plan e = {*plan->model, 1, plan->blocks, KVR_ROLE_BOTH};
        if (plan->n_engines) e = plan->engines[w % plan->n_engines];
        sim_model_speed(&e.model, e.speed);
        f->worker[w].model = e.model;
        f->worker[w].blocks = f->capacity[w] = e.blocks;
        f->role[w] = plan->pairs ? e.role : KVR_ROLE_BOTH;
    }
}

// Whether every engine has room for every request.
static bool all_fit(struct sim_fleet *f, unsigned workers) {
    size_t least = f->worker[0].blocks;
    for (unsigned w = 1; w < workers; w++)
        if (f->worker[w].blocks < least) least = f->worker[w].blocks;
    for (uint32_t i = 0; i < f->load->n; i++)
        if (!sim_engine_fits(f->load, i, least))
            return fail(f, "an engine's cache has no room for a request", i);
    return true;
}

// Who waits for whom, in the order of the requests.
static void link_followers(struct sim_fleet *f) {
    size_t n = f->load->n;
    f->follower = bench_calloc(n, sizeof *f->follower);
    f->sibling = bench_calloc(n, sizeof *f->sibling);
    memset(f->follower, 0xff, n * sizeof *f->follower);
    for (size_t i = n; i-- > 0;) {
        uint32_t after = f->load->requests[i].after;
        f->sibling[i] = BENCH_NO_REQUEST;
        if (after == BENCH_NO_REQUEST) continue;
        f->sibling[i] = f->follower[after];
        f->follower[after] = (uint32_t)i;
    }
}

bool sim_run(const struct sim_plan *plan, struct sim_stats *out) {
    static const size_t unknown[SIM_MAX_WORKERS]; // 0: unknown
    struct sim_fleet *f = bench_calloc(1, sizeof *f);
    unsigned workers = plan->workers;
    for (size_t i = 0; i < plan->n_incidents; i++)
        if (plan->incidents[i].kind == SIM_WORKERS_JOIN) workers += plan->incidents[i].which;
    if (workers > SIM_MAX_WORKERS) workers = SIM_MAX_WORKERS;
    sim_stats_open(out, plan->load->n, workers);
    *f = (struct sim_fleet){
        .plan = plan, .load = plan->load, .stats = out, .workers = plan->workers};
    f->router_of = bench_calloc(plan->load->n, sizeof *f->router_of);
    f->memory_of = bench_calloc(plan->load->n, sizeof *f->memory_of);
    f->pair = bench_calloc(plan->load->n, sizeof *f->pair);
    sim_links_open(&f->links, &plan->network, workers);
    link_followers(f);
    plan_engines(f);
    for (unsigned r = 0; r < plan->routers; r++)
        f->up[r] = true;
    for (uint32_t w = 0; w < plan->workers; w++)
        open_engine(f, w);
    bool ok = plan->load->n > 0 && all_fit(f, workers);
    if (ok) {
        struct sim_world w = {
            .plan = plan,
            .load = plan->seen ? plan->seen : plan->load,
            .workers = workers,
            .capacity = plan->unknown_blocks ? unknown : f->capacity,
            .there = f->there,
            .role = f->role,
            .now = &f->now,
            .fleet = f,
        };
        f->self = plan->kind->open(&w);
        ok = run(f);
        plan->kind->on->close(f->self);
    }
    drop_rest(f);
    for (unsigned w = 0; w < f->workers; w++)
        sim_engine_free(f->worker[w].engine);
    free(f->router_of);
    free(f->memory_of);
    free(f->pair);
    sim_links_close(&f->links);
    free(f->follower);
    free(f->sibling);
    free(f);
    return ok;
}

// ---- For kinds of routers ------------------------------------------------------------------------

void sim_fleet_later(struct sim_fleet *f, double seconds, sim_event_call *call, void *self,
                     uint32_t a, uint32_t b) {
    sim_queue_put(&f->queue, f->now + seconds, call, self, a, b);
}

void sim_fleet_predicted(struct sim_fleet *f, uint32_t request, double ms) {
    f->stats->outcomes[request].predicted = ms < 0 ? -1 : ms / 1000;
}

void sim_fleet_cached(struct sim_fleet *f, uint32_t request, uint32_t cached) {
    f->stats->outcomes[request].cached = cached;
}

struct sim_engine_metrics sim_fleet_load(const struct sim_fleet *f, uint32_t worker) {
    struct sim_engine *e = f->worker[worker].engine;
    return e ? sim_engine_load(e) : (struct sim_engine_metrics){0};
}

const struct sim_engine *sim_fleet_engine(const struct sim_fleet *f, uint32_t worker,
                                          uint64_t *changes) {
    *changes = f->worker[worker].changes;
    return f->worker[worker].engine;
}
