// SPDX-License-Identifier: Apache-2.0
// See h1_client.h.
//
// The streams' callbacks come from the loop, so none runs inside a call of ours, and none inside another.
//
// Time: a call has one deadline, moved as it gets on, and one timer looks over all calls a few times
// a second. A timer for each connection would be moved for every token. When the timer comes late,
// this process stood still, and what has come meanwhile hasn't been looked at yet: that time doesn't
// count against the engines.
#include "h1_client.h"

#include <errno.h>

#include <event2/dns.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "client/common/clock.h"
#include "h1_buffer.h"
#include "h1_kept.h"

enum { H1_TICK_MS = 200, H1_MAX_RESPONSE_HEAD = 32768, CLIENT_MAX_COPY = 16384 };

// A name that is being looked up. It outlives its call, since libevent answers after a cancel, too.
struct h1_lookup {
    struct h1_call *call; // NULL: cancelled
};

enum h1_call_stage { H1_CALL_CONNECTING, H1_CALL_SECURING, H1_CALL_WAITING, H1_CALL_READING };

struct h1_call {
    struct h1_client *client;
    struct h1_kept *connection;
    struct h1_callbacks port;
    void *ctx;
    struct h1_call *prev, *next;
    struct h1_head response; // headers NULL: it isn't there
    struct h1_body body;
    size_t seen;   // of a head that isn't complete
    bool headless; // asked by HEAD
    enum h1_call_stage stage;
    struct h1_lookup *lookup; // under way; NULL: none
    struct evdns_getaddrinfo_request *question;
    struct evutil_addrinfo *addresses; // of the name
    unsigned n_addresses, tried;
    int64_t deadline, head_ms;
    int64_t last;    // the deadline isn't moved beyond; 0: as far as one likes
    bool lacking;    // something of this machine's was missing for an address
    bool refused;    // an address was tried, and couldn't be reached
    bool kept;       // the connection had been used before
    bool heard;      // something came
    bool begun;      // of the body, too
    bool paused;     // by the caller
    bool closed;     // the engine has ended the connection; there may be bytes to read
    bool broken;     // not in order: what has no length isn't whole
    bool busy, over; // inside a callback; cancelled in one
};

struct h1_client {
    struct event_base *base;
    struct evdns_base *dns; // NULL: the C library resolves names, and waits for it
    struct h1_client_options options;
    struct h1_kept_set connections;
    struct h1_call *calls;
    size_t n_calls;
    struct h1_handshakes handshakes;
    struct event *tick;
    int64_t tick_at;          // when it is due
    struct evbuffer *passing; // what is handed on
};

static int64_t now_ms(void) {
    return kvr_clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
}

const char *h1_failure_name(enum h1_failure f) {
    static const char *const names[] = {"stale",   "connect",  "local", "reset",
                                        "timeout", "nonsense", "tls"};
    return names[f];
}

static void watch(struct h1_client *u) {
    static const struct timeval soon = {.tv_usec = H1_TICK_MS * 1000};
    if (event_pending(u->tick, EV_TIMEOUT, NULL)) return;
    u->tick_at = now_ms() + H1_TICK_MS;
    event_add(u->tick, &soon);
}

// ---- A call's end --------------------------------------------------------------------------------

static void call_unlink(struct h1_call *c) {
    struct h1_client *u = c->client;
    *(c->prev ? &c->prev->next : &u->calls) = c->next;
    if (c->next) c->next->prev = c->prev;
    u->n_calls--;
}

static void stop_looking_up(struct h1_call *c);

// Takes the connection from the call: kept for the next one, or closed.
static void let_go(struct h1_call *c, bool good) {
    struct h1_kept *k = c->connection;
    struct h1_origin *o = k->origin;
    struct h1_client *u = c->client;
    stop_looking_up(c);
    c->connection = NULL;
    bool whole = !evbuffer_get_length(k->stream->out) && !evbuffer_get_length(k->stream->in);
    o->calls--;
    if (good && whole && !c->closed) {
        h1_kept_put(k, now_ms());
        watch(u);
    } else {
        h1_kept_free(k);
    }
    h1_kept_forget(&u->connections, o);
}

static void call_free(struct h1_call *c) {
    if (c->addresses) evutil_freeaddrinfo(c->addresses);
    h1_head_free(&c->response);
    free(c);
}

static void finish(struct h1_call *c) {
    struct h1_callbacks port = c->port;
    void *ctx = c->ctx;
    let_go(c, c->response.keep);
    call_unlink(c);
    c->over = true;
    port.end(ctx);
    call_free(c);
}

