// SPDX-License-Identifier: Apache-2.0
// From nothing to the address of a primary.
//
// One server: its address. Sentinels are asked in turn (SENTINEL MASTER); each answer carries a config
// epoch, which grows with every failover, so a Sentinel on the wrong side of a partition gives itself
// away and isn't believed while another one knows more. If none answers, the last known primary is
// tried: it may be back. Nodes of a cluster are asked for the owner of the pool's slot.
//
// While there is a primary, one Sentinel is looked at from time to time: a client that can still reach
// a primary which the others have replaced would write into the void until the partition heals.
#include <stdio.h>
#include <string.h>

#include "client_impl.h"

void find_init(struct kvr_client *c) {
    struct finder *f = &c->finder;
    memcpy(f->nodes, c->where.seeds, c->where.n_seeds * sizeof *f->nodes);
    f->n_nodes = c->where.n_seeds;
    f->target_epoch = f->known_epoch = -1;
}

static void learn(struct finder *f, const struct address *a) {
    for (size_t i = 0; i < f->n_nodes; i++)
        if (address_same(&f->nodes[i], a)) return;
    if (f->n_nodes < NODES) f->nodes[f->n_nodes++] = *a;
}

void find_failed(struct kvr_client *c, const char *why, bool denied, int64_t now) {
    struct finder *f = &c->finder;
    int64_t wait = 0;
    if (f->failures++) {
        wait = BACKOFF_FIRST;
        for (unsigned i = 1; i < f->failures && wait < BACKOFF_MOST; i++)
            wait *= 2;
        wait = client_jitter(c, wait < BACKOFF_MOST ? wait : BACKOFF_MOST);
    }
    if (strcmp(c->why, why) != 0) handle_log(c, KVR_LOG_INFO, "no primary: %s", why);
    snprintf(c->why, sizeof c->why, "%s", why);
    c->denied = denied;
    c->stage = STAGE_IDLE;
    f->retry_at = now + wait;
    if (!f->has_target) f->asking = false;
    client_wake(c, f->retry_at);
}

static void greet(struct kvr_client *c, const struct address *to, int64_t now) {
    struct link_means means = client_means(c);
    struct address at = *to;
    c->finder.has_target = false;
    c->finder.target = at;
    c->stage = STAGE_GREETING;
    if (link_start(&c->primary, &at, &means, now)) find_failed(c, c->primary.why, false, now);
}

// ---- Asking --------------------------------------------------------------------------------------

enum guide_step { STEP_IGNORE, STEP_AUTH, STEP_SENTINELS, STEP_MASTER, STEP_KEYSLOT, STEP_SLOTS };

static void guide_reply(redisAsyncContext *ac, void *reply, void *step);

static void guide_send(struct link *l, enum guide_step step, const char *words,
                       const char *const *more, size_t n_more) {
    if (link_words(l, guide_reply, (void *)(uintptr_t)step, words, more, n_more))
        link_doom(l, "sending failed");
}

void find_guide_opened(struct link *l) {
    struct kvr_client *c = l->owner;
    const struct topology *t = &c->where;
    bool sentinel = t->kind == TOPOLOGY_SENTINEL;
    const char *login[] = {sentinel ? t->sentinel_user : t->user,
                           sentinel ? t->sentinel_password : t->password};
    const char *master = t->master, *pool = c->pool;
    if (login[1][0]) guide_send(l, STEP_AUTH, "AUTH", login, 2);
    if (sentinel) {
        guide_send(l, STEP_SENTINELS, "SENTINEL SENTINELS", &master, 1);
        guide_send(l, STEP_MASTER, "SENTINEL MASTER", &master, 1);
    } else {
        guide_send(l, STEP_KEYSLOT, "CLUSTER KEYSLOT", &pool, 1);
        guide_send(l, STEP_SLOTS, "CLUSTER SLOTS", NULL, 0);
    }
}

static bool sentinel_address(const redisReply *map, struct address *out) {
    const redisReply *ip = answer_field(map, "ip"), *port = answer_field(map, "port");
    if (!ip || !port || ip->type != REDIS_REPLY_STRING || port->type != REDIS_REPLY_STRING)
        return false;
    char text[URL_HOST + 16];
    int n = snprintf(text, sizeof text, "%s:%s", ip->str, port->str);
    return n > 0 && (size_t)n < sizeof text && address_parse(text, (size_t)n, out);
}

static void hear_master(struct kvr_client *c, const redisReply *r) {
    struct finder *f = &c->finder;
    struct address at;
    const redisReply *text = answer_field(r, "config-epoch");
    if (!sentinel_address(r, &at) || !text || text->type != REDIS_REPLY_STRING) {
        link_doom(&c->guide, "the Sentinel doesn't know the master");
        return;
    }
    int64_t epoch = 0;
    for (size_t i = 0; i < text->len && epoch < INT64_MAX / 100; i++)
        if (text->str[i] >= '0' && text->str[i] <= '9') epoch = epoch * 10 + (text->str[i] - '0');
    if (f->checking) {
        if (epoch > f->known_epoch && !address_same(&at, &f->known))
            link_doom(&c->primary, "the Sentinels name another primary");
        else if (epoch > f->known_epoch)
            f->known_epoch = epoch;
    } else if (epoch > f->target_epoch) {
        f->target = at;
        f->target_epoch = epoch;
        f->has_target = epoch >= f->known_epoch;
    }
    link_doom(&c->guide, "done");
}

static void hear_sentinels(struct finder *f, const redisReply *r) {
    struct address at;
    if (r->type != REDIS_REPLY_ARRAY) return;
    for (size_t i = 0; i < r->elements; i++)
        if (sentinel_address(r->element[i], &at)) learn(f, &at);
}

