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
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

#include "client/common/clock.h"
#include "client/common/table.h"
#include "h1_address.h"

enum { H1_TICK_MS = 200, H1_MAX_RESPONSE_HEAD = 32768 };

// Who is being called, or has unused connections.
struct h1_origin {
    struct kvr_table_item item; // first; by its URL
    struct h1_address at;
    unsigned turn; // of the addresses that its name has, which the next connection tries first
    struct h1_kept *idle; // the latest first
    size_t n_idle, calls;
    char url[]; // as it was given
};

struct h1_kept {
    struct h1_client *client;
    struct h1_origin *origin;
    struct bufferevent *stream;
    struct h1_call *call;        // NULL: unused
    struct h1_kept *prev, *next; // of the origin's unused
    int64_t since;               // unused
};

// A name that is being looked up. It outlives its call, since libevent answers after a cancel, too.
struct h1_lookup {
    struct h1_call *call; // NULL: cancelled
};

enum h1_call_stage { H1_CALL_CONNECTING, H1_CALL_WAITING, H1_CALL_READING };

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
    struct kvr_table origins;
    struct h1_call *calls;
    size_t n_calls, n_idle;
    struct event *tick;
    int64_t tick_at;          // when it is due
    struct evbuffer *passing; // what is handed on
};

static int64_t now_ms(void) {
    return kvr_clock_ns(CLOCK_MONOTONIC_COARSE) / 1000000;
}

const char *h1_failure_name(enum h1_failure f) {
    static const char *const names[] = {"stale", "connect", "reset", "timeout", "nonsense"};
    return names[f];
}

// ---- Origins -------------------------------------------------------------------------------------

static struct h1_origin *origin_new(const char *url, bool *wrong) {
    struct h1_address at;
    if (!h1_address_parse(&at, url, wrong)) return NULL;
    size_t n = strlen(url) + 1;
    struct h1_origin *o = calloc(1, sizeof *o + n);
    if (!o) {
        h1_address_free(&at);
        return NULL;
    }
    o->at = at;
    memcpy(o->url, url, n);
    return o;
}

static struct kvr_bytes bytes_of(const char *text) {
    return (struct kvr_bytes){text, strlen(text)};
}

static struct h1_origin *origin_get(struct h1_client *u, const char *url, bool *wrong) {
    struct h1_origin *o = (struct h1_origin *)kvr_table_find(&u->origins, bytes_of(url));
    *wrong = false;
    if (o || !(o = origin_new(url, wrong))) return o;
    kvr_table_add(&u->origins, &o->item, bytes_of(o->url));
    return o;
}

// Forgotten when nothing hangs on it.
static void origin_look(struct h1_client *u, struct h1_origin *o) {
    if (o->calls || o->n_idle) return;
    kvr_table_remove(&u->origins, &o->item);
    h1_address_free(&o->at);
    free(o);
}

// ---- Connections ---------------------------------------------------------------------------------

static void unlink_idle(struct h1_kept *k) {
    *(k->prev ? &k->prev->next : &k->origin->idle) = k->next;
    if (k->next) k->next->prev = k->prev;
    k->prev = k->next = NULL;
    k->origin->n_idle--;
    k->client->n_idle--;
}

static void connection_free(struct h1_kept *k) {
    if (!k) return;
    bufferevent_free(k->stream);
    free(k);
}

static void drop_idle(struct h1_kept *k) {
    struct h1_client *u = k->client;
    struct h1_origin *o = k->origin;
    unlink_idle(k);
    connection_free(k);
    origin_look(u, o);
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
    static const struct timeval soon = {.tv_usec = H1_TICK_MS * 1000};
    if (event_pending(u->tick, EV_TIMEOUT, NULL)) return;
    u->tick_at = now_ms() + H1_TICK_MS;
    event_add(u->tick, &soon);
}

static void keep(struct h1_kept *k) {
    struct h1_client *u = k->client;
    struct h1_origin *o = k->origin;
    if (o->n_idle >= u->options.keep_most) {
        connection_free(k);
        return;
    }
    k->call = NULL;
    k->since = now_ms();
    k->next = o->idle;
    if (k->next) k->next->prev = k;
    o->idle = k;
    o->n_idle++;
    u->n_idle++;
    bufferevent_setcb(k->stream, on_idle_read, NULL, on_idle_event, k);
    bufferevent_enable(k->stream, EV_READ);
    watch(u);
}

