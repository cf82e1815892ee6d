// SPDX-License-Identifier: Apache-2.0
// Routers on the shared pool: SELECT for each request, UPDATE and RELEASE as it goes on, and EVENT from
// the engines, to the real module in a real redis-server, in the order of virtual time.
//
// The server's clock shows the run's time, so the module learns from times as it does in life. A command whose
// effect carries a time goes after `set_clock`.
//
// When the server dies, routers do what libkvroute does: the engine with the fewest requests of their own
// while it is away; then they book what they chose meanwhile, and, when it came back empty, what it has
// lost. Engines publish all that they cache under a new epoch.
//
// Who waits in the pool is told on a channel when it has admitted him, and asks again for his booking. Something has
// to come from time to time for those whom only time makes room for: a heartbeat of an engine does.
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "bench/common/copy_decisions.h"
#include "module/core/decisions/decision_log.h"
#include "open_requests.h"
#include "pool_admission.h"
#include "pool_names.h"
#include "pool_server.h"
#include "routers.h"

// What the routers keep of a request that is under way.
struct open_request {
    uint32_t worker, cached;
    uint32_t prefill; // the engine that computes its prompt for that one, or SIM_NOBODY
    uint16_t booking; // counts up, so that each try has an id of its own
    bool live, prefilled, waits;
};

#define SHARED_CHANNEL "admitted"
static const long long logged_bytes = 1LL << 32;
static const double heartbeat = 0.01; // seconds, while somebody waits

struct shared_routers {
    struct sim_local local; // for when the server is away
    struct sim_server *server;
    struct open_request *requests;
    uint64_t epoch[SIM_MAX_WORKERS], seq[SIM_MAX_WORKERS];
    uint64_t known[SIM_MAX_WORKERS]; // changes up to this number were published otherwise
    bool away, beats;
    size_t waiting;
    const char **argv; // the command that is being made
    size_t *len, n, room_argv, room_len;
    char text[7][32]; // what of it is written here
    uint64_t *moved;
    size_t room_moved;
};

// ---- Commands ------------------------------------------------------------------------------------

static void add(struct shared_routers *p, const void *bytes, size_t len) {
    p->argv = bench_grow(p->argv, &p->room_argv, p->n + 1, sizeof *p->argv);
    p->len = bench_grow(p->len, &p->room_len, p->n + 1, sizeof *p->len);
    p->argv[p->n] = bytes;
    p->len[p->n++] = len;
}

// Texts, NULL at the end.
static void add_texts(struct shared_routers *p, ...) __attribute__((sentinel));
static void add_texts(struct shared_routers *p, ...) {
    va_list texts;
    va_start(texts, p);
    for (const char *s; (s = va_arg(texts, const char *));)
        add(p, s, strlen(s));
    va_end(texts);
}

static void add_hashes(struct shared_routers *p, const uint64_t *hashes, size_t n) {
    add_texts(p, "HASHES", NULL);
    add(p, hashes, n * sizeof *hashes);
}

static void begin_command(struct shared_routers *p, const char *name) {
    p->n = 0;
    add_texts(p, name, SIM_POOL, NULL);
}

static void send_command(struct shared_routers *p) {
    sim_server_send(p->server, (int)p->n, p->argv, p->len);
}

static const char *id_of(struct shared_routers *p, uint32_t request) {
    snprintf(p->text[0], sizeof p->text[0], "%u.%u", request, p->requests[request].booking);
    return p->text[0];
}

static const char *name_of(struct shared_routers *p, uint32_t worker) {
    return sim_worker_name(worker, p->text[1]).p;
}

// The blocks of a request and what goes with them.
static void add_prompt(struct shared_routers *p, uint32_t request) {
    const struct sim_world *w = &p->local.world;
    const struct bench_request *q = &w->load->requests[request];
    struct kvr_bytes session = sim_session_name(w, request, p->text[3]);
    snprintf(p->text[2], sizeof p->text[2], "%u", q->isl);
    add_hashes(p, bench_request_hashes(w->load, request), q->blocks);
    add_texts(p, "ISL", p->text[2], NULL);
    if (!session.n) return;
    add_texts(p, "SESSION", NULL);
    add(p, session.p, session.n);
}

static void set_clock(struct shared_routers *p) {
    sim_server_at(p->server, sim_epoch_ms(*p->local.world.now));
}

static void add_bytes(struct shared_routers *p, const char *option, struct kvr_bytes value) {
    if (!value.n) return;
    add_texts(p, option, NULL);
    add(p, value.p, value.n);
}

