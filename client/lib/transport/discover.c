// SPDX-License-Identifier: Apache-2.0
#include "discover.h"

#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "server_reply.h"

static void learn(struct kvr_discovery *d, const struct kvr_address *a) {
    for (size_t i = 0; i < d->n_nodes; i++)
        if (kvr_address_same(&d->nodes[i], a)) return;
    if (d->n_nodes < KVR_MAX_NODES) d->nodes[d->n_nodes++] = *a;
}

// ---- Asking --------------------------------------------------------------------------------------

enum guide_step { ASK_AUTH, ASK_SENTINELS, ASK_MASTER, ASK_KEYSLOT, ASK_SLOTS };

static void guide_reply(redisAsyncContext *ac, void *reply, void *step);

static void guide_send(struct kvr_connection *l, enum guide_step step, const char *words,
                       const char *const *more, size_t n_more) {
    if (kvr_connection_send_words(l, guide_reply, (void *)(uintptr_t)step, words, more, n_more))
        kvr_connection_fail(l, "sending failed");
}

static void guide_opened(struct kvr_connection *l) {
    struct kvr_discovery *d = l->owner;
    const struct kvr_topology *t = d->topology;
    bool sentinel = t->kind == KVR_TOPOLOGY_SENTINEL;
    const char *login[] = {sentinel ? t->sentinel_user : t->user,
                           sentinel ? t->sentinel_password : t->password};
    const char *master = t->master, *pool = d->context->pool;
    if (login[1][0]) guide_send(l, ASK_AUTH, "AUTH", login, 2);
    if (sentinel) {
        guide_send(l, ASK_SENTINELS, "SENTINEL SENTINELS", &master, 1);
        guide_send(l, ASK_MASTER, "SENTINEL MASTER", &master, 1);
    } else {
        guide_send(l, ASK_KEYSLOT, "CLUSTER KEYSLOT", &pool, 1);
        guide_send(l, ASK_SLOTS, "CLUSTER SLOTS", NULL, 0);
    }
}

static void guide_changed(struct kvr_connection *l) {
    struct kvr_discovery *d = l->owner;
    kvr_context_wake(d->context, 0);
}

static bool sentinel_node(const redisReply *map, struct kvr_address *out) {
    const redisReply *ip = kvr_reply_field(map, "ip"), *port = kvr_reply_field(map, "port");
    if (!ip || !port || ip->type != REDIS_REPLY_STRING || port->type != REDIS_REPLY_STRING)
        return false;
    char text[KVR_MAX_HOST + 16];
    int n = snprintf(text, sizeof text, "%s:%s", ip->str, port->str);
    return n > 0 && (size_t)n < sizeof text && kvr_address_parse(text, (size_t)n, out);
}

static void master_reply(struct kvr_discovery *d, const redisReply *r) {
    struct kvr_address at;
    const redisReply *text = kvr_reply_field(r, "config-epoch");
    if (!sentinel_node(r, &at) || !text || text->type != REDIS_REPLY_STRING) {
        kvr_connection_fail(&d->guide, "the Sentinel doesn't know the master");
        return;
    }
    int64_t epoch = 0;
    for (size_t i = 0; i < text->len && epoch < INT64_MAX / 100; i++)
        if (text->str[i] >= '0' && text->str[i] <= '9') epoch = epoch * 10 + (text->str[i] - '0');
    if (d->checking) {
        if (epoch > d->known_epoch && !kvr_address_same(&at, &d->known))
            kvr_connection_fail(d->primary, "the Sentinels name another primary");
        else if (epoch > d->known_epoch)
            d->known_epoch = epoch;
    } else if (epoch > d->target_epoch) {
        d->target = at;
        d->target_epoch = epoch;
        d->has_target = epoch >= d->known_epoch;
    }
    kvr_connection_fail(&d->guide, "done");
}

static void sentinels_reply(struct kvr_discovery *d, const redisReply *r) {
    struct kvr_address at;
    if (r->type != REDIS_REPLY_ARRAY) return;
    for (size_t i = 0; i < r->elements; i++)
        if (sentinel_node(r->element[i], &at)) learn(d, &at);
}

// A node in CLUSTER SLOTS: ip, port, … An empty ip is that of the node that answers.
static bool cluster_node(struct kvr_discovery *d, const redisReply *r, struct kvr_address *out) {
    if (r->type != REDIS_REPLY_ARRAY || r->elements < 2) return false;
    const redisReply *ip = r->element[0], *port = r->element[1];
    if (port->type != REDIS_REPLY_INTEGER || port->integer < 1 || port->integer > 65535)
        return false;
    const char *host = ip->type == REDIS_REPLY_STRING && ip->len ? ip->str : d->guide.address.host;
    int n = snprintf(out->host, sizeof out->host, "%s", host);
    out->port = (int)port->integer;
    return n > 0 && (size_t)n < sizeof out->host;
}

static void slots_reply(struct kvr_discovery *d, const redisReply *r) {
    struct kvr_address at;
    for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i < r->elements; i++) {
        const redisReply *range = r->element[i];
        if (range->type != REDIS_REPLY_ARRAY || range->elements < 3) continue;
        const redisReply *from = range->element[0], *to = range->element[1];
        for (size_t k = 2; k < range->elements; k++)
            if (cluster_node(d, range->element[k], &at)) learn(d, &at);
        if (from->type != REDIS_REPLY_INTEGER || to->type != REDIS_REPLY_INTEGER ||
            d->target_epoch < from->integer || d->target_epoch > to->integer)
            continue;
        if (cluster_node(d, range->element[2], &d->target)) d->has_target = true;
    }
    kvr_connection_fail(&d->guide, d->has_target ? "done" : "no node serves the pool's slot");
}

