// SPDX-License-Identifier: Apache-2.0
#include "router_register.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/router/pools/router_asked_engine.h"
#include "client/router/pools/router_engine_kind.h"
#include "client/router/pools/router_labels.h"
#include "client/router/pools/router_pools.h"
#include "client/router/pools/router_shared_engines.h"
#include "client/router/prompt/router_json.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"
#include "router_register_body.h"
#include "router_workers.h"

// A registration or a removal under way. It outlives the exchange while the pool has to answer.
struct register_call {
    struct router_exchange *x; // NULL: its client has left
    struct router *router;
    struct router_pool *pool;
    struct engine_probe *probe;       // of a registration
    struct router_register_body body; // of a registration
    struct router_remove_words words; // of a removal
    const char *name;                 // in one of the two
    struct engine_probe_facts facts;  // what the engine has said, without its events
    bool asking;                      // the pool is to answer
    int64_t sent_us;                  // when it was asked for its workers
    int status;                       // of the answer to come
};

static void drop(struct register_call *c) {
    engine_probe_free(c->probe);
    router_register_body_free(&c->body);
    free(c);
}

static void on_gone(struct h1_exchange *h1) {
    struct register_call *c = h1->arg;
    c->x = NULL;
    if (!c->asking) drop(c);
}

// The exchange that is to be answered, if anybody still waits; the call is no more.
static struct router_exchange *finish(struct register_call *c) {
    struct router_exchange *x = c->x;
    if (x) x->h1.on_gone = NULL;
    drop(c);
    return x;
}

static void refuse(struct register_call *c, int status, const char *code, const char *message) {
    struct router_exchange *x = finish(c);
    if (x) router_error(x, status, code, message);
}

// The pool has taken the call, or not: then it is over.
static void asked(struct register_call *c, enum kvr_code code) {
    c->asking = code == KVR_CODE_OK;
    if (c->asking) return;
    struct router_exchange *x = finish(c);
    if (x) router_pool_error(x, code, NULL);
}

// False: it has refused it, and that was said.
static bool took(struct register_call *c, const struct kvr_result *r) {
    c->asking = false;
    if (r->code == KVR_CODE_OK) return true;
    struct router_exchange *x = finish(c);
    if (x) router_pool_refusal(x, r);
    return false;
}

// ---- The answer ----------------------------------------------------------------------------------

// Redis is away: it is told when it is back.
static void promise(struct register_call *c) {
    json_t *body =
        json_pack("{s:o,s:b}", "worker", router_json_text(kvr_text(c->name)), "degraded", true);
    struct router_exchange *x = finish(c);
    if (x)
        router_json(x, 202, body);
    else
        json_decref(body);
}

static void on_listed(void *ctx, const struct kvr_result *r) {
    struct register_call *c = ctx;
    if (!took(c, r)) return;
    router_pool_take_workers(c->pool, r, c->sent_us);
    if (c->status == 202) router_shared_engines_remove(c->router->shared_engines, c->pool, c->name);
    const struct router_worker *w = router_pool_worker(c->pool, kvr_text(c->name));
    json_t *body = w ? router_workers_one(w) : NULL;
    int status = c->status;
    struct router_exchange *x = finish(c);
    if (x && body)
        router_json(x, status, body);
    else if (x)
        router_error(x, 409, "NOWORKER", "it was removed meanwhile");
    if (!x) json_decref(body);
}

static void list(struct register_call *c, kvr_done *done) {
    c->sent_us = kvr_clock_us();
    enum kvr_code code = kvr_client_worker_list_async(c->pool->client, done, c);
    asked(c, code);
}

// What was refused isn't to be tried again by the handle: its sender has been told.
static void on_set(void *ctx, const struct kvr_result *r) {
    struct register_call *c = ctx;
    if (r->code != KVR_CODE_OK && r->code != KVR_CODE_CLOSED)
        kvr_client_worker_forget(c->pool->client, kvr_text(c->name));
    if (!took(c, r)) return;
    if (r->degraded) {
        promise(c);
    } else if (!c->x && c->status != 202) {
        drop(c);
    } else {
        if (c->status == 200 && r->number > 0) c->status = 201;
        list(c, on_listed);
    }
}

static void set(struct register_call *c, const struct kvr_worker_call *call) {
    enum kvr_code code = kvr_client_worker_set_async(c->pool->client, call, on_set, c);
    asked(c, code);
}

// ---- An engine joins -----------------------------------------------------------------------------

