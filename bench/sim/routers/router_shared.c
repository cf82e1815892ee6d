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
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "open_requests.h"
#include "pool_server.h"
#include "private_pools.h"
#include "routers.h"

// What the routers keep of a request that is under way.
struct open_request {
    uint32_t worker, cached;
    uint16_t booking; // counts up, so that each try has an id of its own
    bool live, prefilled;
};

struct shared_routers {
    struct sim_local local; // for when the server is away
    struct sim_server *server;
    struct open_request *requests;
    uint64_t epoch[SIM_MAX_WORKERS], seq[SIM_MAX_WORKERS];
    uint64_t known[SIM_MAX_WORKERS]; // changes up to this number were published otherwise
    bool away;
    const char **argv; // the command that is being made
    size_t *len, n, room_argv, room_len;
    char text[4][32]; // what of it is written here
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

// ---- The pool and its workers --------------------------------------------------------------------

static void add_worker(struct shared_routers *p, uint32_t worker) {
    set_clock(p);
    sim_server_sendf(p->server, "KVROUTE.WORKER SET " SIM_POOL " %s ADDR sim:%u CAPACITY %lu",
                     name_of(p, worker), worker, (unsigned long)p->local.world.capacity[worker]);
    p->epoch[worker]++;
    p->seq[worker] = 0;
}

static void remove_worker(struct shared_routers *p, uint32_t worker) {
    sim_server_sendf(p->server, "KVROUTE.WORKER DEL " SIM_POOL " %s", name_of(p, worker));
}

static void make_pool(struct shared_routers *p) {
    const struct sim_world *w = &p->local.world;
    char words[512];
    snprintf(words, sizeof words, "KVROUTE.CREATE " SIM_POOL " BLOCKSIZE %u LEASE 0 POLICY %s %s",
             w->load->block_size, kvr_policies[w->plan->rule.policy].name, w->plan->words);
    sim_server_sendf(p->server, "DEL " SIM_POOL);
    sim_server_settle(p->server);
    redisReply *r = support_redis_words(&p->server->redis, words);
    if (!r) exit(1);
    freeReplyObject(r);
    for (uint32_t i = 0; i < w->workers; i++)
        if (w->there[i]) add_worker(p, i);
}

static void *open_shared(const struct sim_world *w) {
    struct shared_routers *p = bench_calloc(1, sizeof *p);
    sim_local_open(&p->local, w);
    p->server = w->plan->server;
    p->requests = bench_calloc(w->load->n, sizeof *p->requests);
    if (!p->server || !sim_server_start(p->server, sim_epoch_ms(*w->now))) exit(1);
    make_pool(p);
    return p;
}

static void on_worker(void *self, uint32_t worker, bool there) {
    struct shared_routers *p = self;
    p->known[worker] = 0;
    if (p->away) return;
    if (there)
        add_worker(p, worker);
    else
        remove_worker(p, worker);
}

// ---- Requests ------------------------------------------------------------------------------------

static uint32_t parse_choice(const redisReply *r, uint32_t *cached, double *ttft) {
    uint32_t worker = SIM_NOBODY;
    for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i + 1 < r->elements; i += 2) {
        const redisReply *v = r->element[i + 1];
        const char *field = r->element[i]->str;
        if (!field) break;
        if (!strcmp(field, "worker") && v->str) worker = sim_worker_number(v->str, v->len);
        if (!strcmp(field, "cached")) *cached = (uint32_t)v->integer;
        if (!strcmp(field, "ttft") && v->str) *ttft = strtod(v->str, NULL);
    }
    return worker;
}

static uint32_t select_worker(struct shared_routers *p, uint32_t request, uint32_t avoid) {
    begin_command(p, "KVROUTE.SELECT");
    add_texts(p, id_of(p, request), NULL);
    add_prompt(p, request);
    if (avoid != SIM_NOBODY) {
        add_texts(p, "EXCLUDE", "1", name_of(p, avoid), NULL);
    }
    set_clock(p);
    redisReply *r = sim_server_ask(p->server, (int)p->n, p->argv, p->len);
    double ttft = -1;
    uint32_t worker = parse_choice(r, &p->requests[request].cached, &ttft);
    freeReplyObject(r);
    sim_fleet_predicted(p->local.world.fleet, request, ttft);
    return worker;
}

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct shared_routers *p = self;
    struct open_request *o = &p->requests[request];
    *o = (struct open_request){.live = true, .booking = o->booking};
    o->worker =
        p->away ? sim_local_least(&p->local, router, avoid) : select_worker(p, request, avoid);
    return sim_local_take(&p->local, router, o->worker);
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
        return;
    }
    // An answer that came to its end teaches; one that was cut off has put out nothing that counts.
    if (what == SIM_DONE)
        sim_server_sendf(p->server, "KVROUTE.UPDATE " SIM_POOL " %s OUTPUT %u", id,
                         p->local.world.load->requests[request].osl);
    sim_server_sendf(p->server, "KVROUTE.RELEASE " SIM_POOL " %s", id);
    o->booking++;
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
    if (o->prefilled) add_texts(p, "PREFILLED", NULL);
    send_command(p);
}

// Every request's booking is put in order, as CLAIM, UPDATE and RELEASE may all be repeated.
static void catch_up(struct shared_routers *p) {
    set_clock(p);
    for (uint32_t i = 0; i < p->local.world.load->n; i++) {
        struct open_request *o = &p->requests[i];
        if (!o->live) {
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
}

static void close_shared(void *self) {
    struct shared_routers *p = self;
    sim_server_settle(p->server);
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
     .remote = true, .cached = true, .scores = true},
};