static void guide_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    struct kvr_connection *l = ac->data;
    struct kvr_discovery *d = l->owner;
    enum guide_step step = (enum guide_step)(uintptr_t)ctx;
    const redisReply *r = reply;
    if (!kvr_connection_received(l, reply, kvr_clock_ms())) return;
    bool error = r->type == REDIS_REPLY_ERROR;
    if (step == ASK_AUTH && error)
        kvr_connection_fail(l, "wrong user or password for the Sentinel or node");
    if (step == ASK_SENTINELS && !error) sentinels_reply(d, r);
    if (step == ASK_MASTER) master_reply(d, r);
    if (step == ASK_KEYSLOT) { // kept where Sentinel's epoch is kept: a cluster has none
        if (r->type == REDIS_REPLY_INTEGER)
            d->target_epoch = r->integer;
        else
            kvr_connection_fail(l, "the server is no node of a cluster");
    }
    if (step == ASK_SLOTS) slots_reply(d, r);
}

// ---- Rounds --------------------------------------------------------------------------------------

void kvr_discover_init(struct kvr_discovery *d, struct kvr_context *context,
                       const struct kvr_topology *topology,
                       const struct kvr_connection_means *means, struct kvr_connection *primary) {
    *d = (struct kvr_discovery){.context = context,
                                .topology = topology,
                                .means = means,
                                .primary = primary,
                                .n_nodes = topology->n_seeds,
                                .target_epoch = -1,
                                .known_epoch = -1};
    memcpy(d->nodes, topology->seeds, topology->n_seeds * sizeof *d->nodes);
    kvr_connection_init(&d->guide, &context->alloc, d, guide_opened, guide_changed);
}

void kvr_discover_free(struct kvr_discovery *d) {
    kvr_connection_close(&d->guide);
    kvr_connection_free(&d->guide);
}

static void ask_next(struct kvr_discovery *d, int64_t now) {
    const struct kvr_address *node = &d->nodes[d->next];
    d->next = (d->next + 1) % d->n_nodes;
    d->asked++;
    (void)kvr_connection_start(&d->guide, node, d->means,
                               now); // if it can't, the next one is asked
}

static enum kvr_discover_state end_round(struct kvr_discovery *d) {
    bool sentinel = d->topology->kind == KVR_TOPOLOGY_SENTINEL;
    if (sentinel && d->target_epoch >= 0) {
        d->known_epoch = d->target_epoch; // all of them say so
    } else if (sentinel && d->has_known) {
        d->target_epoch = d->known_epoch;
        d->target = d->known;
    } else {
        snprintf(d->why, sizeof d->why, "no %s answers: %.100s", sentinel ? "Sentinel" : "node",
                 d->guide.why);
        return KVR_DISCOVER_FAILED;
    }
    return KVR_DISCOVER_FOUND;
}

void kvr_discover_begin(struct kvr_discovery *d) {
    d->asked = 0;
    d->checking = false;
    if (!d->has_target) d->target_epoch = -1;
}

enum kvr_discover_state kvr_discover_step(struct kvr_discovery *d, int64_t now) {
    if (d->topology->kind == KVR_TOPOLOGY_SERVER) {
        d->target = d->nodes[0];
        return KVR_DISCOVER_FOUND;
    }
    for (; !d->guide.ac; ask_next(d, now)) {
        if (d->has_target) return KVR_DISCOVER_FOUND;
        if (d->asked == d->n_nodes) return end_round(d);
    }
    return KVR_DISCOVER_PENDING;
}

void kvr_discover_verified(struct kvr_discovery *d, int64_t now) {
    d->known = d->primary->address;
    d->has_known = true;
    if (d->topology->kind == KVR_TOPOLOGY_SENTINEL) d->known_epoch = d->target_epoch;
    d->check_at = now + kvr_context_jitter(d->context, KVR_SENTINEL_CHECK);
}

void kvr_discover_check(struct kvr_discovery *d, int64_t now) {
    if (d->asking && now >= d->asking_until) d->asking = false;
    if (d->topology->kind != KVR_TOPOLOGY_SENTINEL || now < d->check_at || d->guide.ac) return;
    d->checking = true;
    d->asked = 0;
    d->check_at = now + kvr_context_jitter(d->context, KVR_SENTINEL_CHECK);
    ask_next(d, now);
}

void kvr_discover_redirect(struct kvr_discovery *d, const char *error, size_t n, bool ask) {
    size_t from = n;
    struct kvr_address at;
    while (from > 0 && error[from - 1] != ' ')
        from--;
    char text[KVR_MAX_HOST + 16];
    const char *host = error[from] == ':' ? d->primary->address.host : "";
    int len = snprintf(text, sizeof text, "%s%.*s", host, (int)(n - from), error + from);
    if (len <= 0 || (size_t)len >= sizeof text || !kvr_address_parse(text, (size_t)len, &at))
        return;
    learn(d, &at);
    d->target = at;
    d->has_target = true;
    d->asking = ask;
    d->asking_until = kvr_clock_ms() + KVR_ASKING_DURATION;
}