static void note_fault(struct h1_call *c, const struct h1_tls_fault *fault) {
    struct h1_client *u = c->client;
    ++*(fault->certificate ? &u->handshakes.untrusted : &u->handshakes.failed);
    h1_tls_complain(u->connections.tls, c->connection->origin->url, fault->why);
    h1_resumption_drop(&c->connection->origin->resumption);
}

static void fail(struct h1_call *c, enum h1_failure why) {
    struct h1_callbacks port = c->port;
    void *ctx = c->ctx;
    if (c->kept && !c->heard && why == H1_RESET) why = H1_STALE;
    if (c->stage == H1_CALL_SECURING && why == H1_TIMEOUT) {
        note_fault(c, &(struct h1_tls_fault){.why = "the handshake takes too long"});
        why = H1_TLS;
    }
    if (c->stage == H1_CALL_CONNECTING) {
        struct h1_origin *o = c->connection->origin;
        o->turn += c->tried; // for the next one, should this have been time
        // A resolver that says nothing says nothing of the engine either.
        bool local = c->lacking || c->lookup;
        why = local && !c->refused ? H1_LOCAL : H1_CONNECT;
    }
    let_go(c, false);
    call_unlink(c);
    c->over = true;
    port.failed(ctx, why);
    call_free(c);
}

void h1_call_cancel(struct h1_call *c) {
    if (!c || c->over) return;
    let_go(c, false);
    call_unlink(c);
    c->over = true;
    if (!c->busy) call_free(c);
}

// ---- Reading -------------------------------------------------------------------------------------

// After a callback: whether the call still is one.
static bool goes_on(struct h1_call *c) {
    c->busy = false;
    if (!c->over) return true;
    call_free(c);
    return false;
}

static void move_deadline(struct h1_call *c, int64_t ms) {
    c->deadline = now_ms() + ms;
    if (c->last && c->deadline > c->last) c->deadline = c->last;
}

static bool hand_head(struct h1_call *c) {
    if (c->connection->ssl) h1_tls_trim(c->connection->ssl); // the request has gone
    c->stage = H1_CALL_READING;
    c->busy = true;
    c->port.head(c->ctx, &c->response);
    return goes_on(c);
}

static bool hand_data(struct h1_call *c) {
    struct evbuffer *passing = c->client->passing;
    if (!evbuffer_get_length(passing)) return true;
    c->busy = true;
    c->port.data(c->ctx, passing);
    evbuffer_drain(passing, evbuffer_get_length(passing));
    return goes_on(c);
}

static enum h1_step take_head(struct h1_call *c, struct evbuffer *in) {
    const char *reason;
    int status =
        h1_head_take(&c->response, H1_RESPONSE, in, H1_MAX_RESPONSE_HEAD, &c->seen, &reason);
    if (status == H1_INCOMPLETE) return H1_MORE;
    if (status) return status == 503 ? H1_NO_MEMORY : H1_BAD;
    h1_body_begin(&c->body, &c->response, c->headless);
    return H1_DONE;
}

static void advance(struct h1_call *c) {
    struct evbuffer *in = c->connection->stream->in;
    enum h1_step step = H1_DONE;
    if (c->stage == H1_CALL_WAITING) {
        step = take_head(c, in);
        if (step == H1_DONE && !hand_head(c)) return;
    }
    if (c->paused) return;
    if (step == H1_DONE) {
        step = h1_body_read(&c->body, in, c->client->passing);
        if (evbuffer_get_length(c->client->passing)) {
            c->begun = true;
            move_deadline(c, c->client->options.idle_ms);
        }
        if (!hand_data(c)) return;
    }
    if (step == H1_MORE && c->closed && !c->paused)
        step = c->stage != H1_CALL_READING ? H1_MORE
               : c->broken                 ? H1_BAD
                                           : h1_body_closed(&c->body);
    if (step == H1_DONE)
        finish(c);
    else if (step == H1_BAD)
        fail(c, c->closed ? H1_RESET : H1_MALFORMED);
    else if (step == H1_NO_MEMORY || (c->closed && !c->paused))
        fail(c, H1_RESET);
}

static void on_read(void *ctx) {
    struct h1_call *c = ((struct h1_kept *)ctx)->call;
    if (c->stage < H1_CALL_WAITING) return;
    c->heard = true;
    if (!c->paused) advance(c);
}

static void send_request(struct h1_call *c) {
    c->stage = H1_CALL_WAITING;
    move_deadline(c, c->head_ms);
    h1_stream_read(c->connection->stream, true);
    h1_stream_send(c->connection->stream);
}

