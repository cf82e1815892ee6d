// SPDX-License-Identifier: Apache-2.0
// The mock engine as a whole; see mock_engine.h.
#include "mock_engine.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

#include "mock_life.h"
#include "mock_memory.h"
#include "mock_rooms.h"
#include <kvroute/hash.h>

// Ports are chosen below those that the kernel gives to outgoing connections, and where nobody keeps one for a server
// that doesn't listen yet (tests/support/support_port.c).
enum {
    FIRST_CHOSEN_PORT = 24000,
    N_CHOSEN_PORTS = 8000,
    MAX_PORT_TRIES = 2000,
    MAX_REQUEST_BODY = 64 << 20,
    MAX_QUEUED = 1 << 30,
    MAX_REQUEST_HEADERS = 65536
};

static int some_port(size_t try) {
    uint64_t words[] = {(uint64_t)getpid(), try};
    return FIRST_CHOSEN_PORT + (int)(XXH3_64bits(words, sizeof words) % N_CHOSEN_PORTS);
}

// ---- Event streams -------------------------------------------------------------------------------

// tcp://HOST:PORT with the rank added to the port; an endpoint without a port stays as it is.
static void endpoint_of_rank(char *out, size_t size, const char *endpoint, uint32_t rank) {
    const char *colon = strrchr(endpoint, ':');
    int port = colon ? atoi(colon + 1) : 0;
    if (strncmp(endpoint, "tcp://", 6) != 0 || port <= 0)
        snprintf(out, size, "%s", endpoint);
    else
        snprintf(out, size, "%.*s:%d", (int)(colon - endpoint), endpoint, port + (int)rank);
}

static void free_publishers(struct mock_engine *m) {
    for (size_t i = 0; i < MOCK_MAX_RANKS; i++) {
        mock_publisher_free(m->publishers[i]);
        m->publishers[i] = NULL;
    }
}

static bool open_publishers(struct mock_engine *m, int events_port, int replay_port) {
    const struct mock_options *o = m->options;
    for (uint32_t i = 0; i < o->ranks; i++) {
        char events[300], replay[300];
        snprintf(events, sizeof events, "tcp://%s:%d", o->host, events_port + (int)i);
        if (o->connect) endpoint_of_rank(events, sizeof events, o->connect, i);
        snprintf(replay, sizeof replay, "tcp://%s:%d", o->host, replay_port + (int)i);
        m->publishers[i] = mock_publisher_new(m->base, m->zmq, &o->publish, events,
                                              o->connect != NULL, o->no_replay ? NULL : replay);
        if (m->publishers[i]) continue;
        int error = errno;
        free_publishers(m);
        errno = error;
        return false;
    }
    m->events_port = events_port;
    m->replay_port = replay_port;
    return true;
}

static bool choose_publishers(struct mock_engine *m) {
    const struct mock_options *o = m->options;
    bool chosen = (!o->events_port && !o->connect) || (!o->replay_port && !o->no_replay);
    for (size_t i = 0; i < MAX_PORT_TRIES; i++) {
        int events = o->events_port ? o->events_port : some_port(2 * i);
        int replay = o->replay_port ? o->replay_port : some_port(2 * i + 1);
        if (open_publishers(m, events, replay)) return true;
        if (!chosen || errno != EADDRINUSE) return false;
    }
    return false;
}

// ---- HTTP ----------------------------------------------------------------------------------------

static bool listen_at(struct h1_server *server, const char *host, int port) {
    char where[300], error[400];
    snprintf(where, sizeof where, "%s:%d", host, port);
    return h1_server_listen(server, where, error, sizeof error);
}

bool mock_engine_listen(struct mock_engine *m) {
    return listen_at(m->http, m->options->host, m->http_port);
}

void mock_engine_refuse(struct mock_engine *m) {
    h1_server_unlisten(m->http);
}

