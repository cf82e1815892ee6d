// SPDX-License-Identifier: Apache-2.0
#include "router_neighbours.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "router_pool.h"

enum {
    // CLIENT LIST costs Redis some 10 µs a connection, in which it does nothing else: the more there are the
    // more seldom it is asked, and with too many never.
    NEIGHBOURS_MAX_CONNECTIONS = 1000,
    NEIGHBOURS_LIST_PAUSE_MS = 20, // for each connection
    NEIGHBOURS_MAX_LAG_S = 5,
    NEIGHBOURS_MAX_BEHIND = 4 << 20
};

// ---- The server ----------------------------------------------------------------------------------

static void copy_text(char *out, size_t size, const char *text, size_t n) {
    if (n > size - 1) n = size - 1;
    memcpy(out, text, n);
    out[n] = 0;
}

static const struct kvr_field *field_of(const struct kvr_result *r, const char *name) {
    for (size_t i = 0; i < r->n; i++)
        if (!strcmp(r->fields[i].name.p, name)) return &r->fields[i];
    return NULL;
}

// The value of "name=" in "ip=10.0.0.2,port=6379,state=online,offset=42,lag=0"; p NULL: it isn't there.
static struct kvr_bytes part_of(const char *text, const char *name) {
    size_t size = strlen(name);
    for (const char *at = text; at; at = strchr(at, ','), at += at != NULL)
        if (!strncmp(at, name, size) && at[size] == '=')
            return (struct kvr_bytes){at + size + 1, strcspn(at + size + 1, ",")};
    return (struct kvr_bytes){NULL, 0};
}

static int64_t number_of(const char *text, const char *name, int64_t otherwise) {
    struct kvr_bytes value = part_of(text, name);
    return value.n ? strtoll(value.p, NULL, 10) : otherwise;
}

static bool read_replica(struct router_replica *out, const char *text, int64_t offset) {
    struct kvr_bytes ip = part_of(text, "ip"), port = part_of(text, "port"),
                     state = part_of(text, "state");
    if (!ip.n || !port.n || !state.n) return false;
    bool v6 = memchr(ip.p, ':', ip.n) != NULL;
    snprintf(out->address, sizeof out->address, v6 ? "[%.*s]:%.*s" : "%.*s:%.*s", (int)ip.n, ip.p,
             (int)port.n, port.p);
    out->online = state.n == 6 && !memcmp(state.p, "online", 6);
    out->behind = offset - number_of(text, "offset", 0);
    if (out->behind < 0) out->behind = 0;
    out->lag = number_of(text, "lag", -1);
    return true;
}

bool router_replica_is_behind(const struct router_replica *r) {
    return !r->online || r->lag > NEIGHBOURS_MAX_LAG_S || r->behind > NEIGHBOURS_MAX_BEHIND;
}

static void count_replicas(struct router_neighbours *b, size_t n) {
    b->n_replicas = n;
    if (n >= b->most_replicas) {
        b->most_replicas = n;
        b->fewer_us = 0;
    } else if (!b->fewer_us) {
        b->fewer_us = kvr_clock_us();
    }
}

static void take_server(struct router_neighbours *b, const struct kvr_result *r) {
    const struct kvr_field *version = field_of(r, "valkey_version");
    int64_t offset = kvr_info_int(r, "master_repl_offset", 0);
    if (!version) version = field_of(r, "redis_version");
    if (version) copy_text(b->version, sizeof b->version, version->value.p, version->value.n);
    int64_t said = kvr_info_int(r, "connected_slaves", 0);
    size_t known = 0;
    while (known < ROUTER_MAX_REPLICAS) {
        char name[24];
        snprintf(name, sizeof name, "slave%zu", known);
        const struct kvr_field *f = field_of(r, name);
        if (!f || !read_replica(&b->replicas[known], f->value.p, offset)) break;
        known++;
    }
    count_replicas(b, known == ROUTER_MAX_REPLICAS && said > (int64_t)known ? (size_t)said : known);
    b->server_us = kvr_clock_us();
}

// ---- The other routers ---------------------------------------------------------------------------

// Keeps the names in order, each once: a router has a connection for each pool.
static void add_name(struct router_neighbours *b, const char *name) {
    size_t i = 0;
    int c = 1;
    while (i < b->n_names && (c = strcmp(b->names[i], name)) < 0)
        i++;
    if (i < b->n_names && !c) return;
    if (b->n_names == ROUTER_MAX_NEIGHBOURS) {
        b->crowded = true;
        return;
    }
    memmove(b->names[i + 1], b->names[i], (b->n_names - i) * sizeof b->names[0]);
    snprintf(b->names[i], sizeof b->names[i], "%s", name);
    b->n_names++;
}

static void on_list(void *ctx, const struct kvr_result *r) {
    struct router_pool *p = ctx;
    struct router_neighbours *b = p->neighbours;
    p->asking_neighbours--;
    b->list = r->code;
    if (r->code != KVR_CODE_OK) return;
    b->n_names = 0;
    b->crowded = false;
    for (size_t i = 0; i < r->n; i++) {
        const char *name = router_identity_of(r->fields[i].name.p);
        if (name && strlen(name) < ROUTER_IDENTITY_SIZE) add_name(b, name);
    }
    b->list_us = kvr_clock_us();
}

static void on_server(void *ctx, const struct kvr_result *r) {
    struct router_pool *p = ctx;
    struct router_neighbours *b = p->neighbours;
    p->asking_neighbours--;
    b->server = r->code;
    if (r->code == KVR_CODE_CLOSED) return;
    if (r->code == KVR_CODE_OK) take_server(b, r);
    int64_t connections = r->code == KVR_CODE_OK ? kvr_info_int(r, "connected_clients", 0) : 0;
    if (connections > NEIGHBOURS_MAX_CONNECTIONS) {
        b->crowded = true;
        b->list_us = 0;
        b->n_names = 0;
        return;
    }
    if (kvr_clock_us() < b->list_again_us) return;
    b->list_again_us = kvr_clock_us() + connections * NEIGHBOURS_LIST_PAUSE_MS * 1000;
    p->asking_neighbours += kvr_client_connections_async(p->client, on_list, p) == KVR_CODE_OK;
}

void router_neighbours_ask(struct router_pool *p) {
    int64_t now = kvr_clock_us();
    if (!p->neighbours && !(p->neighbours = calloc(1, sizeof *p->neighbours))) return;
    struct router_neighbours *b = p->neighbours;
    if (p->asking_neighbours ||
        (b->asked_us && now - b->asked_us < (int64_t)ROUTER_NEIGHBOURS_PAUSE_S * 1000000))
        return;
    b->asked_us = now;
    p->asking_neighbours = kvr_client_server_async(p->client, on_server, p) == KVR_CODE_OK;
}
