// SPDX-License-Identifier: Apache-2.0
// kvroute-router: an HTTP door to kvroute pools. See router.h.
#include <event2/event.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/common/alloc.h"
#include "client/common/clock.h"
#include "client/common/config.h"
#include "client/common/descriptors.h"
#include "client/common/log.h"
#include "client/http1/h1_client.h"
#include "client/http1/h1_server.h"
#include "client/router/pools/router_found.h"
#include "client/router/pools/router_own_engines.h"
#include "client/router/pools/router_pools.h"
#include "client/router/pools/router_shared_engines.h"
#include "client/router/pools/router_upstream.h"
#include "client/router/pools/router_waiters.h"
#include "client/router/proxy/router_proxy.h"
#include "client/router/router.h"
#include "client/router/router_metrics.h"
#include "client/router/router_offload.h"
#include "client/router/router_slots.h"
#include "client/router/trace/router_trace.h"
#include "router_access.h"
#include "router_front.h"
#include "router_inherit.h"
#include "router_metrics_page.h"
#include "router_notify.h"
#include "router_parent.h"
#include "router_settled.h"
#include "router_upgrade.h"

enum {
    ROUTER_SETTLE_MS = 2000,
    ROUTER_DRAIN_TICK_MS = 20,
    ROUTER_HOLD_TICK_MS = 20,
    ROUTER_PATIENCE_MS =
        3000, // one of several processes waits so long for Redis where no other serves
    // A router that was replaced hears idle clients for so long, and answers their next request: that they were
    // about to ask is more likely than that they have forgotten it.
    ROUTER_LAST_IDLE_MS = 5000,
    ROUTER_SIGNALS = 4,
    // Between two times that this process shows others what it has counted; and at least so many times what that
    // takes, which is more the more workers have names.
    ROUTER_SHOW_MS = 500,
    ROUTER_SHOW_REST = 100,
};

struct router_program {
    struct router router;
    int argc;
    char **argv;
    struct router_inherited inherited;
    struct router_child child;
    struct router_upgrade *upgrade; // NULL: the parent's
    struct event *signals[ROUTER_SIGNALS], *drain_tick, *hold_tick, *show_tick;
    bool leaving;
    bool told;       // by a signal
    int64_t until;   // µs; leaving ends then
    int64_t settled; // µs; the end of waiting for the pools, 0: requests are still open
};

// ---- Leaving -------------------------------------------------------------------------------------

static bool has_said_all(const struct router *r) {
    return router_pools_settled(r->pools) &&
           router_exporter_is_done(router_tracer_exporter(r->tracer));
}

// Open requests first, then what is still to be said to the pools, and to a collector.
static void on_drain_tick(evutil_socket_t fd, short what, void *arg) {
    struct router_program *p = arg;
    struct h1_server_stats st = {0};
    int64_t now = kvr_clock_us();
    struct timeval soon = kvr_timeval(ROUTER_DRAIN_TICK_MS);
    (void)fd;
    (void)what;
    // Those who wait for room go to another router; where this one was replaced, they may wait on until the end.
    if (!p->router.replaced || p->told || now + ROUTER_SETTLE_MS * 1000 >= p->until)
        router_waiters_leave(&p->router, p->router.config.deadline);
    if (p->router.server) h1_server_stats(p->router.server, &st);
    if (!p->settled && (!st.connections || now >= p->until)) {
        if (st.requests) kvr_log_line(KVR_LOG_WARNING, "%zu requests are cut off", st.requests);
        router_front_free(p->router.front);
        p->router.front = NULL;
        router_exporter_flush(router_tracer_exporter(p->router.tracer));
        p->settled = now + ROUTER_SETTLE_MS * 1000;
    }
    if (p->settled && (has_said_all(&p->router) || now >= p->settled))
        event_base_loopbreak(p->router.base);
    else
        event_add(p->drain_tick, &soon);
}

static void set_serving(const struct router_program *p, bool serves) {
    if (p->child.number) atomic_store(&p->child.slots->all[p->child.number].serves, serves);
}

static void leave(struct router_program *p, int64_t idle_ms) {
    p->leaving = true;
    set_serving(p, false);
    p->until = kvr_clock_us() + p->router.config.drain * 1000;
    h1_server_drain(p->router.server, idle_ms);
    event_active(p->drain_tick, EV_TIMEOUT, 0);
}