static void on_event(void *ctx, short what);
static const struct h1_stream_callbacks stream_port = {on_read, NULL, on_event};

static void secure(struct h1_call *c) {
    struct h1_kept *k = c->connection;
    if (!h1_kept_secure(k)) {
        c->lacking = true;
        c->refused = false;
        fail(c, H1_CONNECT);
        return;
    }
    c->stage = H1_CALL_SECURING;
    h1_stream_call(k->stream, &stream_port, k);
}

static void on_connected(struct h1_call *c) {
    const struct h1_kept *k = c->connection;
    int yes = 1;
    k->origin->turn += c->tried - 1;
    setsockopt(k->stream->fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    if (k->held)
        secure(c);
    else
        send_request(c);
}

static void on_secured(struct h1_call *c) {
    struct h1_kept *k = c->connection;
    struct h1_handshakes *n = &c->client->handshakes;
    ++*(SSL_session_reused(k->ssl) ? &n->resumed : &n->full);
    k->open = true;
    send_request(c);
}

// Errors that are of this machine, and say nothing of who was to be reached.
static bool is_local(int error) {
    return error == EMFILE || error == ENFILE || error == ENOBUFS || error == ENOMEM ||
           error == EADDRNOTAVAIL || error == EAGAIN;
}

// To on_event, with the error, as if connecting had failed with it.
static void fail_later(struct h1_call *c, int error) {
    h1_stream_fail(c->connection->stream, error);
}

// What was to be written waits in the stream. An error comes to on_event, later, as all callbacks of
// the stream do.
static void connect_stream(struct h1_call *c) {
    const struct h1_kept *k = c->connection;
    const struct evutil_addrinfo *a = c->addresses;
    for (unsigned n = (k->origin->turn + c->tried++) % c->n_addresses; n; n--)
        a = a->ai_next;
    while (h1_stream_connect(k->stream, a->ai_addr, a->ai_addrlen)) {
        int error = errno;
        if (is_local(error) && h1_kept_drop_any(&c->client->connections)) continue;
        fail_later(c, error);
        return;
    }
}

// False: all addresses have been tried.
static bool connect_elsewhere(struct h1_call *c) {
    if (c->tried >= c->n_addresses) return false;
    h1_stream_close(c->connection->stream);
    connect_stream(c);
    return true;
}

static void on_addresses(int error, struct evutil_addrinfo *found, void *ctx) {
    struct h1_lookup *l = ctx;
    struct h1_call *c = l->call;
    free(l);
    if (!c) {
        if (found) evutil_freeaddrinfo(found);
        return;
    }
    c->lookup = NULL;
    c->question = NULL;
    c->addresses = found;
    for (const struct evutil_addrinfo *a = found; a; a = a->ai_next)
        c->n_addresses++;
    // That there is no such name is an answer. All else is a resolver that gave none.
    bool answered = error == EVUTIL_EAI_NONAME || error == EVUTIL_EAI_NODATA;
    if (error || !found)
        fail_later(c, answered ? EHOSTUNREACH : EAGAIN);
    else
        connect_stream(c);
}

// Every address of a name is tried, since an engine may listen on another kind than comes first:
// `localhost` is ::1 for one and 127.0.0.1 for the other. Looking up may be over within it.
static void look_up(struct h1_call *c) {
    const struct h1_address *at = &c->connection->origin->at;
    struct evutil_addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    char port[12];
    snprintf(port, sizeof port, "%d", at->port);
    struct h1_lookup *l = malloc(sizeof *l);
    if (!l) {
        fail_later(c, ENOMEM);
        return;
    }
    l->call = c;
    c->lookup = l;
    if (c->client->dns) {
        struct evdns_getaddrinfo_request *question =
            evdns_getaddrinfo(c->client->dns, at->host, port, &hints, on_addresses, l);
        if (question) c->question = question;
    } else {
        struct evutil_addrinfo *found = NULL;
        int error = evutil_getaddrinfo(at->host, port, &hints, &found);
        on_addresses(error, found, l);
    }
}

static void stop_looking_up(struct h1_call *c) {
    if (!c->lookup) return;
    c->lookup->call = NULL;
    c->lookup = NULL;
    if (c->question) evdns_getaddrinfo_cancel(c->question);
}

static void fail_tls(struct h1_call *c, const struct h1_tls_fault *fault) {
    note_fault(c, fault);
    fail(c, H1_TLS);
}

// Whether TLS has failed: in the handshake, or, with TLS 1.3, after what is the end of it for us, when the engine has
// looked at our certificate.
static bool has_failed_tls(struct h1_call *c, struct h1_tls_fault *fault) {
    const struct h1_kept *k = c->connection;
    if (c->stage == H1_CALL_CONNECTING || !k->ssl || c->heard || c->kept) return false;
    h1_tls_read_fault(k->stream->tls, &k->origin->at, fault);
    return c->stage == H1_CALL_SECURING || fault->alert;
}

// libevent stops both directions at an error of one. An engine that closes while it is being written to may have
// answered: reading tells.
static void read_rest(const struct h1_call *c) {
    struct bufferevent *tls = c->connection->stream->tls;
    if (!tls) return;
    while (bufferevent_get_openssl_error(tls))
        ; // there is room for three
    bufferevent_disable(tls, EV_WRITE);
    if (!c->paused) bufferevent_enable(tls, EV_READ);
}

static void on_event(void *ctx, short what) {
    struct h1_kept *k = ctx;
    struct h1_call *c = k->call;
    int error = errno;
    struct h1_tls_fault fault;
    if (what & BEV_EVENT_CONNECTED) {
        if (c->stage == H1_CALL_SECURING)
            on_secured(c);
        else
            on_connected(c);
        return;
    }
    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))) return;
    if (c->stage == H1_CALL_CONNECTING) {
        *(is_local(error) ? &c->lacking : &c->refused) = true;
        if (!connect_elsewhere(c)) fail(c, H1_CONNECT);
        return;
    }
    if (what & BEV_EVENT_ERROR) k->open = false;
    if (what & BEV_EVENT_WRITING) {
        read_rest(c);
        return;
    }
    if (has_failed_tls(c, &fault)) {
        fail_tls(c, &fault);
        return;
    }
    c->closed = true;
    c->broken = what & BEV_EVENT_ERROR;
    if (!c->paused) advance(c);
}