// The texts of a list but those that say who looks after the worker, and behind them these.
static size_t labels_with(struct kvr_bytes out[KVR_MAX_LABELS], json_t *labels, const char *more,
                          const char *kind) {
    size_t n = 0, i;
    json_t *label;
    bool has_kind = false;
    json_array_foreach(labels, i, label) {
        const char *text = json_string_value(label);
        if (!text || n >= KVR_MAX_LABELS - 2) continue;
        if (router_label_is_own(text)) continue;
        has_kind |= strncmp(text, "engine=", 7) == 0;
        out[n++] = (struct kvr_bytes){text, json_string_length(label)};
    }
    out[n++] = kvr_text(more);
    if (kind && !has_kind) out[n++] = kvr_text(kind);
    return n;
}

static void join(struct register_call *c) {
    const struct router_register_body *b = &c->body;
    const struct engine_probe_facts *f = &c->facts;
    struct kvr_bytes labels[KVR_MAX_LABELS];
    const struct router_worker *w = router_pool_worker(c->pool, kvr_text(c->name));
    uint32_t ranks = b->ranks ? b->ranks : f->ranks ? f->ranks : 1;
    int64_t capacity =
        b->capacity ? b->capacity : engine_probe_blocks(f->cache_tokens, c->pool->block_size);
    enum kvr_role role = b->role == ENGINE_ROLE_ASK ? f->role : (enum kvr_role)b->role;
    bool has_part = role != KVR_ROLE_BOTH || (w && w->role != KVR_ROLE_BOTH);
    struct kvr_worker_call call = {.worker = kvr_text(c->name),
                                   .addr = kvr_text(b->url),
                                   .set = KVR_WORKER_ADDR | KVR_WORKER_RANKS | KVR_WORKER_STATE |
                                          KVR_WORKER_TTL | KVR_WORKER_LABELS |
                                          (capacity ? KVR_WORKER_CAPACITY : 0) |
                                          (has_part ? KVR_WORKER_ROLE : 0),
                                   .ranks = ranks < KVR_MAX_RANKS ? ranks : KVR_MAX_RANKS,
                                   .capacity = capacity,
                                   .role = role,
                                   .state = KVR_READY,
                                   .labels = labels,
                                   .n_labels = labels_with(labels, b->labels, router_label_http,
                                                           router_engine_kind_label(f->kind)),
                                   .ttl = router_shared_engines_ttl(c->router)};
    c->status = 200;
    set(c, &call);
}

// Now it is known what the pool's engines must be like, or that Redis can't say it.
static void compare(struct register_call *c) {
    const struct router_pool *p = c->pool;
    uint32_t size = c->facts.block_size;
    char why[160];
    if (size && p->block_size && !p->predict && size != p->block_size) {
        snprintf(why, sizeof why,
                 "the engine's blocks have %" PRIu32 " tokens, the pool's have %" PRIu32, size,
                 p->block_size);
        refuse(c, 409, "BLOCKSIZE", why);
        return;
    }
    join(c);
}

static void on_seen(void *ctx, const struct kvr_result *r) {
    struct register_call *c = ctx;
    if (r->code != KVR_CODE_TIMEOUT && !took(c, r)) return;
    c->asking = false;
    router_pool_take_info(c->pool, r);
    compare(c);
}

static void on_learned(void *ctx, struct engine_probe_facts *f) {
    struct register_call *c = ctx;
    c->facts = *f;
    c->facts.sources = (struct engine_sources){0};
    // The pool would be of another size for good.
    bool silent = !f->block_size && f->unheard & ENGINE_PROBE_SIZE;
    if (silent && c->pool->lacks_size && !c->pool->block_size) {
        refuse(c, 502, "UNREACHABLE", "the engine didn't say in time how large its blocks are");
        return;
    }
    router_pool_create(c->pool, f->block_size);
    if (c->pool->block_size) {
        compare(c);
        return;
    }
    enum kvr_code code = kvr_client_info_async(c->pool->client, on_seen, c);
    asked(c, code);
}

static void on_answer(void *ctx, const char *trouble, bool deliberate) {
    struct register_call *c = ctx;
    char why[100];
    (void)deliberate;
    if (trouble) {
        snprintf(why, sizeof why, "the engine %s: register it when it is up", trouble);
        refuse(c, 502, "UNREACHABLE", why);
        return;
    }
    engine_probe_learn(c->probe, ENGINE_PROBE_SIZE | ENGINE_PROBE_RANKS | ENGINE_PROBE_CACHE |
                                     ENGINE_PROBE_KIND | ENGINE_PROBE_ROLE);
}