static void stop(struct router_program *p) {
    p->router.draining = true;
    p->told = true;
    if (p->leaving) return;
    router_notify_stopping();
    if (p->upgrade) router_upgrade_cancel(p->upgrade);
    if (!p->child.number) kvr_log_line(KVR_LOG_INFO, "leaving");
    leave(p, 0);
}

// The second signal doesn't wait. Where a service is stopped, one that was replaced gets its first then. One of
// several processes may get its own besides what its parent tells it, and knows from that one what isn't to wait.
static void on_stop(evutil_socket_t fd, short what, void *arg) {
    struct router_program *p = arg;
    (void)fd;
    (void)what;
    if (p->told && !p->child.number) p->until = 0;
    stop(p);
}

// ---- Another one in its place --------------------------------------------------------------------

// Requests that come on connections there are already are served on: nobody is told that this one leaves but by
// "Connection: close".
static void make_room(struct router_program *p) {
    if (p->leaving) return;
    p->router.replaced = true;
    h1_server_hand_over(p->router.server);
    leave(p, ROUTER_LAST_IDLE_MS);
}

static void on_replaced(void *ctx, pid_t by) {
    kvr_log_line(KVR_LOG_INFO, "process %d has taken over; leaving", (int)by);
    router_notify_successor(by);
    make_room(ctx);
}

static void on_not_replaced(void *ctx) {
    (void)ctx;
    router_notify_ready();
}

static void on_upgrade(evutil_socket_t fd, short what, void *arg) {
    struct router_program *p = arg;
    (void)fd;
    (void)what;
    if (p->leaving || p->router.hold) {
        kvr_log_line(KVR_LOG_WARNING, "upgrade refused: this process %s",
                     p->leaving ? "is leaving" : "isn't ready yet");
        return;
    }
    if (router_upgrade_start(p->upgrade, p->router.server, p->router.config.upgrade_timeout))
        router_notify_reloading();
}

static void begin_to_serve(struct router_program *p) {
    p->router.hold = false;
    set_serving(p, true);
    if (p->router.server) h1_server_accept(p->router.server);
    if (p->child.number) {
        router_child_say_ready(&p->child);
        return;
    }
    router_inherit_say_ready(&p->inherited);
}

// Processes begin together, and what one says of the router is true of all of them. Without Redis they begin all the same.
static bool has_waited(const struct router_program *p) {
    return kvr_clock_us() - p->router.began_us >= (int64_t)ROUTER_PATIENCE_MS * 1000;
}

// The router that this one replaces, or the other processes of it, serve on until this one does so as well.
static void on_hold_tick(evutil_socket_t fd, short what, void *arg) {
    struct router_program *p = arg;
    struct timeval soon = kvr_timeval(ROUTER_HOLD_TICK_MS);
    (void)fd;
    (void)what;
    if (p->leaving || !p->router.hold) return;
    if (router_has_settled(&p->router) || (p->child.number && !p->child.others && has_waited(p)))
        begin_to_serve(p);
    else
        event_add(p->hold_tick, &soon);
}

// ---- Settings anew -------------------------------------------------------------------------------

// All or nothing. What can't change while the router runs stays as it was, and the log says so.
static void reload(struct router_program *p) {
    struct router *r = &p->router;
    struct router_config fresh, old = r->config;
    struct router_descriptors files = r->files;
    char error[400] = "no memory";
    bool help;
    if (!router_config_read(&fresh, p->argc, p->argv, &help, error, sizeof error)) {
        kvr_log_line(KVR_LOG_ERROR, "settings not changed: %s", error);
        return;
    }
    if (router_config_fix(&fresh, &old) && !p->child.number)
        kvr_log_line(KVR_LOG_WARNING, "%s", router_config_fixed);
    if (p->child.number) router_config_divide(&fresh);
    r->config = fresh;
    if (router_descriptors_share(&r->files, &fresh, error, sizeof error) &&
        router_access_reload(r->access, error, sizeof error) &&
        router_front_reload(r->front, error, sizeof error) &&
        router_upstream_reload(r, error, sizeof error) &&
        router_tracer_reload(r->tracer, error, sizeof error) &&
        router_found_reload(r->found, error, sizeof error) &&
        router_pools_reload(r->pools, error, sizeof error)) {
        router_own_engines_reload(r->own_engines);
        router_config_free(&old);
        kvr_log_debug(fresh.debug);
        kvr_log_line(KVR_LOG_INFO, "settings read");
        return;
    }
    // Back to the old settings, which were good when they were read.
    r->config = old;
    r->files = files;
    router_config_free(&fresh);
    kvr_log_line(KVR_LOG_ERROR, "settings not changed: %s", error);
    if (!router_access_reload(r->access, error, sizeof error) ||
        !router_front_reload(r->front, error, sizeof error) ||
        !router_upstream_reload(r, error, sizeof error) ||
        !router_tracer_reload(r->tracer, error, sizeof error) ||
        !router_found_reload(r->found, error, sizeof error))
        kvr_log_line(KVR_LOG_ERROR, "%s", error);
}