void h1_call_pause(struct h1_call *c) {
    if (c->paused || c->over) return;
    c->paused = true;
    if (c->stage >= H1_CALL_WAITING) h1_stream_read(c->connection->stream, false);
}

void h1_call_resume(struct h1_call *c) {
    if (!c->paused || c->over) return;
    c->paused = false;
    move_deadline(c, c->begun ? c->client->options.idle_ms : c->head_ms);
    if (c->stage < H1_CALL_WAITING) return;
    if (!c->closed) h1_stream_read(c->connection->stream, true);
    h1_stream_read_again(c->connection->stream);
}

// ---- Starting ------------------------------------------------------------------------------------

// In one piece, with a body that isn't large: one to be allocated, and one to be written.
static bool put_request(struct evbuffer *out, const struct h1_address *a,
                        const struct h1_request *r) {
    static const char version[] = " HTTP/1.1\r\nHost: ", length[] = "Content-Length: ";
    size_t n = r->body ? evbuffer_get_length(r->body) : 0, whole = n <= CLIENT_MAX_COPY ? n : 0;
    size_t headers = r->headers ? strlen(r->headers) : 0;
    size_t room = strlen(r->method) + strlen(a->prefix) + strlen(r->path) + strlen(a->host_header) +
                  sizeof version + sizeof length + H1_MAX_DIGITS + headers + 8 + whole;
    struct evbuffer_iovec v;
    if (evbuffer_reserve_space(out, (ev_ssize_t)room, &v, 1) < 1) return false;
    char *at = h1_put_text(v.iov_base, r->method);
    *at++ = ' ';
    at = h1_put_text(h1_put_text(at, a->prefix), r->path);
    at = h1_put_text(h1_put_bytes(at, version, sizeof version - 1), a->host_header);
    at = h1_put_bytes(at, "\r\n", 2);
    if (headers) at = h1_put_bytes(at, r->headers, headers);
    if (r->body || !strcmp(r->method, "POST")) {
        at = h1_put_number(h1_put_bytes(at, length, sizeof length - 1), n);
        at = h1_put_bytes(at, "\r\n", 2);
    }
    at = h1_put_bytes(at, "\r\n", 2);
    if (whole && evbuffer_copyout(r->body, at, whole) != (ev_ssize_t)whole) return false;
    v.iov_len = (size_t)(at - (char *)v.iov_base) + whole;
    return !evbuffer_commit_space(out, &v, 1) &&
           (whole == n || !evbuffer_add_buffer_reference(out, r->body));
}