static struct h1_kept *connection_new(struct h1_client *u, struct h1_origin *o) {
    struct h1_kept *k = calloc(1, sizeof *k);
    if (!k) return NULL;
    k->client = u;
    k->origin = o;
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

static void stop_looking_up(struct h1_call *c);

// Takes the connection from the call: kept for the next one, or closed.
static void let_go(struct h1_call *c, bool good) {
    struct h1_kept *k = c->connection;
    struct h1_origin *o = k->origin;
    struct h1_client *u = c->client;
    stop_looking_up(c);
    c->connection = NULL;
    bool whole = !evbuffer_get_length(bufferevent_get_output(k->stream)) &&
                 !evbuffer_get_length(bufferevent_get_input(k->stream));
    o->calls--;
    if (good && whole && !c->closed)
        keep(k);
    else
        connection_free(k);
    origin_look(u, o);
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

static void fail(struct h1_call *c, enum h1_failure why) {
    struct h1_callbacks port = c->port;
    void *ctx = c->ctx;
    if (c->kept && !c->heard && why == H1_RESET) why = H1_STALE;
    if (c->stage == H1_CALL_CONNECTING) {
        struct h1_origin *o = c->connection->origin;
        o->turn += c->tried; // for the next one, should this have been time
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
    struct evbuffer *in = bufferevent_get_input(c->connection->stream);
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

static void on_read(struct bufferevent *stream, void *ctx) {
    struct h1_call *c = ((struct h1_kept *)ctx)->call;
    (void)stream;
    if (c->stage == H1_CALL_CONNECTING) return;
    c->heard = true;
    if (!c->paused) advance(c);
}

static void on_connected(struct h1_call *c) {
    int yes = 1;
    c->connection->origin->turn += c->tried - 1;
    setsockopt(bufferevent_getfd(c->connection->stream), IPPROTO_TCP, TCP_NODELAY, &yes,
               sizeof yes);
    c->stage = H1_CALL_WAITING;
    move_deadline(c, c->head_ms);
    bufferevent_enable(c->connection->stream, EV_READ);
}

// What was to be written waits in the stream. An error comes to on_event, later, as all callbacks of
// the stream do.
static void connect_stream(struct h1_call *c) {
    const struct h1_kept *k = c->connection;
    const struct evutil_addrinfo *a = c->addresses;
    for (unsigned n = (k->origin->turn + c->tried++) % c->n_addresses; n; n--)
        a = a->ai_next;
    bufferevent_enable(k->stream, EV_WRITE);
    if (bufferevent_socket_connect(k->stream, a->ai_addr, (int)a->ai_addrlen))
        bufferevent_trigger_event(k->stream, BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
}

// False: all addresses have been tried.
static bool connect_elsewhere(struct h1_call *c) {
    struct bufferevent *stream = c->connection->stream;
    if (c->tried >= c->n_addresses) return false;
    evutil_socket_t fd = bufferevent_getfd(stream);
    bufferevent_setfd(stream, -1);
    if (fd >= 0) evutil_closesocket(fd);
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
    if (error || !found)
        bufferevent_trigger_event(c->connection->stream, BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
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
        bufferevent_trigger_event(c->connection->stream, BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
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

static void on_event(struct bufferevent *stream, short what, void *ctx) {
    struct h1_call *c = ((struct h1_kept *)ctx)->call;
    (void)stream;
    if (what & BEV_EVENT_CONNECTED) {
        on_connected(c);
        return;
    }
    if (!(what & (BEV_EVENT_EOF | BEV_EVENT_ERROR))) return;
    if (c->stage == H1_CALL_CONNECTING) {
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
    if (c->stage != H1_CALL_CONNECTING) bufferevent_disable(c->connection->stream, EV_READ);
}

void h1_call_resume(struct h1_call *c) {
    if (!c->paused || c->over) return;
    c->paused = false;
    move_deadline(c, c->begun ? c->client->options.idle_ms : c->head_ms);
    if (c->stage == H1_CALL_CONNECTING) return;
    if (!c->closed) bufferevent_enable(c->connection->stream, EV_READ);
    bufferevent_trigger(c->connection->stream, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
}

// ---- Starting ------------------------------------------------------------------------------------

static bool put_request(struct evbuffer *out, const struct h1_address *a,
                        const struct h1_request *r) {
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
static struct h1_kept *connect_to(struct h1_client *u, struct h1_origin *o, bool fresh,
                                  bool *kept) {
    struct h1_kept *k = fresh ? NULL : o->idle;
    *kept = k != NULL;
    if (!k) return connection_new(u, o);
    unlink_idle(k);
    return k;
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
    bufferevent_setcb(k->stream, on_read, NULL, on_event, k);
    if (c->kept) {
        c->stage = H1_CALL_WAITING;
        bufferevent_enable(k->stream, EV_WRITE);
        move_deadline(c, c->head_ms);
        bufferevent_enable(k->stream, EV_READ);
    } else {
        c->stage = H1_CALL_CONNECTING;
        move_deadline(c, c->head_ms < u->options.connect_ms ? c->head_ms : u->options.connect_ms);
        look_up(c);
    }
    watch(u);
}

struct h1_call *h1_call_start(struct h1_client *u, const struct h1_request *request,
                              const struct h1_callbacks *port, void *ctx, bool *wrong) {
    bool bad = false;
    struct h1_origin *o = origin_get(u, request->address, &bad);
    if (wrong) *wrong = bad;
    if (!o) return NULL;
    struct h1_call *c = calloc(1, sizeof *c);
    struct h1_kept *k = c ? connect_to(u, o, request->fresh, &c->kept) : NULL;
    if (k && put_request(bufferevent_get_output(k->stream), &o->at, request)) {
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
    origin_look(u, o);
    return NULL;
}

// ---- All of it -----------------------------------------------------------------------------------

static void drop_old(struct h1_client *u, struct h1_origin *o, int64_t now) {
    struct h1_kept *oldest = o->idle;
    while (oldest && oldest->next)
        oldest = oldest->next;
    while (oldest && now - oldest->since >= u->options.keep_ms) {
        struct h1_kept *k = oldest;
        oldest = k->prev;
        unlink_idle(k);
        connection_free(k);
    }
}

static void on_tick(evutil_socket_t fd, short what, void *ctx) {
    struct h1_client *u = ctx;
    int64_t now = now_ms(), late = now - u->tick_at;
    (void)fd;
    (void)what;
    for (struct h1_call *c = u->calls; c && late > H1_TICK_MS; c = c->next)
        c->deadline += late;
    // A callback may end any other call: after each one, begin again.
    for (struct h1_call *c = u->calls; c;) {
        struct h1_call *next = c->next;
        bool over = !c->paused && now >= c->deadline;
        if (over) fail(c, H1_TIMEOUT);
        c = over ? u->calls : next;
    }
    for (size_t i = 0; i < u->origins.n_buckets; i++)
        for (struct kvr_table_item *t = u->origins.buckets[i], *next; t; t = next) {
            struct h1_origin *o = (struct h1_origin *)t;
            next = t->next;
            drop_old(u, o, now);
            origin_look(u, o);
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
    u->tick = event_new(base, -1, 0, on_tick, u);
    u->passing = evbuffer_new();
    // The URLs are the program's own settings, or of workers that may register: nobody chooses them to collide.
    bool good = kvr_table_init(&u->origins, &kvr_alloc_default, (uint64_t)(uintptr_t)u) == 0;
    if (good && u->tick && u->passing) return u;
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
    for (size_t i = 0; i < u->origins.n_buckets; i++)
        for (struct kvr_table_item *t = u->origins.buckets[i], *next; t; t = next) {
            struct h1_origin *o = (struct h1_origin *)t;
            next = t->next;
            for (size_t n = o->n_idle; n; n--) // with the last of them the origin goes
                drop_idle(o->idle);
        }
    kvr_table_free(&u->origins);
    if (u->dns) evdns_base_free(u->dns, 0);
    if (u->tick) event_free(u->tick);
    if (u->passing) evbuffer_free(u->passing);
    free(u);
}

size_t h1_client_calls(const struct h1_client *u) {
    return u->n_calls;
}

size_t h1_client_kept(const struct h1_client *u) {
    return u->n_idle;
}