// At the wanted port, or if that is 0 at one that is free; from: where the search begins.
static bool choose_port(const struct mock_engine *m, struct h1_server *server, int wanted,
                        size_t from, int *port) {
    *port = wanted;
    for (size_t i = 0; i < MAX_PORT_TRIES; i++) {
        if (!wanted) *port = some_port(from + i);
        if (listen_at(server, m->options->host, *port)) return true;
        if (wanted || errno != EADDRINUSE) return false;
    }
    return false;
}

static struct mock_exchange *exchange_of(struct kvr_list_item *i) {
    return (struct mock_exchange *)((char *)i - offsetof(struct mock_exchange, item));
}

static void on_begin(struct h1_exchange *x) {
    kvr_list_init(&((struct mock_exchange *)x)->item);
}

static void on_done(struct h1_exchange *x) {
    kvr_list_remove(&((struct mock_exchange *)x)->item);
}

static h1_handler *route(struct h1_exchange *x) {
    return ((struct mock_engine *)x->ctx)->serve;
}

static h1_handler *route_side(struct h1_exchange *x) {
    return ((struct mock_engine *)x->ctx)->serve_side;
}

static struct h1_server *new_server(struct mock_engine *m,
                                    h1_handler *(*router)(struct h1_exchange *),
                                    const char *tls_listen) {
    char error[300];
    struct h1_server_options o = h1_server_defaults;
    o.base = m->base;
    o.tls_listen = tls_listen;
    o.tls_cert = m->options->tls_cert;
    o.tls_key = m->options->tls_key;
    o.max_header = MAX_REQUEST_HEADERS;
    o.max_body = MAX_REQUEST_BODY;
    o.max_queued = MAX_QUEUED;
    o.ctx = m;
    o.exchange_size = sizeof(struct mock_exchange);
    o.begin = on_begin;
    o.route = router;
    o.done = on_done;
    return h1_server_new(&o, error, sizeof error);
}

static bool open_http(struct mock_engine *m) {
    m->http = new_server(m, route, NULL);
    return m->http && choose_port(m, m->http, m->options->http_port, (size_t)2 * MAX_PORT_TRIES,
                                  &m->http_port);
}

static bool open_https(struct mock_engine *m) {
    const struct mock_options *o = m->options;
    char where[300];
    if (!o->tls_port) return true;
    snprintf(where, sizeof where, "%s:%d", o->host, o->tls_port);
    m->https = new_server(m, route, where);
    return m->https != NULL;
}

static bool open_side(struct mock_engine *m) {
    m->side = new_server(m, route_side, NULL);
    return m->side && choose_port(m, m->side, m->options->side_port, (size_t)3 * MAX_PORT_TRIES,
                                  &m->side_port);
}

void mock_engine_park(struct mock_engine *m, struct h1_exchange *x) {
    kvr_list_push(&m->parked, &((struct mock_exchange *)x)->item);
}

void mock_engine_resume(struct mock_engine *m) {
    event_active(m->resume, EV_TIMEOUT, 0);
}

// Those that are parked again wait for the next time.
static void on_resume(evutil_socket_t fd, short what, void *ctx) {
    struct mock_engine *m = ctx;
    struct kvr_list_item now, *i;
    (void)fd;
    (void)what;
    kvr_list_init(&now);
    kvr_list_splice(&now, &m->parked);
    while ((i = kvr_list_pop(&now)))
        m->serve(&exchange_of(i)->x);
}

static void reset_all(struct kvr_list_item *list) {
    for (struct kvr_list_item *i; (i = kvr_list_pop(list));) {
        struct h1_exchange *x = &exchange_of(i)->x;
        if (x->on_gone) x->on_gone(x);
        h1_exchange_reset(x);
    }
}

static void drop_background(struct mock_engine *m) {
    for (struct kvr_list_item *i; (i = kvr_list_first(&m->background));) {
        struct mock_background *b = (struct mock_background *)i;
        b->drop(b);
    }
}

// ---- Beginning and end ---------------------------------------------------------------------------

