// SPDX-License-Identifier: Apache-2.0
#include "discovery_known.h"

#include <kvroute/client.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/http1/h1_address.h"

struct known_engine {
    struct kvr_list_item link;
    struct kvr_table_item item;
    struct discovery_engine e; // labels and texts are behind it, in the same allocation
    uint64_t seen;             // the round it was last in
    uint32_t misses;
};

static struct known_engine *of_item(struct kvr_table_item *i) {
    return i ? (struct known_engine *)(void *)((char *)i - offsetof(struct known_engine, item))
             : NULL;
}

// ---- Copies --------------------------------------------------------------------------------------

static const char *put_text(char **at, const char *text) {
    char *copy = *at;
    size_t n = strlen(text) + 1;
    memcpy(copy, text, n);
    *at += n;
    return copy;
}

static struct known_engine *copy_engine(const struct discovery_engine *e) {
    size_t size = strlen(e->url) + strlen(e->name) + strlen(e->pool) + 3;
    for (size_t i = 0; i < e->n_labels; i++)
        size += e->labels[i].n;
    struct known_engine *k = calloc(1, sizeof *k + e->n_labels * sizeof *e->labels + size);
    if (!k) return NULL;
    struct kvr_bytes *labels = (struct kvr_bytes *)(void *)(k + 1);
    char *at = (char *)(labels + e->n_labels);
    k->e = *e;
    k->e.labels = labels;
    for (size_t i = 0; i < e->n_labels; i++) {
        memcpy(at, e->labels[i].p, e->labels[i].n);
        labels[i] = (struct kvr_bytes){at, e->labels[i].n};
        at += e->labels[i].n;
    }
    k->e.url = put_text(&at, e->url);
    k->e.name = put_text(&at, e->name);
    k->e.pool = put_text(&at, e->pool);
    return k;
}

static bool same_labels(const struct discovery_engine *a, const struct discovery_engine *b) {
    if (a->n_labels != b->n_labels) return false;
    for (size_t i = 0; i < a->n_labels; i++)
        if (a->labels[i].n != b->labels[i].n ||
            memcmp(a->labels[i].p, b->labels[i].p, a->labels[i].n) != 0)
            return false;
    return true;
}

static bool same(const struct discovery_engine *a, const struct discovery_engine *b) {
    return !strcmp(a->name, b->name) && !strcmp(a->pool, b->pool) && a->role == b->role &&
           a->ranks == b->ranks && a->capacity == b->capacity && a->leaving == b->leaving &&
           same_labels(a, b);
}

// ---- What changes --------------------------------------------------------------------------------

static void add(struct discovery_known *k, struct known_engine *fresh) {
    kvr_list_push(&k->engines, &fresh->link);
    kvr_table_add(&k->table, &fresh->item, kvr_text(fresh->e.url));
    k->stats.engines++;
    k->stats.leaving += fresh->e.leaving;
    fresh->seen = k->round;
}

static void take_out(struct discovery_known *k, struct known_engine *old) {
    kvr_list_remove(&old->link);
    kvr_table_remove(&k->table, &old->item);
    k->stats.engines--;
    k->stats.leaving -= old->e.leaving;
}

static void lose(struct discovery_known *k, struct known_engine *old) {
    take_out(k, old);
    k->stats.lost++;
    kvr_log_line(KVR_LOG_INFO, "discover %s: %s has gone", k->config.source, old->e.url);
    k->port.lost(k->port.ctx, &old->e);
    free(old);
}

static void find(struct discovery_known *k, const struct discovery_engine *e) {
    struct known_engine *fresh = copy_engine(e);
    if (!fresh) return; // it will be there in the next answer, too
    add(k, fresh);
    k->stats.found++;
    kvr_log_line(KVR_LOG_INFO, "discover %s: found %s", k->config.source, e->url);
    k->port.found(k->port.ctx, &fresh->e);
}

static void change(struct discovery_known *k, struct known_engine *old,
                   const struct discovery_engine *e) {
    struct known_engine *fresh = copy_engine(e);
    if (!fresh) return;
    take_out(k, old);
    add(k, fresh);
    if (old->e.leaving != e->leaving)
        kvr_log_line(KVR_LOG_INFO, "discover %s: %s is %s", k->config.source, e->url,
                     e->leaving ? "leaving" : "back");
    k->port.changed(k->port.ctx, &fresh->e);
    free(old);
}

void discovery_known_begin(struct discovery_known *k) {
    k->round++;
    k->stats.left_out = 0;
}

static bool is_fit(const struct discovery_engine *e) {
    size_t name = strlen(e->name);
    return name && name <= KVR_MAX_NAME && strlen(e->url) <= KVR_MAX_ADDR && h1_is_url(e->url);
}

