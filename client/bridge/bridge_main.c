// SPDX-License-Identifier: Apache-2.0
// kvroute-bridge: stands beside inference engines and keeps their part of a pool true.
//
// One thread, one loop, one handle for everything: an engine's events are small beside what one core
// can take, and nothing here waits. All state is the engines'; a bridge that dies takes nothing
// with it, and the next one builds it up from the engines' replays.
#include <errno.h>
#include <kvroute/adapters/libevent.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

#include "bridge_metrics.h"
#include "client/common/clock.h"
#include "client/common/config.h"
#include "client/common/descriptors.h"
#include "client/common/log.h"
#include "client/engine/engine_create.h"
#include "client/http1/h1_client.h"
#include "client/http1/h1_tls.h"
#include "feed_socket.h"

enum {
    POOL_POLL_MS = 10000,
    POOL_RETRY_MS = 500,
    MAX_LEAVE_MS = 3000,
    MAX_BULK_US = 10000,
    BRIDGE_SIGNALS = 3,
};

struct bridge_program {
    struct bridge bridge;
    struct event *poll, *leave, *signals[BRIDGE_SIGNALS];
    int argc;
    char **argv;
    bool anew; // once it has left, the program begins again in this process
    size_t left_to_leave;
    enum kvr_code complained;
    int exit_code;
};

// ---- The pool ------------------------------------------------------------------------------------

// The options may leave it to the engines how large blocks are.
static void create_pool(struct bridge *b) {
    char options[sizeof b->config.create + 24];
    uint32_t size;
    if (!b->lacks_size || !bridge_fleet_size(b, &size) ||
        !engine_create_with_size(b->config.create, size, options, sizeof options))
        return;
    b->lacks_size = !kvr_client_create_with(b->context.client, options);
}

// A pool's block size is fixed; another one means that it is another pool, made under the same name.
// All mappings would have to be built anew, so that is left to a new process.
static void on_info(void *ctx, const struct kvr_result *r) {
    struct bridge_program *p = ctx;
    struct bridge_context *a = &p->bridge.context;
    if (r->code == KVR_CODE_CLOSED || p->bridge.leaving) return;
    int64_t size = r->code == KVR_CODE_OK ? kvr_info_int(r, "block_size", 0) : 0;
    struct timeval t = kvr_timeval(size ? POOL_POLL_MS : POOL_RETRY_MS);
    event_add(p->poll, &t);
    if (r->code != p->complained && r->code != KVR_CODE_OK)
        kvr_log_line(KVR_LOG_WARNING, "pool %s: %s %s", p->bridge.config.pool,
                     kvr_code_name(r->code), r->message);
    p->complained = r->code;
    if (!size) return;
    if (a->block_size && a->block_size != size) {
        kvr_log_line(KVR_LOG_ERROR, "pool %s had blocks of %u tokens, now of %lld: leaving",
                     p->bridge.config.pool, (unsigned)a->block_size, (long long)size);
        p->exit_code = 1;
        event_base_loopbreak(a->base);
        return;
    }
    if (!a->block_size)
        kvr_log_line(KVR_LOG_INFO, "pool %s: blocks of %lld tokens", p->bridge.config.pool,
                     (long long)size);
    a->block_size = (uint32_t)size;
    bridge_fleet_update(&p->bridge);
}

static void on_poll(evutil_socket_t fd, short what, void *arg) {
    struct bridge_program *p = arg;
    (void)fd;
    (void)what;
    create_pool(&p->bridge);
    if (kvr_client_info_async(p->bridge.context.client, on_info, p) == KVR_CODE_OK) return;
    struct timeval t = kvr_timeval(POOL_RETRY_MS);
    event_add(p->poll, &t);
}

// ---- Leaving -------------------------------------------------------------------------------------

static void on_engine_left(void *ctx) {
    struct bridge_program *p = ctx;
    if (--p->left_to_leave == 0) event_base_loopbreak(p->bridge.context.base);
}

static void on_too_long(evutil_socket_t fd, short what, void *arg) {
    struct bridge_program *p = arg;
    (void)fd;
    (void)what;
    kvr_log_line(KVR_LOG_WARNING, "the pool doesn't answer; leaving without a word");
    event_base_loopbreak(p->bridge.context.base);
}

static void leave(struct bridge_program *p) {
    struct timeval t = kvr_timeval(MAX_LEAVE_MS);
    p->bridge.leaving = true;
    kvr_log_line(KVR_LOG_INFO, p->anew ? "beginning anew" : "leaving");
    event_add(p->leave, &t);
    event_del(p->poll);
    p->left_to_leave = p->bridge.n_engines + 1;
    bridge_fleet_leave(&p->bridge, on_engine_left, p);
    on_engine_left(p);
}

// The second signal doesn't wait.
static void on_signal(evutil_socket_t fd, short what, void *arg) {
    struct bridge_program *p = arg;
    (void)fd;
    (void)what;
    p->anew = false;
    if (p->bridge.leaving)
        event_base_loopbreak(p->bridge.context.base);
    else
        leave(p);
}

// Another program or other settings: workers stay as they are, since the next one is there long before their time is over.
static void on_anew(evutil_socket_t fd, short what, void *arg) {
    struct bridge_program *p = arg;
    struct bridge_config next = {0};
    char error[400];
    bool help;
    (void)fd;
    (void)what;
    if (p->bridge.leaving) return;
    p->anew = bridge_config_read(&next, p->argc, p->argv, &help, error, sizeof error);
    bridge_config_free(&next);
    if (!p->anew) {
        kvr_log_line(KVR_LOG_ERROR, "not begun anew: %s", error);
        return;
    }
    p->bridge.config.exit = BRIDGE_EXIT_LEAVE;
    leave(p);
}

