// SPDX-License-Identifier: Apache-2.0
// kvroute-router: an HTTP door to kvroute pools. See router.h.
#include <event2/event.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/common/log.h"
#include "client/http1/h1_server.h"
#include "client/router/pools/router_pools.h"
#include "client/router/proxy/router_proxy.h"
#include "client/router/router.h"
#include "client/router/router_metrics.h"
#include "router_access.h"
#include "router_front.h"

enum { ROUTER_SETTLE_MS = 2000, ROUTER_DRAIN_TICK_MS = 20 };

struct router_program {
    struct router router;
    int argc;
    char **argv;
    struct event *signals[3], *drain_tick;
    int64_t until;   // µs; draining ends then
    int64_t settled; // µs; the end of waiting for the pools, 0: requests are still open
};

// ---- Leaving -------------------------------------------------------------------------------------

// Open requests first, then what is still to be said to the pools.
static void on_drain_tick(evutil_socket_t fd, short what, void *arg) {
    struct router_program *p = arg;
    struct h1_server_stats st = {0};
    int64_t now = kvr_clock_us();
    struct timeval soon = kvr_timeval(ROUTER_DRAIN_TICK_MS);
    (void)fd;
    (void)what;
    if (p->router.server) h1_server_stats(p->router.server, &st);
    if (!p->settled && (!st.connections || now >= p->until)) {
        if (st.requests) kvr_log_line(KVR_LOG_WARNING, "%zu requests are cut off", st.requests);
        router_front_free(p->router.front);
        p->router.front = NULL;
        p->settled = now + ROUTER_SETTLE_MS * 1000;
    }
    if (p->settled && (router_pools_settled(p->router.pools) || now >= p->settled))
        event_base_loopbreak(p->router.base);
    else
        event_add(p->drain_tick, &soon);
}

// The second signal doesn't wait.
static void on_stop(evutil_socket_t fd, short what, void *arg) {
    struct router_program *p = arg;
    (void)fd;
    (void)what;
    if (p->router.draining) {
        p->until = 0;
        return;
    }
    p->router.draining = true;
    p->until = kvr_clock_us() + p->router.config.drain * 1000;
    kvr_log_line(KVR_LOG_INFO, "leaving");
    h1_server_drain(p->router.server);
    event_active(p->drain_tick, EV_TIMEOUT, 0);
}

// ---- Settings anew -------------------------------------------------------------------------------

// All or nothing. What can't change while the router runs stays as it was, and the log says so.
static void on_reload(evutil_socket_t fd, short what, void *arg) {
    struct router_program *p = arg;
    struct router *r = &p->router;
    struct router_config fresh, old = r->config;
    char error[400] = "no memory";
    bool help;
    (void)fd;
    (void)what;
    if (r->draining) return;
    if (!router_config_read(&fresh, p->argc, p->argv, &help, error, sizeof error)) {
        kvr_log_line(KVR_LOG_ERROR, "settings not changed: %s", error);
        return;
    }
    if (strcmp(fresh.listen, old.listen) != 0 || strcmp(fresh.tls_listen, old.tls_listen) != 0 ||
        fresh.reuse_port != old.reuse_port)
        kvr_log_line(KVR_LOG_WARNING,
                     "listen, tls_listen and reuse_port change with the next start");
    memcpy(fresh.listen, old.listen, sizeof fresh.listen);
    memcpy(fresh.tls_listen, old.tls_listen, sizeof fresh.tls_listen);
    r->config = fresh;
    if (router_access_reload(r->access, error, sizeof error) &&
        router_front_reload(r->front, error, sizeof error) &&
        router_pools_reload(r->pools, error, sizeof error)) {
        router_config_free(&old);
        router_proxy_reload(r->proxy);
        kvr_log_debug(fresh.debug);
        kvr_log_line(KVR_LOG_INFO, "settings read");
        return;
    }
    // Back to the old settings, which were good when they were read.
    r->config = old;
    router_config_free(&fresh);
    kvr_log_line(KVR_LOG_ERROR, "settings not changed: %s", error);
    if (!router_access_reload(r->access, error, sizeof error) ||
        !router_front_reload(r->front, error, sizeof error))
        kvr_log_line(KVR_LOG_ERROR, "%s", error);
}

// ---- Beginning and ending ------------------------------------------------------------------------

static bool open_all(struct router_program *p, char *error, size_t error_size) {
    struct router *r = &p->router;
    static const int numbers[3] = {SIGTERM, SIGINT, SIGHUP};
    kvr_log_debug(r->config.debug);
    r->began_us = kvr_clock_us();
    r->base = event_base_new();
    r->metrics = r->base ? router_metrics_new() : NULL;
    if (!r->metrics) return false;
    if (!(r->access = router_access_new(r, error, error_size)) ||
        !(r->pools = router_pools_new(r, error, error_size)) || !(r->proxy = router_proxy_new(r)) ||
        !(r->front = router_front_new(r, error, error_size)))
        return false;
    p->drain_tick = event_new(r->base, -1, 0, on_drain_tick, p);
    for (int i = 0; i < 3; i++) {
        p->signals[i] = evsignal_new(r->base, numbers[i], i < 2 ? on_stop : on_reload, p);
        if (!p->signals[i] || event_add(p->signals[i], NULL)) return false;
    }
    return p->drain_tick != NULL;
}

static void close_all(struct router_program *p) {
    struct router *r = &p->router;
    router_front_free(r->front);
    router_pools_free(r->pools);
    router_proxy_free(r->proxy);
    router_access_free(r->access);
    router_metrics_free(r->metrics);
    for (int i = 0; i < 3; i++)
        if (p->signals[i]) event_free(p->signals[i]);
    if (p->drain_tick) event_free(p->drain_tick);
    if (r->base) event_base_free(r->base);
    libevent_global_shutdown();
    router_config_free(&r->config);
}

int main(int argc, char **argv) {
    static struct router_program p;
    char error[400] = "no memory";
    bool help;
    p.argc = argc;
    p.argv = argv;
    signal(SIGPIPE, SIG_IGN);
    if (!router_config_read(&p.router.config, argc, argv, &help, error, sizeof error)) {
        fprintf(stderr, "kvroute-router: %s\n", error);
        return 2;
    }
    if (help) {
        fputs(router_config_usage, stdout);
        return 0;
    }
    int code = 1;
    if (open_all(&p, error, sizeof error)) {
        kvr_log_line(KVR_LOG_INFO, "listening at %s %s", p.router.config.listen,
                     p.router.config.tls_listen);
        event_base_dispatch(p.router.base);
        code = 0;
    } else {
        kvr_log_line(KVR_LOG_ERROR, "%s", error);
    }
    close_all(&p);
    return code;
}
