// SPDX-License-Identifier: Apache-2.0
// See ha_load.h.
#include "ha_load.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define HA_LONG_LEASES "BLOCKSIZE 16 LEASE 600000 WORKERTTL 300000"
enum { HA_LONG_DEADLINE_MS = 45000 };

// Every process of it that runs, clients first.
static struct ha_process *member(struct ha_load *s, size_t i) {
    if (i < s->n_clients) return s->clients[i].process;
    i -= s->n_clients;
    return i < HA_PUBLISHERS ? s->publishers[i].process : NULL;
}

static size_t members(const struct ha_load *s) {
    return s->n_clients + HA_PUBLISHERS;
}

static bool all_registered(void *ctx) {
    const struct ha_load *s = ctx;
    for (size_t i = 0; i < HA_PUBLISHERS; i++)
        if (s->publishers[i].registered < HA_WORKERS_EACH) return false;
    return true;
}

struct ha_served {
    const struct ha_load *load;
    int64_t since;
};

static bool all_served(void *ctx) {
    const struct ha_served *w = ctx;
    for (size_t i = 0; i < w->load->n_clients; i++)
        if (w->load->clients[i].last_true <= w->since) return false;
    return true;
}

void ha_load_wait_served(struct ha_load *s, int64_t since) {
    struct ha_served w = {s, since};
    ha_wait(all_served, &w, "every client has been answered by a primary");
}

static void make_url(char *out, size_t size, const char *url, int64_t deadline) {
    snprintf(out, size, "%s?deadline=%d&timeout=1000&connect_timeout=500", url,
             (int)(deadline ? deadline : HA_LONG_DEADLINE_MS));
}

struct ha_load *ha_load_start(const struct ha_load_plan *plan, struct ha_server *primary) {
    struct ha_load *s = ha_share(sizeof *s);
    const char *pool = plan->pool ? plan->pool : HA_LONG_LEASES;
    char create[200];
    snprintf(create, sizeof create, "KVROUTE.CREATE pool %s", pool);
    ha_call_ok(primary, create);
    s->n_clients = plan->clients ? plan->clients : HA_MAX_CLIENTS;
    for (size_t i = 0; i < HA_PUBLISHERS; i++) {
        struct ha_publisher *p = &s->publishers[i];
        bool aside = plan->aside && i + 1 == HA_PUBLISHERS;
        p->first = (int)i * HA_WORKERS_EACH;
        p->create = pool;
        make_url(p->url, sizeof p->url, plan->url, 0);
        ha_publisher_start(p, aside);
    }
    ha_wait(all_registered, s, "all workers are registered");
    for (size_t i = 0; i < s->n_clients; i++) {
        struct ha_client *c = &s->clients[i];
        bool aside = i + plan->aside >= s->n_clients;
        c->number = (int)i;
        c->kind = (enum ha_client_kind)(i % HA_KINDS);
        c->create = pool;
        c->degrade = plan->degrade;
        c->hasty = plan->hasty;
        c->renew = plan->renew;
        make_url(c->url, sizeof c->url, plan->url, plan->deadline);
        ha_client_start(c, aside);
    }
    ha_load_wait_served(s, 0);
    for (size_t i = 0; i < s->n_clients; i++)
        s->clients[i].warm = true;
    return s;
}

void ha_load_stop(struct ha_load *s) {
    for (size_t i = 0; i < members(s); i++)
        if (member(s, i)->pid) ha_process_stop(member(s, i));
}

void ha_load_continue(struct ha_load *s) {
    for (size_t i = 0; i < members(s); i++)
        if (member(s, i)->pid) ha_process_continue(member(s, i));
}

size_t ha_load_live(const struct ha_load *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_clients; i++)
        n += ha_client_count(&s->clients[i], HA_REQUEST_LIVE);
    return n;
}

struct ha_order_given {
    struct ha_load *load;
    enum ha_order order;
};

static bool all_reached(void *ctx) {
    const struct ha_order_given *o = ctx;
    struct ha_load *s = o->load;
    int status;
    for (size_t i = 0; i < members(s); i++)
        if (ha_process_ended(member(s, i), &status))
            ha_give_up("%s %zu ended by itself (status %d)",
                       i < s->n_clients ? "client" : "publisher", i, status);
    for (size_t i = 0; i < s->n_clients; i++)
        if (s->clients[i].process->pid && s->clients[i].reached < (int)o->order) return false;
    for (size_t i = 0; i < HA_PUBLISHERS; i++)
        if (s->publishers[i].reached < (int)o->order) return false;
    return true;
}

void ha_load_order(struct ha_load *s, enum ha_order order) {
    struct ha_order_given o = {s, order};
    for (size_t i = 0; i < s->n_clients; i++)
        s->clients[i].order = (int)order;
    for (size_t i = 0; i < HA_PUBLISHERS; i++)
        s->publishers[i].order = (int)order;
    ha_wait(all_reached, &o, "clients and publishers have carried out an order");
}

struct ha_ending {
    struct ha_process *process;
    int status;
};

static bool has_ended(void *ctx) {
    struct ha_ending *e = ctx;
    return ha_process_ended(e->process, &e->status);
}

size_t ha_load_end(struct ha_load *s) {
    size_t bad = 0;
    for (size_t i = 0; i < s->n_clients; i++)
        s->clients[i].order = HA_ORDER_END;
    for (size_t i = 0; i < HA_PUBLISHERS; i++)
        s->publishers[i].order = HA_ORDER_END;
    for (size_t i = 0; i < members(s); i++) {
        struct ha_ending e = {member(s, i), 0};
        if (!e.process->pid) continue; // killed by the scenario
        ha_wait(has_ended, &e, "a client has closed its handle");
        bad += !WIFEXITED(e.status) || WEXITSTATUS(e.status) != 0;
    }
    return bad;
}
