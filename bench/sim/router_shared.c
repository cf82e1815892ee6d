// SPDX-License-Identifier: Apache-2.0
// Routers on the shared pool: SELECT for each request, UPDATE and RELEASE as it goes on, and EVENT from
// the engines, to the real module in a real redis-server, in the order of virtual time.
//
// The server's clock shows the run's time, so the module learns from times as it does in life. A command whose
// effect carries a time goes after `tick`.
//
// When the server dies, routers do what libkvroute does: the engine with the fewest requests of their own
// while it is away; then they book what they chose meanwhile, and, when it came back empty, what it has
// lost. Engines publish all that they cache under a new epoch.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/memory.h"
#include "core.h"
#include "routers.h"
#include "shared.h"

// What the routers keep of a request that is under way.
struct open_request {
    uint32_t worker, cached;
    uint16_t booking; // counts up, so that each try has an id of its own
    bool live, prefilled;
};

struct pool {
    struct world world;
    struct shared *shared;
    struct local local; // for when the server is away
    struct open_request *requests;
    uint64_t epoch[MAX_WORKERS], seq[MAX_WORKERS];
    uint64_t known[MAX_WORKERS]; // changes up to this number were published otherwise
    bool away;
    const char **argv; // of an event
    size_t *len, room_argv, room_len;
    uint64_t *moved;
    size_t room_moved;
};

// ---- Commands ------------------------------------------------------------------------------------

struct number {
    char text[24];
};

static void word(struct pool *p, size_t *n, const void *bytes, size_t len) {
    p->argv = memory_grow(p->argv, &p->room_argv, *n + 1, sizeof *p->argv);
    p->len = memory_grow(p->len, &p->room_len, *n + 1, sizeof *p->len);
    p->argv[*n] = bytes;
    p->len[(*n)++] = len;
}

static void text(struct pool *p, size_t *n, const char *s) {
    word(p, n, s, strlen(s));
}

// The blocks of a request and what goes with them; what is written goes to `room`.
struct prompt {
    struct number isl;
    char session[CORE_SESSION];
};

static void add_prompt(struct pool *p, size_t *n, uint32_t request, struct prompt *room) {
    const struct request *q = &p->world.load->requests[request];
    struct kvr_bytes session = core_session(&p->world, request, room->session);
    snprintf(room->isl.text, sizeof room->isl.text, "%u", q->isl);
    text(p, n, "HASHES");
    word(p, n, request_hashes(p->world.load, request), q->blocks * sizeof(uint64_t));
    text(p, n, "ISL");
    text(p, n, room->isl.text);
    if (!session.n) return;
    text(p, n, "SESSION");
    word(p, n, session.p, session.n);
}

static void id_of(const struct pool *p, uint32_t request, char out[32]) {
    snprintf(out, 32, "%u.%u", request, p->requests[request].booking);
}

static void tick(struct pool *p) {
    shared_at(p->shared, core_ms(*p->world.now));
}

static void add_worker(struct pool *p, uint32_t worker) {
    char room[CORE_NAME];
    tick(p);
    shared_sendf(p->shared, "KVROUTE.WORKER SET " POOL " %s ADDR sim:%u CAPACITY %lu",
                 core_name(worker, room).p, worker, (unsigned long)p->world.capacity[worker]);
    p->epoch[worker]++;
    p->seq[worker] = 0;
}

static void make_pool(struct pool *p) {
    char words[512];
    snprintf(words, sizeof words, "KVROUTE.CREATE " POOL " BLOCKSIZE %u LEASE 0 POLICY %s %s",
             p->world.load->block_size, kvr_policies[p->world.rule.policy].name, p->world.words);
    shared_sendf(p->shared, "DEL " POOL);
    shared_settle(p->shared);
    redisReply *r = server_words(&p->shared->server, words);
    if (!r) exit(1);
    freeReplyObject(r);
    for (uint32_t w = 0; w < p->world.workers; w++)
        if (p->world.there[w]) add_worker(p, w);
}

static void *open_pool(const struct world *w) {
    struct pool *p = memory_take(1, sizeof *p);
    p->world = *w;
    p->shared = w->shared;
    p->requests = memory_take(w->load->n, sizeof *p->requests);
    local_open(&p->local, w);
    if (!p->shared || !shared_start(p->shared, core_ms(*w->now))) exit(1);
    make_pool(p);
    return p;
}

// ---- Requests ------------------------------------------------------------------------------------

static uint32_t parse_choice(const redisReply *r, uint32_t *cached, double *ttft) {
    uint32_t worker = NOBODY;
    for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i + 1 < r->elements; i += 2) {
        const redisReply *v = r->element[i + 1];
        const char *field = r->element[i]->str;
        if (!field) break;
        if (!strcmp(field, "worker") && v->str) worker = core_number(v->str, v->len);
        if (!strcmp(field, "cached")) *cached = (uint32_t)v->integer;
        if (!strcmp(field, "ttft") && v->str) *ttft = strtod(v->str, NULL);
    }
    return worker;
}

