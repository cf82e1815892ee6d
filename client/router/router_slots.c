// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // memrchr, MAP_ANONYMOUS
#include "router_slots.h"

#include <string.h>
#include <sys/mman.h>

#include "client/common/clock.h"

enum { SLOTS_LOOKS = 1000 };

// What all processes see of one thing, and what is true only if it is so for all.
const struct kvr_prom_rule router_slots_rules[] = {
    {"kvroute_router_build_info", KVR_PROM_MAX},
    {"kvroute_router_start_time_seconds", KVR_PROM_MAX},
    {"kvroute_router_draining", KVR_PROM_MIN},
    {"kvroute_router_processes", KVR_PROM_MAX},
    {"kvroute_router_process_restarts", KVR_PROM_MAX},
    {"kvroute_router_redis_connected", KVR_PROM_MIN},
    {"kvroute_router_pool_workers", KVR_PROM_MAX},
    {"kvroute_router_pool_workers_ready", KVR_PROM_MAX},
    {"kvroute_router_pool_open_circuits", KVR_PROM_MAX},
    {"kvroute_router_pool_requests", KVR_PROM_MAX},
    {"kvroute_router_pool_blocks", KVR_PROM_MAX},
    {"kvroute_router_pool_waiting", KVR_PROM_MAX},
    {"kvroute_router_pool_waiting_tokens", KVR_PROM_MAX},
    {"kvroute_router_pool_admitted", KVR_PROM_MAX},
    {"kvroute_router_pool_refused", KVR_PROM_MAX},
    {"kvroute_router_pool_limited", KVR_PROM_MAX},
    {"kvroute_router_class_waiting", KVR_PROM_MAX},
    {"kvroute_router_discovery_engines", KVR_PROM_MAX},
    {"kvroute_router_discovery_leaving", KVR_PROM_MAX},
    {"kvroute_router_discovery_left_out", KVR_PROM_MAX},
    {"kvroute_router_discovery_failing", KVR_PROM_MAX},
    {"kvroute_instances", KVR_PROM_MAX},
    {"kvroute_instances_wanted", KVR_PROM_MAX},
    {NULL, KVR_PROM_ADD},
};

static size_t size_for(size_t n) {
    return sizeof(struct router_slots) + (n + 1) * sizeof(struct router_slot);
}