void discovery_known_see(struct discovery_known *k, const struct discovery_engine *e) {
    struct known_engine *old = of_item(kvr_table_find(&k->table, kvr_text(e->url)));
    bool fits = old || (k->stats.engines < k->config.max && is_fit(e));
    if (!fits) {
        k->stats.left_out++;
    } else if (!old) {
        if (!e->leaving) find(k, e);
    } else if (old->seen != k->round) {
        old->seen = k->round;
        old->misses = 0;
        if (!same(&old->e, e)) change(k, old, e);
    }
}

void discovery_known_see_at(struct discovery_known *k, const char *host, uint16_t port,
                            const struct kvr_bytes *labels, size_t n_labels, bool leaving) {
    char name[300], url[sizeof name + sizeof k->config.prefix + 9];
    if (strchr(host, '/')) { // what is behind it would be a path
        k->stats.left_out++;
        return;
    }
    const char *open = strchr(host, ':') ? "[" : "", *close = *open ? "]" : "";
    snprintf(name, sizeof name, "%s%.250s%s:%u", open, host, close, port);
    snprintf(url, sizeof url, "%s://%s%s", k->config.scheme == DISCOVERY_HTTPS ? "https" : "http",
             name, k->config.prefix);
    discovery_known_see(k, &(struct discovery_engine){.url = url,
                                                      .name = name,
                                                      .pool = k->config.pool,
                                                      .role = k->config.role,
                                                      .ranks = k->config.ranks,
                                                      .capacity = k->config.capacity,
                                                      .labels = labels,
                                                      .n_labels = n_labels,
                                                      .leaving = leaving});
}

static void miss_unseen(struct discovery_known *k) {
    for (struct kvr_list_item *i = k->engines.next, *next; i != &k->engines; i = next) {
        struct known_engine *one = (struct known_engine *)(void *)i;
        next = i->next;
        if (one->seen != k->round && ++one->misses >= k->misses) lose(k, one);
    }
}

void discovery_known_well(struct discovery_known *k) {
    if (k->stats.failing)
        kvr_log_line(KVR_LOG_INFO, "discover %s: it answers again", k->config.source);
    k->stats.failing = false;
    k->stats.failing_us = 0;
    *k->trouble = 0;
    k->stats.reads++;
    k->stats.read_us = kvr_clock_us();
}

void discovery_known_end(struct discovery_known *k, bool complete) {
    if (!complete) return;
    miss_unseen(k);
    discovery_known_well(k);
    bool news = k->stats.left_out && !k->said_left_out;
    k->said_left_out = k->stats.left_out;
    if (news)
        kvr_log_line(
            KVR_LOG_ERROR,
            "discover %s: %zu engines are left out: more than max (%u), or no name of a host",
            k->config.source, k->stats.left_out, k->config.max);
}

void discovery_known_failed(struct discovery_known *k, const char *format, ...) {
    char text[DISCOVERY_TROUBLE_SIZE];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    k->stats.failures++;
    if (!k->stats.failing) k->stats.failing_us = kvr_clock_us();
    k->stats.failing = true;
    if (strcmp(text, k->trouble) == 0) return;
    memcpy(k->trouble, text, sizeof text);
    kvr_log_line(KVR_LOG_ERROR, "discover %s: %s; the %zu engines that are known stay",
                 k->config.source, text, k->stats.engines);
}

const struct discovery_engine *discovery_known_named(const struct discovery_known *k,
                                                     const char *name) {
    for (const struct kvr_list_item *i = k->engines.next; i != &k->engines; i = i->next) {
        const struct known_engine *one = (const struct known_engine *)(const void *)i;
        if (strcmp(one->e.name, name) == 0) return &one->e;
    }
    return NULL;
}

// ---- Coming and going ----------------------------------------------------------------------------

int discovery_known_init(struct discovery_known *k, const struct discovery_config *config,
                         const struct discovery_port *port) {
    bool dns = config->kind == DISCOVERY_DNS || config->kind == DISCOVERY_SRV;
    *k = (struct discovery_known){
        .config = *config, .port = *port, .misses = dns ? config->misses : 1};
    kvr_list_init(&k->engines);
    uint64_t secret = (uint64_t)kvr_clock_ns(CLOCK_REALTIME) ^ (uint64_t)(uintptr_t)k;
    return kvr_table_init(&k->table, &kvr_alloc_default, secret);
}

void discovery_known_free(struct discovery_known *k) {
    for (struct kvr_list_item *i; (i = kvr_list_pop(&k->engines));)
        free(i);
    kvr_table_free(&k->table);
}