// ---- Beginning and ending ------------------------------------------------------------------------

// Whatever comes from engines waits for all else, and is interrupted for it.
static struct event_base *new_base(void) {
    static const struct timeval most = {.tv_usec = MAX_BULK_US};
    struct event_config *c = event_config_new();
    struct event_base *base = NULL;
    if (c && event_config_set_max_dispatch_interval(c, &most, -1, BRIDGE_BULK_PRIORITY) == 0)
        base = event_base_new_with_config(c);
    if (c) event_config_free(c);
    if (base) event_base_priority_init(base, BRIDGE_PRIORITIES);
    return base;
}

// Certificates are read once: another bridge is begun for others.
static bool open_http(struct bridge_context *a, char *error, size_t error_size) {
    const struct bridge_config *o = a->config;
    struct h1_tls_options options = {.ca = o->engine_ca,
                                     .cert = o->engine_cert,
                                     .key = o->engine_key,
                                     .insecure = o->engine_insecure};
    a->http = h1_client_new(a->base, &engine_probe_client);
    struct h1_tls *tls = a->http ? h1_tls_new(&options, error, error_size) : NULL;
    if (tls) h1_client_trust(a->http, tls);
    return tls != NULL;
}

static bool open_all(struct bridge_program *p) {
    char error[300] = "no memory";
    struct bridge *b = &p->bridge;
    struct bridge_context *a = &b->context;
    kvr_log_debug(b->config.debug);
    kvr_descriptors_raise();
    a->config = &b->config;
    if (getrandom(&a->secret, sizeof a->secret, 0) != sizeof a->secret)
        a->secret = (uint64_t)time(NULL);
    a->base = new_base();
    a->zmq = zmq_ctx_new();
    a->decoder = bridge_decoder_new();
    if (!a->base || !a->zmq || !a->decoder || !open_http(a, error, sizeof error)) {
        kvr_log_line(KVR_LOG_ERROR, "%s", error);
        return false;
    }
    zmq_ctx_set(a->zmq, ZMQ_MAX_SOCKETS, 65535 / 4);
    struct kvr_loop loop = kvr_libevent(a->base);
    b->lacks_size = *b->config.create && engine_create_lacks_size(b->config.create);
    bool creates = *b->config.create && !b->lacks_size;
    struct kvr_client_options o = {
        .create = creates ? b->config.create : NULL, .log = kvr_log_client, .loop = &loop};
    a->client = kvr_client_open(b->config.redis, b->config.pool, &o, error, sizeof error);
    if (a->client && *b->config.listen) {
        b->metrics = bridge_metrics_serve(b, error, sizeof error);
        if (!b->metrics) {
            kvr_log_line(KVR_LOG_ERROR, "%s", error);
            return false;
        }
    }
    if (!a->client) {
        kvr_log_line(KVR_LOG_ERROR, "redis: %s", error); // the URL may have a password in it
        return false;
    }
    p->poll = event_new(a->base, -1, 0, on_poll, p);
    p->leave = event_new(a->base, -1, 0, on_too_long, p);
    p->signals[0] = evsignal_new(a->base, SIGTERM, on_signal, p);
    p->signals[1] = evsignal_new(a->base, SIGINT, on_signal, p);
    p->signals[2] = evsignal_new(a->base, SIGUSR2, on_anew, p);
    if (!p->poll || !p->leave) return false;
    for (size_t i = 0; i < BRIDGE_SIGNALS; i++)
        if (!p->signals[i] || event_add(p->signals[i], NULL)) return false;
    event_active(p->poll, EV_TIMEOUT, 0);
    return bridge_fleet_open(b);
}

static void close_all(struct bridge_program *p) {
    struct bridge *b = &p->bridge;
    struct bridge_context *a = &b->context;
    struct event *events[] = {p->poll, p->leave, p->signals[0], p->signals[1], p->signals[2]};
    h1_server_free(b->metrics);
    bridge_fleet_close(b);
    kvr_client_close(a->client);
    bridge_decoder_free(a->decoder);
    h1_client_free(a->http);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i]) event_free(events[i]);
    if (a->zmq) zmq_ctx_term(a->zmq);
    h1_loop_free(a->base);
    libevent_global_shutdown();
    bridge_config_free(&b->config);
}

int main(int argc, char **argv) {
    static struct bridge_program p;
    char error[400];
    bool help;
    p.argc = argc;
    p.argv = argv;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGUSR2, SIG_IGN); // while nobody listens for it, also after exec
    if (kvr_config_version(argc, argv, "kvroute-bridge")) {
        printf("libkvroute %s\n", kvr_client_library());
        return 0;
    }
    if (!bridge_config_read(&p.bridge.config, argc, argv, &help, error, sizeof error)) {
        fprintf(stderr, "kvroute-bridge: %s\n", error);
        bridge_config_free(&p.bridge.config);
        return 2;
    }
    if (help) {
        fputs(bridge_config_usage, stdout);
        return 0;
    }
    p.exit_code = 1;
    if (open_all(&p)) {
        p.exit_code = 0;
        event_base_dispatch(p.bridge.context.base);
    }
    close_all(&p);
    if (p.anew && !p.exit_code) {
        execvp(argv[0], argv);
        fprintf(stderr, "kvroute-bridge: %s: %s\n", argv[0], strerror(errno));
        return 1;
    }
    return p.exit_code;
}
