// SPDX-License-Identifier: Apache-2.0
// The listening side: connections, requests, and the answers to them.
//
// HTTP/1.1 is read by http.h on bufferevents and not by libevent's evhttp. evhttp lets pass what must
// be refused here (repeated lengths, bare LF, signs in chunk sizes), and a stricter reader before it
// would be a second parser to disagree with. Nor has it a deadline for a head that drips, and it
// doesn't notice a client that leaves while the answer pauses.
//
// A request that is complete and within the limits becomes an exchange and goes to the handler of its
// route. The handler answers now or later, at once or in pieces:
//
//     void handle(struct exchange *x) {
//         exchange_header_set(x, "X-Kvroute-Worker", "w1");
//         exchange_start(x, 200, "text/event-stream", -1);
//         exchange_data(x, buffer);     // again and again; false: wait for `room`
//         exchange_end(x);              // or exchange_abort(x): visibly broken
//     }
//
// After exchange_end, exchange_abort, exchange_send, exchange_json and exchange_error, and when `gone`
// returns, the exchange is no more. Whatever a handler has under way for it must not come back to it.
#ifndef ROUTER_SERVER_H
#define ROUTER_SERVER_H

#include <event2/buffer.h>
#include <jansson.h>
#include <kvroute/client.h>
#include <stdbool.h>
#include <stdint.h>

#include "http.h"

struct router;
struct router_pool;
struct server;
struct conn;

enum { REQUEST_ID_MOST = 128 };

// What the access log and the metrics say of a request; handlers fill in what they know.
struct record {
    char id[REQUEST_ID_MOST +
            1]; // the client's X-Request-Id, or one made here; set before the handler
    char worker[KVR_MAX_NAME + 1];
    uint32_t rank;
    char model[129];
    char code[24];           // of an error, "" if there was none
    int64_t blocks, overlap; // of the request, found; −1: nothing was chosen
    int64_t expected;        // found, or being computed there
    int64_t input, output;   // tokens; −1: unknown
    unsigned tries;          // engines tried
    int64_t first_us;        // from the request's arrival to the first token; −1: none
    int64_t booked_us;       // from the choice to it, and what the pool took that to be; −1: none
    int64_t predicted_us;
    bool degraded; // the choice was made without Redis
    bool stream;
    // Kept by the server.
    int status; // 0: nothing was sent
    bool cut;   // the answer ended before its end
    bool gone;  // because the client left
    uint64_t in_bytes, out_bytes;
    int64_t began_us; // monotonic
};

struct exchange {
    struct router *router;
    struct http_head head;
    struct evbuffer *body; // all of it; the handler may take it away
    const struct route *route;
    struct router_pool *pool; // set by router_pools_take, given back with the exchange
    struct record record;

    // The handler's:
    void *arg;
    void (*gone)(struct exchange *x); // the client has left; the exchange ends after this
    void (*room)(struct exchange *x); // after exchange_data said false: there is room again

    // The server's.
    struct conn *conn;
    char *text; // of the head
    size_t body_size;
    struct http_chunks chunks;
    char *more; // header lines set before the start
    size_t more_size;
    bool started, chunked, silent; // silent: HEAD, nothing of a body is sent
    bool full;                     // exchange_data said false
    int64_t to_send;               // of the announced length; −1: none was
};

typedef void handler(struct exchange *x);

struct route {
    const char *path;
    unsigned methods; // of enum http_method
    handler *handle;
    const char *name; // in metrics
    unsigned flags;
};
enum {
    ROUTE_OPEN = 1,    // needs no token
    ROUTE_DRAINING = 2 // answered also when the router is draining or full
};

// Adds a header to an answer that hasn't begun. What isn't fit for a header's value (control
// characters) is left out.
void exchange_header_set(struct exchange *x, const char *name, const char *value);

// length −1: unknown; it is sent in chunks, or to a client of HTTP/1.0 until the connection closes.
void exchange_start(struct exchange *x, int status, const char *type, int64_t length);
// Takes all of `data` away. False: more than is good is waiting for the client; give no more until
// `room` is called (what is given nevertheless is kept).
bool exchange_data(struct exchange *x, struct evbuffer *data);
void exchange_end(struct exchange *x);
// The body isn't needed any more; nor does it count as waiting.
void exchange_drop_body(struct exchange *x);
// The end of an answer that can't be completed: the client sees a connection that breaks. An answer
// that hasn't begun is given as 502.
void exchange_abort(struct exchange *x);

// Whole answers.
void exchange_send(struct exchange *x, int status, const char *type, const void *body, size_t n);
void exchange_json(struct exchange *x, int status, json_t *body); // takes the reference
// {"error": {"code": …, "message": …}}. 503 says when to come back.
void exchange_error(struct exchange *x, int status, const char *code, const char *message);

int64_t now_us(void); // monotonic

// Listens as the options say. NULL with a reason.
struct server *server_new(struct router *r, char *error, size_t error_size);
// Certificate and tokens anew; false leaves what was.
bool server_reload(struct server *s, char *error, size_t error_size);
// No new connections; idle ones are closed, the others with their answers.
void server_drain(struct server *s);
void server_free(struct server *s);

struct server_stats {
    size_t connections, requests; // now
    uint64_t queued;              // bytes of bodies, now
    uint64_t accepted;
    uint64_t refused; // requests that never became an exchange
};
void server_stats(const struct server *s, struct server_stats *out);

#endif