struct router_slots *router_slots_new(size_t n) {
    struct router_slots *s = mmap(NULL, size_for(n), PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (s == MAP_FAILED) return NULL;
    s->n = n;
    s->began_us = kvr_clock_us();
    s->began_s = kvr_clock_date_us() / 1000000;
    return s;
}

void router_slots_free(struct router_slots *s) {
    if (s) munmap(s, size_for(s->n));
}

// ---- Showing -------------------------------------------------------------------------------------

static struct router_shown *hidden_page(struct router_slot *t) {
    return &t->pages[(atomic_load(&t->turn) + 1) % 2];
}

static void set_page(struct router_shown *to, const struct router_figures *f,
                     struct evbuffer *page) {
    ev_ssize_t n = evbuffer_copyout(page, to->text, sizeof to->text);
    const char *end = n > 0 ? memrchr(to->text, '\n', (size_t)n) : NULL;
    to->n = end ? (size_t)(end - to->text) + 1 : 0;
    to->figures = *f;
}

void router_slots_show(struct router_slots *s, size_t i, const struct router_figures *f,
                       struct evbuffer *page) {
    struct router_slot *t = &s->all[i];
    struct router_shown *p = hidden_page(t);
    set_page(p, f, page);
    p->lives[i] = t->life;
    atomic_fetch_add(&t->turn, 1);
}

// ---- Reading -------------------------------------------------------------------------------------

// What is read of all slots. Pages come one after the other, which is as good as one by one.
struct slots_view {
    struct router_figures figures;
    char *text; // with_text: the pages
    size_t n, room;
    bool with_text;
    size_t without; // whose figures don't count; 0: nobody's
    unsigned lives[ROUTER_MAX_PROCESSES + 1];
};

static void add_figures(struct router_figures *to, const struct router_figures *f) {
    to->connections += f->connections;
    to->open += f->open;
    to->requests += f->requests;
    to->selects += f->selects;
    to->degraded += f->degraded;
    to->retries += f->retries;
}

// Copies what slot i shows, of one moment: it is changed a few times a second. -1: no memory.
static int copy_page(const struct router_slot *t, struct slots_view *v, struct router_figures *f,
                     unsigned lives[ROUTER_MAX_PROCESSES + 1], size_t *n) {
    for (int i = 0; i < SLOTS_LOOKS; i++) {
        unsigned turn = atomic_load(&t->turn);
        const struct router_shown *p = &t->pages[turn % 2];
        *n = v->with_text && p->n < sizeof p->text ? p->n : 0;
        *f = p->figures;
        memcpy(lives, p->lives, sizeof p->lives);
        if (kvr_alloc_grow(&kvr_alloc_default, &v->text, &v->room, v->n + *n, 1) != 0) return -1;
        if (*n) memcpy(v->text + v->n, p->text, *n);
        atomic_thread_fence(memory_order_acquire);
        if (atomic_load(&t->turn) == turn) break;
    }
    return 0;
}

// 1: what was read of the first slot is old. -1: no memory.
static int view_once(const struct router_slots *s, struct slots_view *v) {
    v->n = 0;
    v->figures = (struct router_figures){.open = 0};
    for (size_t i = 0; i <= s->n; i++) {
        unsigned lives[ROUTER_MAX_PROCESSES + 1];
        struct router_figures f;
        size_t n;
        if (copy_page(&s->all[i], v, &f, lives, &n) != 0) return -1;
        if (!i) memcpy(v->lives, lives, sizeof lives);
        if (i && lives[i] > v->lives[i]) return 1;
        if (i && lives[i] < v->lives[i]) continue;
        v->n += n;
        if (!i || i != v->without) add_figures(&v->figures, &f);
    }
    return 0;
}

static bool view(const struct router_slots *s, struct slots_view *v) {
    int came = 1;
    for (int i = 0; i < SLOTS_LOOKS && came > 0; i++)
        came = view_once(s, v);
    return came == 0;
}

bool router_slots_pages(const struct router_slots *s, struct kvr_prom_sum *to) {
    struct slots_view v = {.with_text = true};
    bool good = view(s, &v) && kvr_prom_sum_add(to, v.text, v.n);
    kvr_alloc_free(&kvr_alloc_default, v.text);
    return good;
}

bool router_slots_figures(const struct router_slots *s, size_t i, struct router_figures *to) {
    struct slots_view v = {.without = i};
    bool good = view(s, &v);
    if (good) add_figures(to, &v.figures);
    kvr_alloc_free(&kvr_alloc_default, v.text);
    return good;
}

void router_slots_add_minutes(const struct router_slots *s, struct router_minutes *to) {
    for (size_t i = 1; i <= s->n; i++)
        router_minutes_add(to, &s->all[i].minutes);
}

size_t router_slots_serving(const struct router_slots *s) {
    size_t n = 0;
    for (size_t i = 1; i <= s->n; i++)
        n += atomic_load(&s->all[i].serves);
    return n;
}

// ---- Connections ---------------------------------------------------------------------------------

bool router_slots_yields(struct router_slots *s, size_t i, size_t connections) {
    atomic_store_explicit(&s->all[i].connections, connections, memory_order_relaxed);
    for (size_t k = 1; k <= s->n; k++)
        if (k != i && atomic_load_explicit(&s->all[k].serves, memory_order_relaxed) &&
            atomic_load_explicit(&s->all[k].connections, memory_order_relaxed) + ROUTER_SLOT_SLACK <
                connections)
            return true;
    return false;
}

// ---- An end --------------------------------------------------------------------------------------

// The page that the first slot is to show: what it shows, and what process i has shown.
static bool join_pages(struct router_slots *s, size_t i, struct evbuffer *out,
                       struct router_figures *figures) {
    struct kvr_prom_sum *sum = kvr_prom_sum_new(&kvr_alloc_default, router_slots_rules);
    bool good = sum != NULL;
    for (int k = 0; k < 2 && good; k++) {
        struct router_slot *t = &s->all[k ? i : 0];
        const struct router_shown *p = &t->pages[atomic_load(&t->turn) % 2];
        if (k && p->lives[i] != t->life) break; // it has shown nothing
        good = kvr_prom_sum_add(sum, p->text, p->n);
        add_figures(figures, &p->figures);
    }
    if (good) kvr_prom_sum_write_lasting(sum, out);
    kvr_prom_sum_free(sum);
    return good;
}

bool router_slots_end(struct router_slots *s, size_t i) {
    struct router_slot *t = &s->all[i], *first = &s->all[0];
    const struct router_shown *old = &first->pages[atomic_load(&first->turn) % 2];
    struct router_shown *fresh = hidden_page(first);
    struct router_figures figures = {.open = 0};
    struct evbuffer *page = evbuffer_new();
    atomic_store(&t->serves, false);
    atomic_store(&t->connections, 0);
    bool good = page && join_pages(s, i, page, &figures);
    figures.connections = figures.open = 0;
    if (good) {
        set_page(fresh, &figures, page);
    } else {
        fresh->figures = old->figures;
        fresh->n = old->n;
        memcpy(fresh->text, old->text, old->n);
    }
    memcpy(fresh->lives, old->lives, sizeof fresh->lives);
    fresh->lives[i] = ++t->life;
    atomic_fetch_add(&first->turn, 1);
    if (page) evbuffer_free(page);
    return good;
}