static void begin(struct h1_call *c, struct h1_kept *k) {
    struct h1_client *u = c->client;
    c->connection = k;
    k->call = c;
    k->origin->calls++;
    c->next = u->calls;
    if (c->next) c->next->prev = c;
    u->calls = c;
    u->n_calls++;
    h1_stream_call(k->stream, &stream_port, k);
    if (c->kept) {
        c->stage = H1_CALL_WAITING;
        move_deadline(c, c->head_ms);
        h1_stream_read(k->stream, true);
        h1_stream_send(k->stream);
    } else {
        c->stage = H1_CALL_CONNECTING;
        move_deadline(c, c->head_ms < u->options.connect_ms ? c->head_ms : u->options.connect_ms);
        size_t max = u->options.max_connections;
        const struct h1_kept_set *all = &u->connections;
        while (max && all->n_connections > max && h1_kept_drop_any(&u->connections))
            ;
        if (max && all->n_connections > max)
            fail_later(c, EMFILE);
        else
            look_up(c);
    }
    watch(u);
}

struct h1_call *h1_call_start(struct h1_client *u, const struct h1_request *request,
                              const struct h1_callbacks *port, void *ctx, bool *wrong) {
    bool bad = false;
    struct h1_origin *o = h1_kept_origin(&u->connections, request->address, &bad);
    if (wrong) *wrong = bad;
    if (!o) return NULL;
    struct h1_call *c = calloc(1, sizeof *c);
    struct h1_kept *k = c && !request->fresh ? h1_kept_take(o) : NULL;
    if (k) c->kept = true;
    if (c && !k) k = h1_kept_new(&u->connections, o);
    if (k && put_request(h1_kept_output(k), &o->at, request)) {
        c->client = u;
        c->port = *port;
        c->ctx = ctx;
        c->head_ms = request->head_ms ? request->head_ms : u->options.head_ms;
        c->last = request->all_ms ? now_ms() + request->all_ms : 0;
        c->headless = !strcmp(request->method, "HEAD");
        begin(c, k);
        return c;
    }
    h1_kept_free(k);
    free(c);
    h1_kept_forget(&u->connections, o);
    return NULL;
}

// ---- All of it -----------------------------------------------------------------------------------

static void on_tick(evutil_socket_t fd, short what, void *ctx) {
    struct h1_client *u = ctx;
    int64_t now = now_ms(), late = now - u->tick_at;
    (void)fd;
    (void)what;
    for (struct h1_call *c = u->calls; c && late > H1_TICK_MS; c = c->next) {
        c->deadline += late;
        if (c->last) c->last += late;
    }
    // A callback may end any other call: after each one, begin again.
    for (struct h1_call *c = u->calls; c;) {
        struct h1_call *next = c->next;
        bool over = !c->paused && now >= c->deadline;
        if (over) fail(c, H1_TIMEOUT);
        c = over ? u->calls : next;
    }
    h1_kept_drop_old(&u->connections, now);
    if (u->calls || u->connections.origins.count) watch(u);
}

void h1_client_configure(struct h1_client *u, const struct h1_client_options *o) {
    u->options = *o;
    u->connections.keep_most = o->keep_most;
    u->connections.keep_ms = o->keep_ms;
}

void h1_client_trust(struct h1_client *u, struct h1_tls *tls) {
    h1_kept_trust(&u->connections, tls);
}

const struct h1_handshakes *h1_client_handshakes(const struct h1_client *u) {
    return &u->handshakes;
}

struct h1_client *h1_client_new(struct event_base *base, const struct h1_client_options *options) {
    struct h1_client *u = calloc(1, sizeof *u);
    if (!u) return NULL;
    u->base = base;
    h1_client_configure(u, options);
    u->dns =
        evdns_base_new(base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    u->tick = event_new(base, -1, 0, on_tick, u);
    u->passing = evbuffer_new();
    bool good = h1_kept_init(&u->connections, base);
    if (good && u->tick && u->passing) return u;
    h1_client_free(u);
    return NULL;
}

void h1_client_free(struct h1_client *u) {
    if (!u) return;
    while (u->calls)
        h1_call_cancel(u->calls);
    h1_kept_end(&u->connections);
    if (u->dns) evdns_base_free(u->dns, 0);
    if (u->tick) event_free(u->tick);
    if (u->passing) evbuffer_free(u->passing);
    free(u);
}

void h1_loop_free(struct event_base *base) {
    if (!base) return;
    event_base_loop(base, EVLOOP_NONBLOCK);
    event_base_free(base);
}

struct evdns_base *h1_client_resolver(const struct h1_client *u) {
    return u->dns;
}

size_t h1_client_calls(const struct h1_client *u) {
    return u->n_calls;
}

size_t h1_client_kept(const struct h1_client *u) {
    return u->connections.n_idle;
}