// What a request says besides, where requests wait.
static void add_waiting(struct shared_routers *p, uint32_t request, bool may_wait) {
    const struct sim_admission *a = &p->local.world.plan->admission;
    const struct bench_request *q = &p->local.world.load->requests[request];
    if (!a->on) return;
    snprintf(p->text[4], sizeof p->text[4], "%u", q->osl);
    snprintf(p->text[5], sizeof p->text[5], "%.0f", a->wait * 1000);
    if (a->outputs) add_texts(p, "OSL", p->text[4], NULL);
    add_bytes(p, "CLASS", sim_class_name(a, q));
    add_bytes(p, "FLOW", sim_flow_name(a, q, p->text[6]));
    if (may_wait && a->wait > 0) add_texts(p, "WAIT", p->text[5], "NOTIFY", SHARED_CHANNEL, NULL);
}

// ---- The pool and its workers --------------------------------------------------------------------

static void add_worker(struct shared_routers *p, uint32_t worker) {
    char link[SIM_LINK_NAME];
    struct kvr_bytes label = sim_link_name(p->local.world.plan, worker, link);
    set_clock(p);
    sim_server_sendf(p->server,
                     "KVROUTE.WORKER SET " SIM_POOL " %s ADDR sim:%u CAPACITY %lu ROLE %s",
                     name_of(p, worker), worker, (unsigned long)p->local.world.capacity[worker],
                     kvr_role_names[p->local.world.role[worker]]);
    if (label.n)
        sim_server_sendf(p->server, "KVROUTE.WORKER SET " SIM_POOL " %s LABELS 1 %s",
                         name_of(p, worker), link);
    p->epoch[worker]++;
    p->seq[worker] = 0;
}

static void remove_worker(struct shared_routers *p, uint32_t worker) {
    sim_server_sendf(p->server, "KVROUTE.WORKER DEL " SIM_POOL " %s", name_of(p, worker));
}

// Classes and flows.
static void name_all(struct shared_routers *p) {
    const struct sim_admission *a = &p->local.world.plan->admission;
    set_clock(p);
    for (size_t i = 0; i < a->n_classes; i++)
        sim_server_sendf(
            p->server, "KVROUTE.CLASS SET " SIM_POOL " %s PRIORITY %d WEIGHT %f ROOM %u",
            a->classes[i].name, a->classes[i].priority, a->classes[i].weight, a->classes[i].room);
    for (size_t i = 0; i < a->n_flows; i++) {
        const struct sim_flow *f = &a->flows[i];
        unsigned long long burst = f->burst ? f->burst : f->rate;
        sim_server_sendf(p->server,
                         "KVROUTE.FLOW SET " SIM_POOL
                         " f%u WEIGHT %f REQUESTS %llu RATE %llu BURST %llu",
                         (unsigned)(i + 1), f->weight > 0 ? f->weight : 1,
                         (unsigned long long)f->requests, (unsigned long long)f->rate, burst);
    }
}

static void make_pool(struct shared_routers *p) {
    const struct sim_world *w = &p->local.world;
    const struct sim_admission *a = &w->plan->admission;
    char words[512];
    int n = snprintf(words, sizeof words,
                     "KVROUTE.CREATE " SIM_POOL " BLOCKSIZE %u LEASE 0 POLICY %s %s",
                     w->load->block_size, kvr_policies[w->plan->rule.policy].name, w->plan->words);
    if (a->on && n > 0 && (size_t)n < sizeof words)
        n += snprintf(words + n, sizeof words - (size_t)n,
                      " MAXREQUESTS %llu MAXPREFILL %llu MAXBLOCKS %llu MAXWAITING %d",
                      (unsigned long long)a->max_requests, (unsigned long long)a->max_prefill,
                      (unsigned long long)a->max_blocks, KVR_MAX_WAITING);
    if (w->plan->pairs && n > 0 && (size_t)n < sizeof words)
        snprintf(words + n, sizeof words - (size_t)n, " TRANSFER %.17g LOCALPREFILL %llu",
                 w->plan->transfer, (unsigned long long)w->plan->local_prefill);
    sim_server_sendf(p->server, "DEL " SIM_POOL);
    sim_server_settle(p->server);
    redisReply *r = support_redis_words(&p->server->redis, words);
    if (!r) exit(1);
    freeReplyObject(r);
    if (w->plan->log)
        sim_server_sendf(p->server, "KVROUTE.DECISIONS ON " SIM_POOL " %d BYTES %lld BLOCKS",
                         KVR_DECISION_MAX, logged_bytes);
    if (a->on) name_all(p);
    for (uint32_t i = 0; i < w->workers; i++)
        if (w->there[i]) add_worker(p, i);
}