// Batches that go out before anybody can have subscribed: one invented prompt each.
static void publish_at_start(struct mock_engine *m) {
    const struct mock_options *o = m->options;
    struct mock_tokens t = {0};
    for (size_t i = 0; i < o->publish_at_start; i++) {
        t.n = 0;
        for (size_t k = 0; k < 2 * o->engine.block_size; k++)
            mock_tokens_add(&t, mock_answer_token(i, k));
        for (size_t rank = 0; rank < o->ranks; rank++)
            mock_scheduler_warm(m->engines[rank], &t);
    }
    mock_tokens_free(&t);
}

struct mock_engine *mock_engine_new(struct event_base *base, const struct mock_options *options,
                                    h1_handler *serve, h1_handler *serve_side, const char **why) {
    struct mock_engine *m = mock_take(1, sizeof *m);
    *m = (struct mock_engine){.options = options,
                              .base = base,
                              .serve = serve,
                              .serve_side = serve_side,
                              .zmq = zmq_ctx_new(),
                              .rooms = mock_rooms_new()};
    kvr_list_init(&m->stalled);
    mock_transfers_init(&m->transfers, m);
    kvr_list_init(&m->answering);
    kvr_list_init(&m->background);
    kvr_list_init(&m->parked);
    m->resume = evtimer_new(base, on_resume, m);
    *why = "no port for HTTP";
    bool up = open_http(m);
    if (up) {
        *why = "no TLS";
        up = open_https(m);
    }
    if (up && !options->no_events) {
        *why = "no ports for events";
        up = choose_publishers(m);
    }
    if (up && options->kv) {
        *why = "no port for other engines";
        up = open_side(m);
    }
    if (up && options->store) {
        *why = "the shared store can't be opened";
        up = (m->store = mock_store_open(options->store)) != NULL;
    }
    if (!up) {
        mock_engine_free(m);
        return NULL;
    }
    for (uint32_t i = 0; i < options->ranks; i++)
        m->engines[i] =
            mock_scheduler_new(base, &options->engine, i, m->publishers[i], mock_life_of(m, i));
    publish_at_start(m);
    return m;
}

void mock_engine_free(struct mock_engine *m) {
    drop_background(m);
    if (m->http) h1_server_free(m->http); // those that are being answered leave their schedulers
    if (m->https) h1_server_free(m->https);
    if (m->side) h1_server_free(m->side);
    mock_transfers_free(&m->transfers);
    mock_store_close(m->store);
    mock_rooms_free(m->rooms);
    for (size_t i = 0; i < MOCK_MAX_RANKS; i++)
        mock_scheduler_free(m->engines[i]);
    free_publishers(m);
    event_free(m->resume);
    json_decref(m->kept);
    zmq_ctx_term(m->zmq);
    free(m);
}

void mock_engine_restart(struct mock_engine *m, bool cleared, bool rebind) {
    reset_all(&m->answering);
    reset_all(&m->parked);
    drop_background(m);
    mock_transfers_forget(&m->transfers);
    mock_rooms_clear(m->rooms);
    json_decref(m->kept);
    m->kept = NULL;
    m->lives++;
    for (uint32_t i = 0; i < m->options->ranks; i++) {
        if (m->publishers[i]) mock_publisher_restart(m->publishers[i], rebind);
        mock_scheduler_restart(m->engines[i], mock_life_of(m, i), cleared);
    }
}

static json_t *endpoints(const struct mock_engine *m, int port) {
    json_t *all = json_array();
    for (size_t i = 0; i < m->options->ranks; i++)
        json_array_append_new(all, json_sprintf("tcp://%s:%d", m->options->host, port + (int)i));
    return all;
}

json_t *mock_engine_describe(const struct mock_engine *m) {
    const struct mock_options *o = m->options;
    json_t *where =
        json_pack("{s:i,s:o,s:i}", "pid", (int)getpid(), "http",
                  json_sprintf("http://%s:%d", o->host, m->http_port), "http_port", m->http_port);
    if (!o->no_events && !o->connect)
        json_object_set_new(where, "events", endpoints(m, m->events_port));
    if (!o->no_events && !o->no_replay)
        json_object_set_new(where, "replay", endpoints(m, m->replay_port));
    if (m->side) json_object_set_new(where, "side_port", json_integer(m->side_port));
    return where;
}
