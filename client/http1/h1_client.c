// SPDX-License-Identifier: Apache-2.0
// See h1_client.h.
//
// The streams' callbacks are deferred, so none runs inside a call of ours, and none inside another.
//
// Time: a call has one deadline, moved as it gets on, and one timer looks over all calls a few times
// a second. A timer for each connection would be moved for every token. When the timer comes late,
// this process stood still, and what has come meanwhile hasn't been looked at yet: that time doesn't
// count against the engines.
#include "h1_client.h"

#include <event2/bufferevent.h>
#include <event2/dns.h>
#include <event2/http.h>
#include <kvroute/hash.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "client/common/clock.h"

enum { BUCKETS = 256, LOOK_MS = 200, USUAL_PORT = 80, MAX_HEAD = 32768 };

// An engine that is being called, or has unused connections.
struct address {
    struct address *next; // in its bucket
    char *text, *host, *prefix, *host_header;
    int port;
    bool fixed;              // the host is an address, no name
    unsigned family;         // of `families`, where the next connection is tried first
    struct connection *idle; // the latest first
    size_t n_idle, calls;
};

struct connection {
    struct h1_client *client;
    struct address *address;
    struct bufferevent *stream;
    struct h1_call *call;           // NULL: unused
    struct connection *prev, *next; // of the address's unused
    int64_t since;                  // unused
};

// libevent tries one address of a name, but an engine may listen on another kind only: `localhost` is
// ::1 for one and 127.0.0.1 for the other. So after what the system prefers each kind has its turn.
static const int families[] = {AF_UNSPEC, AF_INET, AF_INET6};
enum { FAMILIES = sizeof families / sizeof *families };

enum stage { CONNECTING, WAITING, READING };

struct h1_call {
    struct h1_client *client;
    struct connection *connection;
    struct h1_callbacks port;
    void *ctx;
    struct h1_call *prev, *next;
    struct h1_head response; // headers NULL: it isn't there
    struct h1_body body;
    size_t seen;   // of a head that isn't complete
    bool headless; // asked by HEAD
    enum stage stage;
    unsigned failures; // to connect
    int64_t deadline, head_ms;
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
    struct address *buckets[BUCKETS];
    struct h1_call *calls;
    size_t n_calls, n_idle;
    struct event *look;
    int64_t look_at;          // when it is due
    struct evbuffer *passing; // what is handed on
};

static int64_t now_ms(void) {
    return kvr_clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
}

const char *h1_failure_name(enum h1_failure f) {
    static const char *const names[] = {"stale", "connect", "reset", "timeout", "nonsense"};
    return names[f];
}

// ---- Addresses -----------------------------------------------------------------------------------

static void address_free(struct address *a) {
    if (!a) return;
    free(a->text);
    free(a->host);
    free(a->prefix);
    free(a->host_header);
    free(a);
}

static bool plain(const char *text) {
    for (; text && *text; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 127) return false;
    return text != NULL;
}

static struct evhttp_uri *parse_address(const char *text) {
    struct evhttp_uri *uri = plain(text) ? evhttp_uri_parse(text) : NULL;
    const char *scheme = uri ? evhttp_uri_get_scheme(uri) : NULL;
    const char *host = uri ? evhttp_uri_get_host(uri) : NULL;
    if (scheme && !strcasecmp(scheme, "http") && host && *host && strlen(host) < 256 &&
        !evhttp_uri_get_userinfo(uri) && !evhttp_uri_get_query(uri) &&
        !evhttp_uri_get_fragment(uri) && evhttp_uri_get_port(uri) != 0)
        return uri;
    if (uri) evhttp_uri_free(uri);
    return NULL;
}

bool h1_is_url(const char *address) {
    struct evhttp_uri *uri = parse_address(address);
    if (uri) evhttp_uri_free(uri);
    return uri != NULL;
}

static char *host_header(const char *host, int port) {
    size_t n = strlen(host) + 12;
    char *text = malloc(n);
    if (text) snprintf(text, n, port == USUAL_PORT ? "%s" : "%s:%d", host, port);
    return text;
}

static struct address *address_new(const char *text, bool *wrong) {
    struct evhttp_uri *uri = parse_address(text);
    *wrong = !uri;
    if (!uri) return NULL;
    struct address *a = calloc(1, sizeof *a);
    const char *host = evhttp_uri_get_host(uri), *path = evhttp_uri_get_path(uri);
    size_t n = strlen(host), prefix = path ? strlen(path) : 0;
    bool brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';
    while (prefix && path[prefix - 1] == '/')
        prefix--;
    if (a) {
        a->port = evhttp_uri_get_port(uri) > 0 ? evhttp_uri_get_port(uri) : USUAL_PORT;
        a->text = strdup(text);
        struct in6_addr address;
        a->fixed = brackets || evutil_inet_pton(AF_INET, host, &address) == 1;
        a->host = brackets ? strndup(host + 1, n - 2) : strdup(host);
        a->prefix = strndup(path ? path : "", prefix);
        a->host_header = host_header(host, a->port);
    }
    evhttp_uri_free(uri);
    if (a && a->text && a->host && a->prefix && a->host_header) return a;
    address_free(a);
    return NULL;
}