static void *open_shared(const struct sim_world *w) {
    struct shared_routers *p = bench_calloc(1, sizeof *p);
    sim_local_open(&p->local, w);
    p->server = w->plan->server;
    p->requests = bench_calloc(w->load->n, sizeof *p->requests);
    if (!p->server || !sim_server_start(p->server, sim_epoch_ms(*w->now))) exit(1);
    if (w->plan->admission.on) sim_server_listen(p->server, SHARED_CHANNEL);
    make_pool(p);
    return p;
}

// ---- Requests ------------------------------------------------------------------------------------

struct choice {
    uint32_t worker, cached, prefill;
    double ttft; // ms; -1: unknown
    bool waits;
    long refused; // ms after which to come back; 0: it wasn't
};

static void parse_field(struct choice *c, const char *name, const redisReply *v) {
    if (!strcmp(name, "worker") && v->str) c->worker = sim_worker_number(v->str, v->len);
    if (!strcmp(name, "prefill_worker") && v->str) c->prefill = sim_worker_number(v->str, v->len);
    if (!strcmp(name, "cached")) c->cached = (uint32_t)v->integer;
    if (!strcmp(name, "ttft") && v->str) c->ttft = strtod(v->str, NULL);
    if (!strcmp(name, "waiting")) c->waits = v->integer == 1;
}

static struct choice parse_choice(const redisReply *r) {
    struct choice c = {.worker = SIM_NOBODY, .prefill = SIM_NOBODY, .ttft = -1};
    if (r->type == REDIS_REPLY_ERROR && (sscanf(r->str, "NOROOM %ld", &c.refused) == 1 ||
                                         sscanf(r->str, "LIMITED %ld", &c.refused) == 1))
        return c;
    if (r->type == REDIS_REPLY_ERROR)
        fprintf(stderr, "kvroute-sim: the pool answers: %s\n", r->str);
    for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i + 1 < r->elements; i += 2)
        if (r->element[i]->str) parse_field(&c, r->element[i]->str, r->element[i + 1]);
    return c;
}

static struct choice select_worker(struct shared_routers *p, uint32_t request, uint32_t avoid) {
    begin_command(p, "KVROUTE.SELECT");
    add_texts(p, id_of(p, request), NULL);
    add_prompt(p, request);
    if (avoid != SIM_NOBODY) add_texts(p, "EXCLUDE", "1", name_of(p, avoid), NULL);
    if (p->local.world.plan->pairs) add_texts(p, "PAIR", NULL);
    add_waiting(p, request, true);
    set_clock(p);
    redisReply *r = sim_server_try(p->server, (int)p->n, p->argv, p->len);
    struct choice c = parse_choice(r);
    freeReplyObject(r);
    return c;
}

// What the pool has said of a request that is to have an engine. SIM_LATER: it has none yet.
static uint32_t take_choice(struct shared_routers *p, unsigned router, uint32_t request,
                            const struct choice *c) {
    struct open_request *o = &p->requests[request];
    if (c->waits || c->refused) {
        p->waiting += c->waits && !o->waits;
        o->waits = c->waits;
        if (c->refused) sim_fleet_refuse(p->local.world.fleet, request, (double)c->refused / 1000);
        return SIM_LATER;
    }
    *o = (struct open_request){.live = true,
                               .booking = o->booking,
                               .worker = c->worker,
                               .cached = c->cached,
                               .prefill = c->prefill};
    sim_fleet_cached(p->local.world.fleet, request, c->cached);
    if (c->prefill != SIM_NOBODY) sim_fleet_pair(p->local.world.fleet, request, c->prefill);
    return sim_local_take(&p->local, router, o->worker);
}

// Asks for what one who waits has got.
static void ask_again(struct shared_routers *p, uint32_t request) {
    struct open_request *o = &p->requests[request];
    struct choice c = select_worker(p, request, SIM_NOBODY);
    if (c.waits) return;
    o->waits = false;
    p->waiting--;
    unsigned router = sim_fleet_router(p->local.world.fleet, request);
    uint32_t worker = take_choice(p, router, request, &c);
    if (worker != SIM_LATER) sim_fleet_give(p->local.world.fleet, request, worker);
}

static void is_admitted(void *ctx, const char *id) {
    struct shared_routers *p = ctx;
    unsigned request, booking;
    if (sscanf(id, "%u.%u", &request, &booking) != 2 || request >= p->local.world.load->n) return;
    if (p->requests[request].waits && p->requests[request].booking == booking)
        ask_again(p, request);
}