static void on_unasked(void *ctx) {
    refuse(
        ctx, 503, "BUSY",
        "the engine can't be asked: descriptors or memory are short here, or no resolver answers");
}

// Whom it would put out of the pool's list.
static const char *conflict(const struct register_call *c) {
    const struct router_worker *w = router_pool_worker(c->pool, kvr_text(c->name));
    bool other = w && strcmp(w->addr, c->body.url) != 0;
    return other && !router_label_is_shared(w) && w->state != KVR_EXPIRED
               ? "a worker of that name is registered by others, at another address"
               : NULL;
}

// NULL: it has been refused. Named, or the only one.
static struct router_pool *find_pool(struct router_exchange *x, const char *name) {
    const struct router_pools *pools = x->router->pools;
    struct router_pool *first = router_pools_first(pools),
                       *p = *name ? router_pools_named(pools, name) : first;
    if (!p)
        router_error(x, 404, "NOPOOL", "no such pool here");
    else if (!*name && first->next)
        router_error(x, 400, "BADREQUEST", "there are several pools: name pool");
    else
        return p;
    return NULL;
}

static struct register_call *new_call(struct router_exchange *x) {
    struct register_call *c = calloc(1, sizeof *c);
    if (!c) {
        router_error(x, 503, "NOMEM", "no memory");
        return NULL;
    }
    c->x = x;
    c->router = x->router;
    return c;
}

static void take_pool(struct register_call *c, struct router_pool *p, const char *name) {
    router_pools_take(c->x, p);
    c->pool = p;
    c->name = name;
    c->x->h1.arg = c;
    c->x->h1.on_gone = on_gone;
}

static void ask_engine(struct register_call *c) {
    char why[160];
    struct engine_probe_port port = {c, on_answer, on_unasked, on_learned};
    c->probe = router_asked_engine_probe(c->router, c->body.url, &port, why, sizeof why);
    if (c->probe)
        engine_probe_check(c->probe);
    else
        refuse(c, 400, "BADREQUEST", why);
}

void router_register(struct router_exchange *x) {
    char why[160];
    struct register_call *c = new_call(x);
    if (!c) return;
    if (!router_register_body_read(&c->body, x->h1.body, why, sizeof why)) {
        free(c);
        router_error(x, 400, "BADREQUEST", why);
        return;
    }
    h1_exchange_drop_body(&x->h1);
    struct router_pool *p = find_pool(x, c->body.pool);
    if (!p) {
        drop(c);
        return;
    }
    take_pool(c, p, c->body.name);
    const char *trouble = conflict(c);
    if (trouble)
        refuse(c, 409, "EXISTS", trouble);
    else
        ask_engine(c);
}

// ---- A worker leaves -----------------------------------------------------------------------------

static void on_found(void *ctx, const struct kvr_result *r) {
    struct register_call *c = ctx;
    struct kvr_bytes labels[KVR_MAX_LABELS];
    if (!took(c, r)) return;
    router_pool_take_workers(c->pool, r, c->sent_us);
    const struct router_worker *w = router_pool_worker(c->pool, kvr_text(c->name));
    if (!w) {
        refuse(c, 404, "NOWORKER", "no such worker in the pool");
        return;
    }
    if (!router_label_is_shared(w) && w->state != KVR_EXPIRED) {
        refuse(c, 409, "NOTOURS",
               "it is registered by a bridge, or by a router's settings: take it out there");
        return;
    }
    struct kvr_worker_call call = {
        .worker = kvr_text(c->name),
        .set = KVR_WORKER_STATE | KVR_WORKER_TTL | KVR_WORKER_LABELS |
               (c->words.drain >= 0 ? KVR_WORKER_DRAIN : 0),
        .state = KVR_DRAINING,
        .drain = c->words.drain,
        .labels = labels,
        .n_labels = labels_with(labels, w->labels, router_label_leaving, NULL),
    };
    c->status = 202;
    set(c, &call);
}

void router_remove(struct router_exchange *x) {
    static const char remove_path[] = "/kvroute/workers/";
    char why[160];
    struct register_call *c = new_call(x);
    if (!c) return;
    const char *name = x->h1.head.path + sizeof remove_path - 1;
    if (!router_remove_words_read(&c->words, name, x->h1.head.query, why, sizeof why)) {
        free(c);
        router_error(x, 400, "BADREQUEST", why);
        return;
    }
    struct router_pool *p = find_pool(x, c->words.pool);
    if (!p) {
        drop(c);
        return;
    }
    take_pool(c, p, c->words.name);
    list(c, on_found);
}
