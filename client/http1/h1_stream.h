// SPDX-License-Identifier: Apache-2.0
// A connection's bytes: a socket with a buffer for each direction, plain or with TLS.
//
// TLS is libevent's bufferevent. Plain sockets are read and written here, since a bufferevent costs more than the
// message: for each one that it writes it tells epoll twice and sets a timer, and waits for a turn of the loop in
// between; for each that it reads it asks how much there is. Here a write is tried at once, and epoll hears of it
// only if something is left.
//
// Callbacks come from the loop alone, never from within a function of these. In one the stream may be freed.
#ifndef H1_STREAM_H
#define H1_STREAM_H

#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/bufferevent_ssl.h>
#include <event2/event.h>
#include <event2/event_struct.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct h1_stream;

struct h1_stream_callbacks {
    void (*read)(void *arg); // something has come
    void (*write)(
        void
            *arg); // of what couldn't be sent at once no more than `low_out` is left; NULL: nothing
    // BEV_EVENT_*, as bufferevents have them; of an error, errno says which.
    void (*event)(void *arg, short what);
};

struct h1_stream {
    struct event_base *base;
    struct bufferevent *tls; // NULL: it is plain
    evutil_socket_t fd;      // −1: none yet, or no more
    struct evbuffer *in, *out;
    struct h1_stream_callbacks port;
    void *arg;
    size_t max_in;  // reading rests while as much waits
    size_t low_out; // see `write` above

    // Of a plain one:
    struct event readable, writable;
    bool reads;       // it is to be read
    bool full;        // it isn't now, since max_in waits
    bool connecting;  // not connected yet
    bool broken;      // nothing can be written any more
    bool awaits_room; // `writable` is pending
    bool sends;       // is to be sent by the loop
    short due;        // BEV_EVENT_* that the loop is to tell, with
    int error;
    bool reads_again;  // `read` is to be called by the loop, whether or not more comes
    int64_t unsent_us; // since when nothing could be sent, by kvr_clock_us; while awaits_room
};

// fd −1: see h1_stream_connect. The socket is the stream's. Nothing is read yet. NULL: no memory; fd stays open.
struct h1_stream *h1_stream_new(struct event_base *base, evutil_socket_t fd);
// With TLS on a socket that is connected. later: bufferevents may call back from within a function of theirs
// otherwise. NULL: no memory; fd stays open. ssl is taken in any case.
struct h1_stream *h1_stream_new_tls(struct event_base *base, evutil_socket_t fd, SSL *ssl,
                                    enum bufferevent_ssl_state state, bool later);
void h1_stream_free(struct h1_stream *s); // NULL: nothing
// The socket, which is the caller's from now on.
evutil_socket_t h1_stream_take_socket(struct h1_stream *s);
// Closes the socket at once; the buffers stay. h1_stream_connect may follow.
void h1_stream_close(struct h1_stream *s);

void h1_stream_call(struct h1_stream *s, const struct h1_stream_callbacks *port, void *arg);
// Of one without a socket. BEV_EVENT_CONNECTED or an error follows. −1, with errno: none could be made.
int h1_stream_connect(struct h1_stream *s, const struct sockaddr *to, socklen_t n);
void h1_stream_read(struct h1_stream *s, bool on); // to be read, or left alone
void h1_stream_send(struct h1_stream *s);          // what is in `out`
// Sends these bytes behind what is in `out`; what isn't taken at once is kept there. False: no memory.
bool h1_stream_put(struct h1_stream *s, const void *bytes, size_t n);
void h1_stream_send_later(struct h1_stream *s); // the same, by the loop, unless it has gone before
void h1_stream_read_again(struct h1_stream *s); // calls `read`, by the loop
void h1_stream_fail(struct h1_stream *s, int error); // BEV_EVENT_ERROR, by the loop
// Nothing is taken of what is to be sent: a plain one that has been so since before `us` is stuck. Of TLS the
// bufferevent looks after that: h1_stream_limit_tls.
bool h1_stream_is_stuck(const struct h1_stream *s, int64_t us);
void h1_stream_limit_tls(struct h1_stream *s, int64_t stall_ms);

#endif