static void beat(void *self, uint32_t unused, uint32_t neither);

// Who has been admitted by what was sent last, also by their asking.
static void hear_admitted(struct shared_routers *p) {
    if (!p->waiting || p->away) return;
    while (p->waiting && sim_server_heard(p->server, is_admitted, p))
        continue;
    if (!p->waiting || p->beats) return;
    p->beats = true;
    sim_fleet_later(p->local.world.fleet, heartbeat, beat, p, 0, 0);
}

static void beat(void *self, uint32_t unused, uint32_t neither) {
    struct shared_routers *p = self;
    uint32_t w = 0;
    (void)unused, (void)neither;
    p->beats = false;
    if (p->away) return;
    while (w + 1 < p->local.world.workers && !p->local.world.there[w])
        w++;
    set_clock(p);
    if (p->local.world.there[w])
        sim_server_sendf(p->server, "KVROUTE.WORKER SET " SIM_POOL " %s", name_of(p, w));
    hear_admitted(p);
}

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct shared_routers *p = self;
    struct choice c = {.prefill = SIM_NOBODY, .ttft = -1};
    if (p->away)
        c.worker = sim_local_least(&p->local, router, avoid);
    else
        c = select_worker(p, request, avoid);
    uint32_t worker = take_choice(p, router, request, &c);
    // What is told of one who waited was predicted when it was admitted, and isn't known everywhere.
    if (worker != SIM_LATER) sim_fleet_predicted(p->local.world.fleet, request, c.ttft);
    hear_admitted(p);
    return worker;
}

static void on_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum sim_news what) {
    struct shared_routers *p = self;
    struct open_request *o = &p->requests[request];
    sim_local_news(self, router, request, worker, what);
    if (what == SIM_PREFILLED)
        o->prefilled = true;
    else
        o->live = false;
    // What happens while the server is away is made up for when it is back; see catch_up.
    if (p->away) return;
    set_clock(p);
    const char *id = id_of(p, request);
    if (what == SIM_PREFILLED) {
        sim_server_sendf(p->server, "KVROUTE.UPDATE " SIM_POOL " %s PREFILLED", id);
        hear_admitted(p);
        return;
    }
    // An answer that came to its end teaches; one that was cut off has put out nothing that counts.
    if (what == SIM_DONE)
        sim_server_sendf(p->server, "KVROUTE.UPDATE " SIM_POOL " %s OUTPUT %u", id,
                         p->local.world.load->requests[request].osl);
    sim_server_sendf(p->server, "KVROUTE.RELEASE " SIM_POOL " %s", id);
    o->booking++;
    hear_admitted(p);
}

static void on_worker(void *self, uint32_t worker, bool there) {
    struct shared_routers *p = self;
    p->known[worker] = 0;
    if (p->away) return;
    if (there)
        add_worker(p, worker);
    else
        remove_worker(p, worker);
    hear_admitted(p);
}

// ---- Events --------------------------------------------------------------------------------------

static void begin_event(struct shared_routers *p, uint32_t worker) {
    snprintf(p->text[2], sizeof p->text[2], "%llu", (unsigned long long)p->epoch[worker]);
    snprintf(p->text[3], sizeof p->text[3], "%llu", (unsigned long long)++p->seq[worker]);
    begin_command(p, "KVROUTE.EVENT");
    add_texts(p, name_of(p, worker), "0", p->text[2], p->text[3], NULL);
}

static void add_tier(struct shared_routers *p) {
    add_texts(p, "TIER", "host", NULL);
}

static void add_stored(struct shared_routers *p, const uint64_t *parent, const uint64_t *hashes,
                       size_t n) {
    add_texts(p, "STORED", NULL);
    if (parent)
        add(p, parent, sizeof *parent);
    else
        add_texts(p, "-", NULL);
    add_hashes(p, hashes, n);
}

static void add_removed(struct shared_routers *p, const uint64_t *hashes, size_t n) {
    add_texts(p, "REMOVED", NULL);
    add_hashes(p, hashes, n);
}

// What moved in the second tier; the hashes go to room that lasts until the event is sent.
static void add_moved(struct shared_routers *p, const struct sim_change *x) {
    p->moved = bench_grow(p->moved, &p->room_moved, x->n_moved, sizeof *p->moved);
    for (size_t i = 0, run; i < x->n_moved; i += run) {
        run = sim_host_run(x->moved + i, x->n_moved - i, p->moved + i);
        const struct sim_moved *last = &x->moved[i + run - 1];
        add_tier(p);
        if (last->stored)
            add_stored(p, last->depth ? &last->parent : NULL, p->moved + i, run);
        else
            add_removed(p, p->moved + i, run);
    }
}