static void on_reload(evutil_socket_t fd, short what, void *arg) {
    struct router_program *p = arg;
    (void)fd;
    (void)what;
    if (p->leaving) return;
    router_notify_reloading();
    reload(p);
    router_notify_ready();
}

// ---- One of several processes --------------------------------------------------------------------

static void on_told(void *ctx, enum router_child_word word) {
    struct router_program *p = ctx;
    switch (word) {
    case ROUTER_CHILD_LEAVE:
        stop(p);
        break;
    case ROUTER_CHILD_NOW:
        stop(p);
        p->until = 0;
        break;
    case ROUTER_CHILD_REPLACED:
        make_room(p);
        break;
    case ROUTER_CHILD_RELOAD:
        if (!p->leaving) reload(p);
        break;
    case ROUTER_CHILD_ACCEPT:
        if (!p->leaving && p->router.hold) begin_to_serve(p);
        break;
    case ROUTER_CHILD_READY:
        break;
    }
}

static void on_show_tick(evutil_socket_t fd, short what, void *arg) {
    struct router_program *p = arg;
    int64_t began = kvr_clock_us();
    (void)fd;
    (void)what;
    router_metrics_show(&p->router);
    int64_t rest = (kvr_clock_us() - began) * ROUTER_SHOW_REST / 1000;
    struct timeval next = kvr_timeval(rest > ROUTER_SHOW_MS ? rest : ROUTER_SHOW_MS);
    event_add(p->show_tick, &next);
}

static bool open_child(struct router_program *p) {
    struct router *r = &p->router;
    struct timeval first = kvr_timeval(ROUTER_SHOW_MS);
    r->metrics->minutes = &r->slots->all[r->process].minutes;
    p->show_tick = event_new(r->base, -1, 0, on_show_tick, p);
    return p->show_tick && !event_add(p->show_tick, &first) &&
           router_child_listen(&p->child, r->base, on_told, p);
}

// What libevent has to say is about resolvers, mostly.
static void on_event_log(int severity, const char *text) {
    kvr_log_line(severity == EVENT_LOG_DEBUG ? KVR_LOG_DEBUG : KVR_LOG_WARNING, "%s", text);
}

// ---- Beginning and ending ------------------------------------------------------------------------

static bool open_all(struct router_program *p, char *error, size_t error_size) {
    struct router *r = &p->router;
    static const struct {
        int number;
        event_callback_fn call;
    } signals[ROUTER_SIGNALS] = {
        {SIGTERM, on_stop}, {SIGINT, on_stop}, {SIGHUP, on_reload}, {SIGUSR2, on_upgrade}};
    struct router_upgrade_options upgrade = {
        .argv = p->argv, .ctx = p, .replaced = on_replaced, .failed = on_not_replaced};
    kvr_log_debug(r->config.debug);
    kvr_list_init(&r->waiters);
    r->began_us = kvr_clock_us();
    r->since_us = r->slots ? r->slots->began_us : r->began_us;
    r->since_s = r->slots ? r->slots->began_s : kvr_clock_date_us() / 1000000;
    r->base = event_base_new();
    r->metrics = r->base ? router_metrics_new() : NULL;
    if (!r->metrics || (r->slots && !open_child(p))) return false;
    kvr_descriptors_raise();
    if (!router_descriptors_share(&r->files, &r->config, error, error_size)) return false;
    json_object_seed(0); // before there are two threads
    if (!(r->offload = router_offload_new(r->base)) ||
        !(r->access = router_access_new(r, error, error_size)) ||
        !(r->tracer = router_tracer_new(r, &kvr_alloc_default, error, error_size)) ||
        !(r->pools = router_pools_new(r, error, error_size)) ||
        !(r->upstream = router_upstream_new(r, error, error_size)) ||
        !(r->found = router_found_new(r, error, error_size)) || !(r->proxy = router_proxy_new(r)) ||
        !(r->own_engines = router_own_engines_new(r)) ||
        !(r->shared_engines = router_shared_engines_new(r)) ||
        !(r->front = router_front_new(r, error, error_size)))
        return false;
    upgrade.base = r->base;
    p->upgrade = r->slots ? NULL : router_upgrade_new(&upgrade);
    p->drain_tick = event_new(r->base, -1, 0, on_drain_tick, p);
    p->hold_tick = event_new(r->base, -1, 0, on_hold_tick, p);
    for (int i = 0; i < ROUTER_SIGNALS; i++) {
        if (r->slots && (signals[i].number == SIGINT || signals[i].number == SIGUSR2)) continue;
        p->signals[i] = evsignal_new(r->base, signals[i].number, signals[i].call, p);
        if (!p->signals[i] || event_add(p->signals[i], NULL)) return false;
    }
    if ((!p->upgrade && !r->slots) || !p->drain_tick || !p->hold_tick) return false;
    if (r->hold) event_active(p->hold_tick, EV_TIMEOUT, 0);
    return true;
}