static uint32_t select_worker(struct pool *p, uint32_t request, uint32_t avoid) {
    struct prompt prompt;
    char id[32], room[CORE_NAME];
    size_t n = 0;
    id_of(p, request, id);
    text(p, &n, "KVROUTE.SELECT");
    text(p, &n, POOL);
    text(p, &n, id);
    add_prompt(p, &n, request, &prompt);
    if (avoid != NOBODY) {
        text(p, &n, "EXCLUDE");
        text(p, &n, "1");
        text(p, &n, core_name(avoid, room).p);
    }
    tick(p);
    redisAppendCommandArgv(p->shared->server.control, (int)n, p->argv, p->len);
    redisReply *r = shared_answer(p->shared);
    double ttft = -1;
    uint32_t worker = parse_choice(r, &p->requests[request].cached, &ttft);
    freeReplyObject(r);
    fleet_predicted(p->world.fleet, request, ttft);
    return worker;
}

static uint32_t choose(void *self, unsigned router, uint32_t request, uint32_t avoid) {
    struct pool *p = self;
    struct open_request *o = &p->requests[request];
    o->live = true;
    o->prefilled = false;
    o->cached = 0;
    o->worker = p->away ? local_least(&p->local, router, avoid) : select_worker(p, request, avoid);
    return local_take(&p->local, router, o->worker);
}

static void on_news(void *self, unsigned router, uint32_t request, uint32_t worker,
                    enum news what) {
    struct pool *p = self;
    struct open_request *o = &p->requests[request];
    char id[32];
    local_news(&p->local, router, worker, what);
    id_of(p, request, id);
    if (what == PREFILLED) {
        o->prefilled = true;
        if (p->away) return;
        tick(p);
        shared_sendf(p->shared, "KVROUTE.UPDATE " POOL " %s PREFILLED", id);
        return;
    }
    o->live = false;
    // What ends while the server is away is released when it is back; see catch_up.
    // An answer that came to its end teaches; one that was cut off has put out nothing that counts.
    if (p->away) return;
    tick(p);
    if (what == DONE)
        shared_sendf(p->shared, "KVROUTE.UPDATE " POOL " %s OUTPUT %u", id,
                     p->world.load->requests[request].osl);
    shared_sendf(p->shared, "KVROUTE.RELEASE " POOL " %s", id);
    o->booking++;
}

// ---- Events --------------------------------------------------------------------------------------

static void begin_event(struct pool *p, size_t *n, uint32_t worker, char room[CORE_NAME],
                        struct number number[2]) {
    snprintf(number[0].text, sizeof number[0].text, "%llu", (unsigned long long)p->epoch[worker]);
    snprintf(number[1].text, sizeof number[1].text, "%llu", (unsigned long long)++p->seq[worker]);
    *n = 0;
    text(p, n, "KVROUTE.EVENT");
    text(p, n, POOL);
    text(p, n, core_name(worker, room).p);
    text(p, n, "0");
    text(p, n, number[0].text);
    text(p, n, number[1].text);
}

static void add_stored(struct pool *p, size_t *n, const uint64_t *parent, const uint64_t *hashes,
                       size_t count) {
    text(p, n, "STORED");
    if (parent)
        word(p, n, parent, sizeof *parent);
    else
        text(p, n, "-");
    text(p, n, "HASHES");
    word(p, n, hashes, count * sizeof *hashes);
}

// What moved in the second tier; the hashes go to room that lasts until the event is sent.
static void add_moved(struct pool *p, size_t *n, const struct change *x) {
    p->moved = memory_grow(p->moved, &p->room_moved, x->n_moved, sizeof *p->moved);
    for (size_t i = 0, run; i < x->n_moved; i += run) {
        run = host_run(x->moved + i, x->n_moved - i, p->moved + i);
        const struct moved *last = &x->moved[i + run - 1];
        text(p, n, "TIER");
        text(p, n, "host");
        if (last->stored) {
            add_stored(p, n, last->depth ? &last->parent : NULL, p->moved + i, run);
        } else {
            text(p, n, "REMOVED");
            text(p, n, "HASHES");
            word(p, n, p->moved + i, run * sizeof *p->moved);
        }
    }
}

static void on_changed(void *self, const struct change *x) {
    struct pool *p = self;
    if (p->away || x->number <= p->known[x->worker]) return;
    size_t n;
    char room[CORE_NAME];
    struct number number[2];
    begin_event(p, &n, x->worker, room, number);
    if (x->n_moved) add_moved(p, &n, x);
    if (x->n_removed) {
        text(p, &n, "REMOVED");
        text(p, &n, "HASHES");
        word(p, &n, x->removed, x->n_removed * sizeof *x->removed);
    }
    for (size_t i = 0; i < x->n_stored; i++) {
        const struct stored *s = &x->stored[i];
        const uint64_t *hashes = request_hashes(p->world.load, s->request);
        add_stored(p, &n, s->from ? &hashes[s->from - 1] : NULL, hashes + s->from, s->to - s->from);
    }
    shared_send(p->shared, (int)n, p->argv, p->len);
}

