// SPDX-License-Identifier: Apache-2.0
// The server: connections, requests, and the answers to them; limits, deadlines, TLS.
//
//     struct h1_server_options o = h1_server_defaults;
//     o.base = base;
//     o.listen = "127.0.0.1:8080";
//     o.route = route;
//     struct h1_server *s = h1_server_new(&o, error, sizeof error);
//
// When the head of a request is read, `route` says who handles it, or refuses it. A request that is
// complete and within the limits is an exchange, and goes to that handler. It answers now or later, at
// once or in pieces:
//
//     void handle(struct h1_exchange *x) {
//         h1_exchange_header(x, "X-Kvroute-Worker", "w1");
//         h1_exchange_start(x, 200, "text/event-stream", -1);
//         h1_exchange_data(x, buffer);  // again and again; false: wait for `on_room`
//         h1_exchange_end(x);           // or h1_exchange_abort(x): visibly broken
//     }
//
// After h1_exchange_end, _abort, _send, _error and _refuse, and when `on_gone` returns, the exchange is
// no more. Whatever a handler has under way for it must not come back to it.
//
// Whoever wants to keep more of an exchange embeds struct h1_exchange as the first member of a struct of
// his own and says in the options how large that is. It is all 0 at first; `begin` may fill it in, `done`
// lets go of what it has.
//
// Not libevent's evhttp: it lets pass what must be refused here (repeated lengths, bare LF, signs in chunk
// sizes), and a stricter reader before it would be a second parser to disagree with. Nor has it a deadline
// for a head that drips, and it doesn't notice a client that leaves while the answer pauses.
#ifndef H1_SERVER_H
#define H1_SERVER_H

#include <event2/event.h>

#include "h1_parse.h"

struct h1_server;
struct h1_connection;

struct h1_exchange {
    struct h1_head head;
    struct evbuffer *body; // all of it; the handler may take it away
    void *ctx;             // of the options

    // The handler's:
    void *arg;
    void (*on_gone)(struct h1_exchange *x); // the client has left; the exchange ends after this
    void (*on_room)(
        struct h1_exchange *x); // after h1_exchange_data said false: there is room again
    bool admin;                 // it came in at admin_listen
    bool exempt;                // set by `route`: from max_requests and max_queued

    // What became of it, for `done`:
    int status; // 0: nothing was sent
    bool cut;   // the answer ended before its end
    bool gone;  // the client left before it
    uint64_t in_bytes, out_bytes;
    int64_t began_us; // by kvr_clock_us

    // The server's:
    struct h1_connection *connection;
    void (*handle)(struct h1_exchange *x);
    size_t body_size;
    struct h1_body reading; // of the request's body
    char *more;             // header lines set before the start
    size_t more_size, more_room;
    bool started, chunked, silent; // silent: HEAD, nothing of a body is sent
    bool full;                     // h1_exchange_data said false
    int64_t to_send;               // of the announced length; −1: none was
};

typedef void h1_handler(struct h1_exchange *x);

enum h1_place { H1_PLACE_PLAIN, H1_PLACE_TLS, H1_PLACE_ADMIN };
extern const char *const h1_place_names[3]; // as the options: listen, tls_listen, admin_listen

enum { H1_MAX_LISTENERS = 8 };

// A socket that listens already: this process was started with it.
struct h1_socket {
    int fd;
    enum h1_place place; // if no address of the options is its own
    // By a service manager, whose word goes before the options: it is used though they don't name it, the other
    // addresses of its place aren't opened then, and a path is not removed. Otherwise it is from a server that
    // is being replaced, and closed if the options don't name it.
    bool given;
};

struct h1_server_options {
    struct event_base *base;
    // "ADDRESS:PORT" or "unix:PATH", several separated by spaces; NULL or "": none. Port 0: a free one.
    // Texts are read by h1_server_new and h1_server_configure and not kept.
    // admin_listen: without TLS; it isn't shut out when there are max_connections.
    const char *listen, *tls_listen, *admin_listen;
    const char *tls_cert, *tls_key; // PEM files
    bool reuse_port; // several servers listen at one address, and the kernel shares out
    // Of h1_server_new: what is there already, at most H1_MAX_LISTENERS. They are the server's from then on, unless
    // it fails.
    const struct h1_socket *sockets;
    size_t n_sockets;
    bool hold; // listens, but accepts nothing until h1_server_accept
    // Where several processes accept from the same sockets: told whenever the number of connections changes. True:
    // another one has fewer, and this one accepts nothing for a moment. NULL: there are no others.
    bool (*yields)(void *ctx, size_t connections);