static void on_changed(void *self, const struct sim_change *x) {
    struct shared_routers *p = self;
    if (p->away || x->number <= p->known[x->worker]) return;
    begin_event(p, x->worker);
    if (x->n_moved) add_moved(p, x);
    if (x->n_removed) add_removed(p, x->removed, x->n_removed);
    for (size_t i = 0; i < x->n_stored; i++) {
        const struct sim_stored *s = &x->stored[i];
        const uint64_t *hashes = bench_request_hashes(p->local.world.load, s->request);
        add_stored(p, s->from ? &hashes[s->from - 1] : NULL, hashes + s->from, s->to - s->from);
    }
    send_command(p);
}

// ---- The server goes, and comes back -------------------------------------------------------------

struct republishing {
    struct shared_routers *p;
    uint32_t worker;
    bool host;
};

static void publish_block(void *ctx, const struct sim_block *b) {
    struct republishing *x = ctx;
    begin_event(x->p, x->worker);
    if (x->host) add_tier(x->p);
    add_stored(x->p, b->depth ? &b->parent : NULL, &b->hash, 1);
    send_command(x->p);
}

static void publish_all(struct shared_routers *p, uint32_t worker) {
    const struct sim_engine *e = sim_fleet_engine(p->local.world.fleet, worker, &p->known[worker]);
    const struct sim_host *host = e ? sim_engine_host(e) : NULL;
    p->epoch[worker]++;
    p->seq[worker] = 0;
    if (e)
        sim_blocks_each(&sim_engine_kv(e)->cached, publish_block,
                        &(struct republishing){p, worker, false});
    if (host)
        sim_blocks_each(&host->blocks, publish_block, &(struct republishing){p, worker, true});
}

static void claim(struct shared_routers *p, uint32_t request) {
    const struct open_request *o = &p->requests[request];
    char cached[16];
    snprintf(cached, sizeof cached, "%u", o->cached);
    begin_command(p, "KVROUTE.CLAIM");
    add_texts(p, id_of(p, request), name_of(p, o->worker), "0", NULL);
    add_prompt(p, request);
    add_texts(p, "CACHED", cached, NULL);
    if (o->prefilled)
        add_texts(p, "PREFILLED", NULL);
    else if (o->prefill != SIM_NOBODY && p->local.world.there[o->prefill])
        add_texts(p, "PREFILLER", sim_worker_name(o->prefill, p->text[4]).p, "0", NULL);
    add_waiting(p, request, false);
    send_command(p);
}

// Every request's booking is put in order, as CLAIM, UPDATE and RELEASE may all be repeated.
static void catch_up(struct shared_routers *p) {
    set_clock(p);
    for (uint32_t i = 0; i < p->local.world.load->n; i++) {
        struct open_request *o = &p->requests[i];
        if (o->waits) {
            ask_again(p, i);
        } else if (!o->live) {
            sim_server_sendf(p->server, "KVROUTE.RELEASE " SIM_POOL " %s", id_of(p, i));
            o->booking++;
        } else if (p->local.world.there[o->worker]) {
            claim(p, i);
            if (o->prefilled)
                sim_server_sendf(p->server, "KVROUTE.UPDATE " SIM_POOL " %s PREFILLED",
                                 id_of(p, i));
        }
    }
}

static void on_server(void *self, bool up, bool lost) {
    struct shared_routers *p = self;
    p->away = !up;
    if (!up) return;
    if (lost) make_pool(p);
    for (uint32_t w = 0; w < p->local.world.workers; w++) {
        if (p->local.world.there[w]) {
            add_worker(p, w);
            publish_all(p, w);
        } else {
            remove_worker(p, w);
        }
    }
    catch_up(p);
    hear_admitted(p);
}

static void close_shared(void *self) {
    struct shared_routers *p = self;
    sim_server_settle(p->server);
    const char *log = p->local.world.plan->log;
    if (log && !bench_copy_decisions(p->server->redis.control, SIM_POOL, log)) exit(1);
    free(p->requests);
    free(p->argv);
    free(p->len);
    free(p->moved);
    free(p);
}

static const struct sim_router_events events = {.news = on_news,
                                                .changed = on_changed,
                                                .worker = on_worker,
                                                .server = on_server,
                                                .close = close_shared};
const struct sim_router sim_shared_routers[] = {
    {"shared", "no state: the shared pool decides and books", open_shared, choose, &events,
     .remote = true, .cached = true, .scores = true, .waits = true, .pairs = true},
};