// A node in CLUSTER SLOTS: ip, port, … An empty ip is that of the node that answers.
static bool cluster_address(struct kvr_client *c, const redisReply *r, struct address *out) {
    if (r->type != REDIS_REPLY_ARRAY || r->elements < 2) return false;
    const redisReply *ip = r->element[0], *port = r->element[1];
    if (port->type != REDIS_REPLY_INTEGER || port->integer < 1 || port->integer > 65535)
        return false;
    const char *host = ip->type == REDIS_REPLY_STRING && ip->len ? ip->str : c->guide.address.host;
    int n = snprintf(out->host, sizeof out->host, "%s", host);
    out->port = (int)port->integer;
    return n > 0 && (size_t)n < sizeof out->host;
}

static void hear_slots(struct kvr_client *c, const redisReply *r) {
    struct finder *f = &c->finder;
    struct address at;
    for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i < r->elements; i++) {
        const redisReply *range = r->element[i];
        if (range->type != REDIS_REPLY_ARRAY || range->elements < 3) continue;
        const redisReply *from = range->element[0], *to = range->element[1];
        for (size_t k = 2; k < range->elements; k++)
            if (cluster_address(c, range->element[k], &at)) learn(f, &at);
        if (from->type != REDIS_REPLY_INTEGER || to->type != REDIS_REPLY_INTEGER ||
            f->target_epoch < from->integer || f->target_epoch > to->integer)
            continue;
        if (cluster_address(c, range->element[2], &f->target)) f->has_target = true;
    }
    link_doom(&c->guide, f->has_target ? "done" : "no node serves the pool's slot");
}

static void guide_reply(redisAsyncContext *ac, void *reply, void *ctx) {
    struct link *l = ac->data;
    struct kvr_client *c = l->owner;
    enum guide_step step = (enum guide_step)(uintptr_t)ctx;
    const redisReply *r = reply;
    if (!link_heard(l, reply, clock_ms())) return;
    bool error = r->type == REDIS_REPLY_ERROR;
    if (step == STEP_AUTH && error) link_doom(l, "wrong user or password for the Sentinel or node");
    if (step == STEP_SENTINELS && !error) hear_sentinels(&c->finder, r);
    if (step == STEP_MASTER) hear_master(c, r);
    if (step == STEP_KEYSLOT) { // kept where Sentinel's epoch is kept: a cluster has none
        if (r->type == REDIS_REPLY_INTEGER)
            c->finder.target_epoch = r->integer;
        else
            link_doom(l, "the server is no node of a cluster");
    }
    if (step == STEP_SLOTS) hear_slots(c, r);
}

// ---- Rounds --------------------------------------------------------------------------------------

static bool ask(struct kvr_client *c, int64_t now) {
    struct finder *f = &c->finder;
    struct link_means means = client_means(c);
    const struct address *node = &f->nodes[f->next];
    f->next = (f->next + 1) % f->n_nodes;
    f->asked++;
    return link_start(&c->guide, node, &means, now) == 0;
}

static void end_round(struct kvr_client *c, int64_t now) {
    struct finder *f = &c->finder;
    bool sentinel = c->where.kind == TOPOLOGY_SENTINEL;
    if (sentinel && f->target_epoch >= 0) {
        f->known_epoch = f->target_epoch; // all of them say so
        greet(c, &f->target, now);
    } else if (sentinel && f->has_known) {
        f->target_epoch = f->known_epoch;
        greet(c, &f->known, now);
    } else {
        char why[160];
        snprintf(why, sizeof why, "no %s answers: %.100s", sentinel ? "Sentinel" : "node",
                 c->guide.why);
        find_failed(c, why, false, now);
    }
}

void find_step(struct kvr_client *c, int64_t now) {
    struct finder *f = &c->finder;
    if (c->stage == STAGE_IDLE && now >= f->retry_at && !c->guide.ac) {
        if (c->where.kind == TOPOLOGY_SERVER) {
            greet(c, &f->nodes[0], now);
            return;
        }
        f->asked = 0;
        f->checking = false;
        if (!f->has_target) f->target_epoch = -1;
        c->stage = STAGE_ASKING;
    }
    while (c->stage == STAGE_ASKING && !c->guide.ac) {
        if (f->has_target)
            greet(c, &f->target, now);
        else if (f->asked == f->n_nodes)
            end_round(c, now);
        else
            ask(c, now);
    }
}

void find_check(struct kvr_client *c, int64_t now) {
    struct finder *f = &c->finder;
    if (f->asking && now >= f->asking_until) f->asking = false;
    if (now - c->ready_at >= RECOVERED) f->failures = 0;
    if (c->where.kind != TOPOLOGY_SENTINEL || now < f->check_at || c->guide.ac) return;
    f->checking = true;
    f->asked = 0;
    f->check_at = now + client_jitter(c, SENTINEL_CHECK);
    ask(c, now);
}

bool find_redirect(struct kvr_client *c, const char *error, size_t n, bool ask_it) {
    struct finder *f = &c->finder;
    size_t from = n;
    struct address at;
    while (from > 0 && error[from - 1] != ' ')
        from--;
    char text[URL_HOST + 16];
    const char *host = error[from] == ':' ? c->primary.address.host : "";
    int len = snprintf(text, sizeof text, "%s%.*s", host, (int)(n - from), error + from);
    if (len <= 0 || (size_t)len >= sizeof text || !address_parse(text, (size_t)len, &at))
        return false;
    learn(f, &at);
    f->target = at;
    f->has_target = true;
    f->asking = ask_it;
    f->asking_until = clock_ms() + ASKING_FOR;
    return true;
}
