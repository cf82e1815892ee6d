// SPDX-License-Identifier: Apache-2.0
// See stage.h.
#include "stage.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

#define LONG_LEASES "BLOCKSIZE 16 LEASE 600000 WORKERTTL 300000"
enum { LONG_DEADLINE_MS = 45000 };

// Every process of it that runs, clients first.
static struct process *member(struct stage *s, size_t i) {
    if (i < s->n_clients) return s->clients[i].process;
    i -= s->n_clients;
    return i < PUBLISHERS ? s->publishers[i].process : NULL;
}

static size_t members(const struct stage *s) {
    return s->n_clients + PUBLISHERS;
}

static bool all_registered(void *ctx) {
    const struct stage *s = ctx;
    for (size_t i = 0; i < PUBLISHERS; i++)
        if (s->publishers[i].registered < OF_ONE) return false;
    return true;
}

struct served {
    const struct stage *stage;
    int64_t since;
};

static bool all_served(void *ctx) {
    const struct served *w = ctx;
    for (size_t i = 0; i < w->stage->n_clients; i++)
        if (w->stage->clients[i].last_true <= w->since) return false;
    return true;
}

void stage_wait_served(struct stage *s, int64_t since) {
    struct served w = {s, since};
    wait_until(all_served, &w, "every client has been answered by a primary");
}

static void make_url(char *out, size_t size, const char *url, int64_t deadline) {
    snprintf(out, size, "%s?deadline=%d&timeout=1000&connect_timeout=500", url,
             (int)(deadline ? deadline : LONG_DEADLINE_MS));
}

struct stage *stage_begin(const struct stage_plan *plan, struct server *primary) {
    struct stage *s = world_share(sizeof *s);
    const char *pool = plan->pool ? plan->pool : LONG_LEASES;
    char create[200];
    snprintf(create, sizeof create, "KVROUTE.CREATE pool %s", pool);
    call_ok(primary, create);
    s->n_clients = plan->clients ? plan->clients : MAX_CLIENTS;
    for (size_t i = 0; i < PUBLISHERS; i++) {
        struct publisher *p = &s->publishers[i];
        bool aside = plan->aside && i + 1 == PUBLISHERS;
        p->first = (int)i * OF_ONE;
        p->create = pool;
        make_url(p->url, sizeof p->url, plan->url, 0);
        publisher_start(p, aside);
    }
    wait_until(all_registered, s, "all workers are registered");
    for (size_t i = 0; i < s->n_clients; i++) {
        struct client *c = &s->clients[i];
        bool aside = i + plan->aside >= s->n_clients;
        c->number = (int)i;
        c->kind = (enum kind)(i % KINDS);
        c->create = pool;
        c->degrade = plan->degrade;
        c->hasty = plan->hasty;
        c->renew = plan->renew;
        make_url(c->url, sizeof c->url, plan->url, plan->deadline);
        client_start(c, aside);
    }
    stage_wait_served(s, 0);
    for (size_t i = 0; i < s->n_clients; i++)
        s->clients[i].warm = true;
    return s;
}

void stage_freeze(struct stage *s) {
    for (size_t i = 0; i < members(s); i++)
        if (member(s, i)->pid) process_stop(member(s, i));
}

void stage_thaw(struct stage *s) {
    for (size_t i = 0; i < members(s); i++)
        if (member(s, i)->pid) process_continue(member(s, i));
}

size_t stage_live(const struct stage *s) {
    size_t n = 0;
    for (size_t i = 0; i < s->n_clients; i++)
        n += client_count(&s->clients[i], REQUEST_LIVE);
    return n;
}

struct ordered {
    struct stage *stage;
    enum order order;
};

static bool all_reached(void *ctx) {
    const struct ordered *o = ctx;
    struct stage *s = o->stage;
    int status;
    for (size_t i = 0; i < members(s); i++)
        if (process_ended(member(s, i), &status))
            give_up("%s %zu ended by itself (status %d)", i < s->n_clients ? "client" : "publisher",
                    i, status);
    for (size_t i = 0; i < s->n_clients; i++)
        if (s->clients[i].process->pid && s->clients[i].reached < (int)o->order) return false;
    for (size_t i = 0; i < PUBLISHERS; i++)
        if (s->publishers[i].reached < (int)o->order) return false;
    return true;
}

void stage_order(struct stage *s, enum order order) {
    struct ordered o = {s, order};
    for (size_t i = 0; i < s->n_clients; i++)
        s->clients[i].order = (int)order;
    for (size_t i = 0; i < PUBLISHERS; i++)
        s->publishers[i].order = (int)order;
    wait_until(all_reached, &o, "clients and publishers have carried out an order");
}

struct ending {
    struct process *process;
    int status;
};

static bool has_ended(void *ctx) {
    struct ending *e = ctx;
    return process_ended(e->process, &e->status);
}

size_t stage_end(struct stage *s) {
    size_t bad = 0;
    for (size_t i = 0; i < s->n_clients; i++)
        s->clients[i].order = ORDER_END;
    for (size_t i = 0; i < PUBLISHERS; i++)
        s->publishers[i].order = ORDER_END;
    for (size_t i = 0; i < members(s); i++) {
        struct ending e = {member(s, i), 0};
        if (!e.process->pid) continue; // killed by the scenario
        wait_until(has_ended, &e, "a client has closed its handle");
        bad += !WIFEXITED(e.status) || WEXITSTATUS(e.status) != 0;
    }
    return bad;
}