    size_t max_connections, max_requests;
    // What a connection beyond max_connections is told before it is closed: in how many seconds to come
    // again, and JSON, which stays the caller's and must stay. NULL: nothing but 503.
    int64_t retry_after;
    const char *full;
    int64_t max_header, max_body, max_queued; // bytes; queued: of all bodies
    int64_t header_ms, body_ms;               // for all of a head, of a body
    int64_t idle_ms;                          // between two requests
    int64_t stall_ms;                         // a client that takes nothing for so long is left

    void *ctx;
    size_t exchange_size; // of the struct that embeds the exchange; 0: there is none
    // The head of a request has come, or what should have been one. NULL: nothing to do.
    h1_handler *begin;
    // Who handles it when its body is there. NULL: it has been answered, by h1_exchange_refuse.
    h1_handler *(*route)(struct h1_exchange *x);
    // Answers with an error: what the server itself refuses, and h1_exchange_error. NULL: as plain text.
    void (*error)(struct h1_exchange *x, int status, const char *code, const char *message);
    // It is over, and freed after this. NULL: nothing to do.
    h1_handler *done;
};
extern const struct h1_server_options h1_server_defaults; // without base and route

// Listens. NULL with a reason.
struct h1_server *h1_server_new(const struct h1_server_options *o, char *error, size_t error_size);
// Other limits and times, and the certificate anew; where it listens stays. False: all is as it was.
bool h1_server_configure(struct h1_server *s, const struct h1_server_options *o, char *error,
                         size_t error_size);
// No new connections. Those there are close with their answers, idle ones when they were idle for idle_ms more
// (0: at once). If that isn't 0, those that have sent nothing yet have their usual time for a first request.
void h1_server_drain(struct h1_server *s, int64_t idle_ms);
void h1_server_free(struct h1_server *s);
// Other addresses to listen at, without TLS, instead of those there were. False: it listens nowhere.
bool h1_server_listen(struct h1_server *s, const char *listen, char *error, size_t error_size);
// Refuses connections; those there are go on.
void h1_server_unlisten(struct h1_server *s);
// After `hold`: it accepts, and the sockets are its own.
void h1_server_accept(struct h1_server *s);
// Those it was given are its own from now on: it removes their paths in the end.
void h1_server_own(struct h1_server *s);
// What it listens at, to be handed on; the descriptors stay the server's. Returns how many.
size_t h1_server_sockets(const struct h1_server *s, struct h1_socket out[H1_MAX_LISTENERS]);
// Another process has them now: their paths are not removed.
void h1_server_hand_over(struct h1_server *s);
// Whether it came to a loopback address.
bool h1_exchange_is_loopback(const struct h1_exchange *x);
// The port of the first address it listens at; 0: that is none of TCP.
int h1_server_port(const struct h1_server *s);

struct h1_server_stats {
    size_t connections, requests; // now
    uint64_t queued;              // bytes of bodies, now
    uint64_t accepted;
    uint64_t refused; // requests that never came to a handler
};
void h1_server_stats(const struct h1_server *s, struct h1_server_stats *out);

// ---- Answers -------------------------------------------------------------------------------------

// Adds a header to an answer that hasn't begun. What isn't fit for a header's value (control
// characters) is left out.
void h1_exchange_header(struct h1_exchange *x, const char *name, const char *value);

// length −1: unknown; it is sent in chunks, or to a client of HTTP/1.0 until the connection closes.
void h1_exchange_start(struct h1_exchange *x, int status, const char *type, int64_t length);
// Takes all of `data` away. False: more than is good is waiting for the client; give no more until
// `on_room` is called (what is given nevertheless is kept).
bool h1_exchange_data(struct h1_exchange *x, struct evbuffer *data);
void h1_exchange_end(struct h1_exchange *x);
// The end of an answer that can't be completed: the client sees a connection that breaks, without any
// answer if it hasn't begun.
void h1_exchange_abort(struct h1_exchange *x);
// The same, by a connection that is reset. For mock engines, which crash on request.
void h1_exchange_reset(struct h1_exchange *x);
// The request's body isn't needed any more; nor does it count as waiting.
void h1_exchange_drop_body(struct h1_exchange *x);

// Whole answers.
void h1_exchange_send(struct h1_exchange *x, int status, const char *type, const void *body,
                      size_t n);
void h1_exchange_error(struct h1_exchange *x, int status, const char *code, const char *message);
// The same before the body has been read: within `route`.
void h1_exchange_refuse(struct h1_exchange *x, int status, const char *code, const char *message);

#endif