static void close_all(struct router_program *p) {
    struct router *r = &p->router;
    router_front_free(r->front);
    router_offload_free(r->offload);
    router_found_free(r->found);
    router_pools_free(r->pools);
    router_shared_engines_free(r->shared_engines);
    router_own_engines_free(r->own_engines);
    router_proxy_free(r->proxy);
    h1_client_free(r->upstream);
    router_tracer_free(r->tracer);
    router_access_free(r->access);
    router_metrics_free(r->metrics);
    router_upgrade_free(p->upgrade);
    router_child_close(&p->child);
    for (int i = 0; i < ROUTER_SIGNALS; i++)
        if (p->signals[i]) event_free(p->signals[i]);
    if (p->drain_tick) event_free(p->drain_tick);
    if (p->hold_tick) event_free(p->hold_tick);
    if (p->show_tick) event_free(p->show_tick);
    h1_loop_free(r->base);
    libevent_global_shutdown();
    router_config_free(&r->config);
}

// False: this is the parent, and all is over.
static bool become_one_of_several(struct router_program *p, int *code) {
    struct router *r = &p->router;
    struct router_parent_options o = {
        .config = &r->config, .argc = p->argc, .argv = p->argv, .inherited = &p->inherited};
    if (!router_parent_run(&o, &p->child, code)) return false;
    *code = 1;
    r->slots = p->child.slots;
    r->process = p->child.number;
    r->inherited = p->child.sockets;
    r->n_inherited = p->child.n;
    r->hold = true;
    router_config_divide(&r->config);
    return true;
}

int main(int argc, char **argv) {
    static struct router_program p;
    char error[400] = "no memory";
    bool help;
    p.argc = argc;
    p.argv = argv;
    signal(SIGPIPE, SIG_IGN);
    event_set_log_callback(on_event_log);
    if (kvr_config_version(argc, argv, "kvroute-router")) {
        printf("libkvroute %s\n", kvr_client_library());
        return 0;
    }
    if (!router_config_read(&p.router.config, argc, argv, &help, error, sizeof error)) {
        fprintf(stderr, "kvroute-router: %s\n", error);
        return 2;
    }
    if (help) {
        fputs(router_config_usage, stdout);
        return 0;
    }
    if (!router_inherit(&p.inherited, error, sizeof error)) {
        fprintf(stderr, "kvroute-router: %s\n", error);
        return 2;
    }
    int code = 1;
    if (p.router.config.processes == 1) {
        p.router.inherited = p.inherited.sockets;
        p.router.n_inherited = p.inherited.n;
        p.router.hold = p.inherited.ready >= 0;
    } else if (!become_one_of_several(&p, &code)) {
        router_config_free(&p.router.config);
        libevent_global_shutdown();
        return code;
    }
    if (open_all(&p, error, sizeof error)) {
        const struct router_config *o = &p.router.config;
        if (!p.child.number)
            kvr_log_line(KVR_LOG_INFO, "listening at %s%s%s%s%s", o->listen,
                         *o->listen && *o->tls_listen ? " " : "", o->tls_listen,
                         *o->admin_listen ? ", for operators at " : "", o->admin_listen);
        if (!p.router.hold) router_notify_ready();
        event_base_dispatch(p.router.base);
        router_metrics_show(&p.router);
        code = 0;
    } else {
        kvr_log_line(KVR_LOG_ERROR, "%s", error);
    }
    close_all(&p);
    return code;
}