static void on_worker(void *self, uint32_t worker, bool there) {
    struct pool *p = self;
    char room[CORE_NAME];
    p->known[worker] = 0;
    if (p->away) return;
    if (there)
        add_worker(p, worker);
    else
        shared_sendf(p->shared, "KVROUTE.WORKER DEL " POOL " %s", core_name(worker, room).p);
}

// ---- The server goes, and comes back -------------------------------------------------------------

struct publishing {
    struct pool *p;
    uint32_t worker;
    uint64_t hash, parent;
};

static void publish_block(void *ctx, uint64_t hash, const uint64_t *parent) {
    struct publishing *x = ctx;
    size_t n;
    char room[CORE_NAME];
    struct number number[2];
    x->hash = hash;
    if (parent) x->parent = *parent;
    begin_event(x->p, &n, x->worker, room, number);
    add_stored(x->p, &n, parent ? &x->parent : NULL, &x->hash, 1);
    shared_send(x->p->shared, (int)n, x->p->argv, x->p->len);
}

static void publish_host(void *ctx, const struct moved *m) {
    struct publishing *x = ctx;
    size_t n;
    char room[CORE_NAME];
    struct number number[2];
    begin_event(x->p, &n, x->worker, room, number);
    text(x->p, &n, "TIER");
    text(x->p, &n, "host");
    add_stored(x->p, &n, m->depth ? &m->parent : NULL, &m->hash, 1);
    shared_send(x->p->shared, (int)n, x->p->argv, x->p->len);
}

static void publish_all(struct pool *p, uint32_t worker) {
    const struct kv *kv = fleet_kv(p->world.fleet, worker, &p->known[worker]);
    struct publishing x = {.p = p, .worker = worker};
    p->epoch[worker]++;
    p->seq[worker] = 0;
    const struct host *host = fleet_host(p->world.fleet, worker);
    if (kv) kv_each(kv, publish_block, &x);
    if (host) host_each(host, publish_host, &x);
}

static void claim(struct pool *p, uint32_t request) {
    const struct open_request *o = &p->requests[request];
    struct prompt prompt;
    struct number cached;
    char id[32], room[CORE_NAME];
    size_t n = 0;
    id_of(p, request, id);
    snprintf(cached.text, sizeof cached.text, "%u", o->cached);
    text(p, &n, "KVROUTE.CLAIM");
    text(p, &n, POOL);
    text(p, &n, id);
    text(p, &n, core_name(o->worker, room).p);
    text(p, &n, "0");
    add_prompt(p, &n, request, &prompt);
    text(p, &n, "CACHED");
    text(p, &n, cached.text);
    if (o->prefilled) text(p, &n, "PREFILLED");
    shared_send(p->shared, (int)n, p->argv, p->len);
}

// Every request's booking is put in order, as CLAIM, UPDATE and RELEASE may all be repeated.
static void catch_up(struct pool *p) {
    tick(p);
    for (uint32_t i = 0; i < p->world.load->n; i++) {
        struct open_request *o = &p->requests[i];
        char id[32];
        id_of(p, i, id);
        if (!o->live) {
            shared_sendf(p->shared, "KVROUTE.RELEASE " POOL " %s", id);
            o->booking++;
        } else if (p->world.there[o->worker]) {
            claim(p, i);
            if (o->prefilled) shared_sendf(p->shared, "KVROUTE.UPDATE " POOL " %s PREFILLED", id);
        }
    }
}

static void on_server(void *self, bool up, bool lost) {
    struct pool *p = self;
    p->away = !up;
    if (!up) return;
    if (lost) make_pool(p);
    for (uint32_t w = 0; w < p->world.workers; w++) {
        char room[CORE_NAME];
        if (p->world.there[w]) {
            add_worker(p, w);
            publish_all(p, w);
        } else {
            shared_sendf(p->shared, "KVROUTE.WORKER DEL " POOL " %s", core_name(w, room).p);
        }
    }
    catch_up(p);
}

static void close_pool(void *self) {
    struct pool *p = self;
    shared_settle(p->shared);
    free(p->requests);
    free(p->argv);
    free(p->len);
    free(p->moved);
    free(p);
}

const struct router router_shared = {
    .name = "shared",
    .what = "no state: the shared pool decides and books",
    .remote = true,
    .cached = true,
    .scores = true,
    .open = open_pool,
    .choose = choose,
    .news = on_news,
    .changed = on_changed,
    .worker = on_worker,
    .server = on_server,
    .close = close_pool,
};