static struct address **bucket_of(struct h1_client *u, const char *text) {
    return &u->buckets[XXH3_64bits(text, strlen(text)) % BUCKETS];
}

static struct address *address_get(struct h1_client *u, const char *text, bool *wrong) {
    struct address **bucket = bucket_of(u, text);
    *wrong = false;
    for (struct address *a = *bucket; a; a = a->next)
        if (!strcmp(a->text, text)) return a;
    struct address *a = address_new(text, wrong);
    if (!a) return NULL;
    a->next = *bucket;
    *bucket = a;
    return a;
}

// Forgotten when nothing hangs on it.
static void address_look(struct h1_client *u, struct address *a) {
    if (a->calls || a->n_idle) return;
    struct address **at = bucket_of(u, a->text);
    while (*at != a)
        at = &(*at)->next;
    *at = a->next;
    address_free(a);
}

// ---- Connections ---------------------------------------------------------------------------------

static void unlink_idle(struct connection *k) {
    *(k->prev ? &k->prev->next : &k->address->idle) = k->next;
    if (k->next) k->next->prev = k->prev;
    k->prev = k->next = NULL;
    k->address->n_idle--;
    k->client->n_idle--;
}

static void connection_free(struct connection *k) {
    if (!k) return;
    bufferevent_free(k->stream);
    free(k);
}

static void drop_idle(struct connection *k) {
    struct h1_client *u = k->client;
    struct address *a = k->address;
    unlink_idle(k);
    connection_free(k);
    address_look(u, a);
}

// Nothing may come on a connection that nobody uses: whatever it is, it ends it.
static void on_idle_read(struct bufferevent *stream, void *ctx) {
    (void)stream;
    drop_idle(ctx);
}

static void on_idle_event(struct bufferevent *stream, short what, void *ctx) {
    (void)stream;
    (void)what;
    drop_idle(ctx);
}

static void watch(struct h1_client *u) {
    static const struct timeval soon = {.tv_usec = LOOK_MS * 1000};
    if (event_pending(u->look, EV_TIMEOUT, NULL)) return;
    u->look_at = now_ms() + LOOK_MS;
    event_add(u->look, &soon);
}

static void keep(struct connection *k) {
    struct h1_client *u = k->client;
    struct address *a = k->address;
    if (a->n_idle >= u->options.keep_most) {
        connection_free(k);
        return;
    }
    k->call = NULL;
    k->since = now_ms();
    k->next = a->idle;
    if (k->next) k->next->prev = k;
    a->idle = k;
    a->n_idle++;
    u->n_idle++;
    bufferevent_setcb(k->stream, on_idle_read, NULL, on_idle_event, k);
    bufferevent_enable(k->stream, EV_READ);
    watch(u);
}

static struct connection *connection_new(struct h1_client *u, struct address *a) {
    struct connection *k = calloc(1, sizeof *k);
    if (!k) return NULL;
    k->client = u;
    k->address = a;
    k->stream =
        bufferevent_socket_new(u->base, -1, BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS);
    if (k->stream) {
        bufferevent_setwatermark(k->stream, EV_READ, 0, H1_READ_AHEAD);
        return k;
    }
    free(k);
    return NULL;
}

// ---- A call's end --------------------------------------------------------------------------------

static void call_unlink(struct h1_call *c) {
    struct h1_client *u = c->client;
    *(c->prev ? &c->prev->next : &u->calls) = c->next;
    if (c->next) c->next->prev = c->prev;
    u->n_calls--;
}

// Takes the connection from the call: kept for the next one, or closed.
static void let_go(struct h1_call *c, bool good) {
    struct connection *k = c->connection;
    struct address *a = k->address;
    struct h1_client *u = c->client;
    c->connection = NULL;
    bool whole = !evbuffer_get_length(bufferevent_get_output(k->stream)) &&
                 !evbuffer_get_length(bufferevent_get_input(k->stream));
    a->calls--;
    if (good && whole && !c->closed)
        keep(k);
    else
        connection_free(k);
    address_look(u, a);
}

