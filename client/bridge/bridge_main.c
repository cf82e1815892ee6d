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
#include <zmq.h>

#include "bridge_metrics.h"
#include "client/common/clock.h"
#include "client/common/log.h"

enum { POOL_POLL_MS = 10000, POOL_RETRY_MS = 500, MAX_LEAVE_MS = 3000 };

struct bridge_program {
    struct bridge bridge;
    struct event *poll, *leave, *signals[2];
    size_t left_to_leave;
    enum kvr_code complained;
    int exit_code;
};

// ---- The pool ------------------------------------------------------------------------------------

static void update_engines(struct bridge_program *p) {
    for (size_t i = 0; i < p->bridge.config.n_engines; i++)
        if (p->bridge.engines[i]) bridge_engine_update(p->bridge.engines[i]);
}

// A pool's block size is fixed; another one means that it is another pool, made under the same name.
// All mappings would have to be built anew, so that is left to a new process.
static void on_info(void *ctx, const struct kvr_result *r) {
    struct bridge_program *p = ctx;
    struct bridge_context *a = &p->bridge.context;
    if (r->code == KVR_CODE_CLOSED) return;
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
    update_engines(p);
}

static void on_poll(evutil_socket_t fd, short what, void *arg) {
    struct bridge_program *p = arg;
    (void)fd;
    (void)what;
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

// The second signal doesn't wait.
static void on_signal(evutil_socket_t fd, short what, void *arg) {
    struct bridge_program *p = arg;
    struct timeval t = kvr_timeval(MAX_LEAVE_MS);
    (void)fd;
    (void)what;
    if (p->bridge.leaving) {
        event_base_loopbreak(p->bridge.context.base);
        return;
    }
    p->bridge.leaving = true;
    kvr_log_line(KVR_LOG_INFO, "leaving");
    event_add(p->leave, &t);
    p->left_to_leave = 1;
    for (size_t i = 0; i < p->bridge.config.n_engines; i++) {
        if (!p->bridge.engines[i]) continue;
        p->left_to_leave++;
        bridge_engine_leave(p->bridge.engines[i], on_engine_left, p);
    }
    on_engine_left(p);
}

// ---- Beginning and ending ------------------------------------------------------------------------

static bool open_all(struct bridge_program *p) {
    char error[300] = "no memory";
    struct bridge *b = &p->bridge;
    struct bridge_context *a = &b->context;
    kvr_log_debug(b->config.debug);
    a->config = &b->config;
    if (getrandom(&a->secret, sizeof a->secret, 0) != sizeof a->secret)
        a->secret = (uint64_t)time(NULL);
    a->base = event_base_new();
    a->zmq = zmq_ctx_new();
    a->http = a->base ? h1_client_new(a->base, &bridge_probe_client) : NULL;
    a->decoder = bridge_decoder_new();
    b->engines = calloc(b->config.n_engines, sizeof *b->engines);
    if (!a->base || !a->zmq || !a->http || !a->decoder || !b->engines) {
        kvr_log_line(KVR_LOG_ERROR, "no memory");
        return false;
    }
    zmq_ctx_set(a->zmq, ZMQ_MAX_SOCKETS, 65535 / 4);
    struct kvr_loop loop = kvr_libevent(a->base);
    struct kvr_client_options o = {.create = *b->config.create ? b->config.create : NULL,
                                   .log = kvr_log_client,
                                   .loop = &loop};
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
    if (!p->poll || !p->leave || !p->signals[0] || !p->signals[1]) return false;
    event_add(p->signals[0], NULL);
    event_add(p->signals[1], NULL);
    event_active(p->poll, EV_TIMEOUT, 0);
    for (size_t i = 0; i < b->config.n_engines; i++)
        if (!(b->engines[i] = bridge_engine_new(a, &b->config.engines[i]))) return false;
    return true;
}

static void close_all(struct bridge_program *p) {
    struct bridge *b = &p->bridge;
    struct bridge_context *a = &b->context;
    struct event *events[] = {p->poll, p->leave, p->signals[0], p->signals[1]};
    h1_server_free(b->metrics);
    for (size_t i = 0; b->engines && i < b->config.n_engines; i++)
        bridge_engine_free(b->engines[i]);
    free(b->engines);
    kvr_client_close(a->client);
    bridge_decoder_free(a->decoder);
    h1_client_free(a->http);
    for (size_t i = 0; i < sizeof events / sizeof *events; i++)
        if (events[i]) event_free(events[i]);
    if (a->zmq) zmq_ctx_term(a->zmq);
    if (a->base) event_base_free(a->base);
    libevent_global_shutdown();
    bridge_config_free(&b->config);
}

int main(int argc, char **argv) {
    static struct bridge_program p;
    char error[400];
    bool help;
    signal(SIGPIPE, SIG_IGN);
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
    return p.exit_code;
}