static void call_free(struct h1_call *c) {
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

static void fail(struct h1_call *c, enum h1_failure why) {
    struct h1_callbacks port = c->port;
    void *ctx = c->ctx;
    if (c->kept && !c->heard && why == H1_RESET) why = H1_STALE;
    if (c->stage == CONNECTING) {
        struct address *a = c->connection->address;
        a->family = (a->family + 1) % FAMILIES; // for the next one, should this have been time
        why = H1_CONNECT;
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
}

static bool hand_head(struct h1_call *c) {
    c->stage = READING;
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
    int status = h1_head_take(&c->response, H1_RESPONSE, in, MAX_HEAD, &c->seen, &reason);
    if (status == H1_INCOMPLETE) return H1_MORE;
    if (status) return status == 503 ? H1_NO_MEMORY : H1_BAD;
    h1_body_begin(&c->body, &c->response, c->headless);
    return H1_DONE;
}

static void advance(struct h1_call *c) {
    struct evbuffer *in = bufferevent_get_input(c->connection->stream);
    enum h1_step step = H1_DONE;
    if (c->stage == WAITING) {
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
        step = c->stage != READING ? H1_MORE : c->broken ? H1_BAD : h1_body_closed(&c->body);
    if (step == H1_DONE)
        finish(c);
    else if (step == H1_BAD)
        fail(c, c->closed ? H1_RESET : H1_MALFORMED);
    else if (step == H1_NO_MEMORY || (c->closed && !c->paused))
        fail(c, H1_RESET);
}

static void on_read(struct bufferevent *stream, void *ctx) {
    struct h1_call *c = ((struct connection *)ctx)->call;
    (void)stream;
    if (c->stage == CONNECTING) return;
    c->heard = true;
    if (!c->paused) advance(c);
}

static void on_connected(struct h1_call *c) {
    int yes = 1;
    setsockopt(bufferevent_getfd(c->connection->stream), IPPROTO_TCP, TCP_NODELAY, &yes,
               sizeof yes);
    c->stage = WAITING;
    move_deadline(c, c->head_ms);
    bufferevent_enable(c->connection->stream, EV_READ);
}

// An error comes to on_event, later, as all callbacks of the stream do.
static void connect_stream(struct h1_call *c) {
    const struct connection *k = c->connection;
    const struct address *a = k->address;
    bufferevent_enable(k->stream, EV_WRITE);
    bufferevent_socket_connect_hostname(k->stream, c->client->dns, families[a->family], a->host,
                                        a->port);
}

// What was to be written is still in the stream. false: there is no other kind of address.
static bool connect_elsewhere(struct h1_call *c) {
    struct address *a = c->connection->address;
    struct bufferevent *stream = c->connection->stream;
    if (a->fixed || ++c->failures >= FAMILIES) return false;
    a->family = (a->family + 1) % FAMILIES;
    evutil_socket_t fd = bufferevent_getfd(stream);
    bufferevent_setfd(stream, -1);
    if (fd >= 0) evutil_closesocket(fd);
    connect_stream(c);
    return true;
}

static void on_event(struct bufferevent *stream, short what, void *ctx) {
    struct h1_call *c = ((struct connection *)ctx)->call;
    (void)stream;
    if (what & BEV_EVENT_CONNECTED) {
        on_connected(c);
        return;
    }
    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))) return;
    if (c->stage == CONNECTING) {
        if (!connect_elsewhere(c)) fail(c, H1_CONNECT);
        return;
    }
    // An engine that closes while it is being written to may have answered: reading tells.
    if (what & BEV_EVENT_WRITING) return;
    c->closed = true;
    c->broken = what & BEV_EVENT_ERROR;
    if (!c->paused) advance(c);
}

void h1_call_pause(struct h1_call *c) {
    if (c->paused || c->over) return;
    c->paused = true;
    if (c->stage != CONNECTING) bufferevent_disable(c->connection->stream, EV_READ);
}

void h1_call_resume(struct h1_call *c) {
    if (!c->paused || c->over) return;
    c->paused = false;
    move_deadline(c, c->begun ? c->client->options.idle_ms : c->head_ms);
    if (c->stage == CONNECTING) return;
    if (!c->closed) bufferevent_enable(c->connection->stream, EV_READ);
    bufferevent_trigger(c->connection->stream, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

// ---- Starting ------------------------------------------------------------------------------------

static bool put_request(struct evbuffer *out, const struct address *a, const struct h1_request *r) {
    size_t n = r->body ? evbuffer_get_length(r->body) : 0;
    bool bodied = r->body || !strcmp(r->method, "POST");
    bool good = evbuffer_add_printf(out, "%s %s%s HTTP/1.1\r\nHost: %s\r\n", r->method, a->prefix,
                                    r->path, a->host_header) > 0;
    if (r->headers) good &= !evbuffer_add(out, r->headers, strlen(r->headers));
    if (bodied) good &= evbuffer_add_printf(out, "Content-Length: %zu\r\n", n) > 0;
    good &= !evbuffer_add(out, "\r\n", 2);
    if (n) good &= !evbuffer_add_buffer_reference(out, r->body);
    return good;
}

// A kept connection, or one that is about to be made.
static struct connection *connect_to(struct h1_client *u, struct address *a, bool fresh,
                                     bool *kept) {
    struct connection *k = fresh ? NULL : a->idle;
    *kept = k != NULL;
    if (!k) return connection_new(u, a);
    unlink_idle(k);
    return k;
}

static void begin(struct h1_call *c, struct connection *k) {
    struct h1_client *u = c->client;
    c->connection = k;
    k->call = c;
    k->address->calls++;
    c->next = u->calls;
    if (c->next) c->next->prev = c;
    u->calls = c;
    u->n_calls++;
    bufferevent_setcb(k->stream, on_read, NULL, on_event, k);
    if (c->kept) {
        c->stage = WAITING;
        bufferevent_enable(k->stream, EV_WRITE);
        move_deadline(c, c->head_ms);
        bufferevent_enable(k->stream, EV_READ);
    } else {
        c->stage = CONNECTING;
        move_deadline(c, c->head_ms < u->options.connect_ms ? c->head_ms : u->options.connect_ms);
        connect_stream(c);
    }
    watch(u);
}

struct h1_call *h1_call_start(struct h1_client *u, const struct h1_request *request,
                              const struct h1_callbacks *port, void *ctx, bool *wrong) {
    bool bad = false;
    struct address *a = address_get(u, request->address, &bad);
    if (wrong) *wrong = bad;
    if (!a) return NULL;
    struct h1_call *c = calloc(1, sizeof *c);
    struct connection *k = c ? connect_to(u, a, request->fresh, &c->kept) : NULL;
    if (k && put_request(bufferevent_get_output(k->stream), a, request)) {
        c->client = u;
        c->port = *port;
        c->ctx = ctx;
        c->head_ms = request->head_ms ? request->head_ms : u->options.head_ms;
        c->headless = !strcmp(request->method, "HEAD");
        begin(c, k);
        return c;
    }
    connection_free(k);
    free(c);
    address_look(u, a);
    return NULL;
}

// ---- All of it -----------------------------------------------------------------------------------

static void drop_old(struct h1_client *u, struct address *a, int64_t now) {
    struct connection *oldest = a->idle;
    while (oldest && oldest->next)
        oldest = oldest->next;
    while (oldest && now - oldest->since >= u->options.keep_ms) {
        struct connection *k = oldest;
        oldest = k->prev;
        unlink_idle(k);
        connection_free(k);
    }
}

static void on_look(evutil_socket_t fd, short what, void *ctx) {
    struct h1_client *u = ctx;
    int64_t now = now_ms(), late = now - u->look_at;
    (void)fd;
    (void)what;
    for (struct h1_call *c = u->calls; c && late > LOOK_MS; c = c->next)
        c->deadline += late;
    // A callback may end any other call: after each one, begin again.
    for (struct h1_call *c = u->calls; c;) {
        struct h1_call *next = c->next;
        bool over = !c->paused && now >= c->deadline;
        if (over) fail(c, H1_TIMEOUT);
        c = over ? u->calls : next;
    }
    for (size_t i = 0; i < BUCKETS; i++)
        for (struct address *a = u->buckets[i], *next; a; a = next) {
            next = a->next;
            drop_old(u, a, now);
            address_look(u, a);
        }
    if (u->calls || u->n_idle) watch(u);
}

struct h1_client *h1_client_new(struct event_base *base, const struct h1_client_options *options) {
    struct h1_client *u = calloc(1, sizeof *u);
    if (!u) return NULL;
    u->base = base;
    u->options = *options;
    u->dns =
        evdns_base_new(base, EVDNS_BASE_INITIALIZE_NAMESERVERS | EVDNS_BASE_DISABLE_WHEN_INACTIVE);
    u->look = event_new(base, -1, 0, on_look, u);
    u->passing = evbuffer_new();
    if (u->look && u->passing) return u;
    h1_client_free(u);
    return NULL;
}

void h1_client_configure(struct h1_client *u, const struct h1_client_options *o) {
    u->options = *o;
}

void h1_client_free(struct h1_client *u) {
    if (!u) return;
    while (u->calls)
        h1_call_cancel(u->calls);
    for (size_t i = 0; i < BUCKETS; i++)
        while (u->buckets[i] && u->buckets[i]->idle)
            drop_idle(u->buckets[i]->idle);
    if (u->dns) evdns_base_free(u->dns, 0);
    if (u->look) event_free(u->look);
    if (u->passing) evbuffer_free(u->passing);
    free(u);
}

size_t h1_client_calls(const struct h1_client *u) {
    return u->n_calls;
}

size_t h1_client_kept(const struct h1_client *u) {
    return u->n_idle;
}
