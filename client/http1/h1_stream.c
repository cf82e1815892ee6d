// SPDX-License-Identifier: Apache-2.0
#include "h1_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "client/common/clock.h"

enum { STREAM_READ_SIZE = 32 << 10 };

static bool is_for_now(int error) {
    return error == EAGAIN || error == EWOULDBLOCK || error == EINTR;
}

// ---- Reading -------------------------------------------------------------------------------------

static void watch_readable(struct h1_stream *s) {
    bool wanted = s->reads && !s->full && !s->connecting && s->fd >= 0;
    bool pending = event_pending(&s->readable, EV_READ, NULL);
    if (wanted && !pending)
        event_add(&s->readable, NULL);
    else if (!wanted && pending)
        event_del(&s->readable);
}

static void on_input(struct evbuffer *in, const struct evbuffer_cb_info *info, void *arg) {
    struct h1_stream *s = arg;
    (void)info;
    if (evbuffer_get_length(in) >= s->max_in) return;
    s->full = false;
    evbuffer_remove_cb(in, on_input, s);
    watch_readable(s);
}

// Until something is taken away.
static void rest(struct h1_stream *s) {
    s->full = evbuffer_add_cb(s->in, on_input, s) != NULL;
    watch_readable(s);
}

static void end_reading(struct h1_stream *s, short what, int error) {
    s->reads = false;
    watch_readable(s);
    errno = error;
    s->port.event(s->arg, (short)(BEV_EVENT_READING | what));
}

static void on_readable(evutil_socket_t fd, short what, void *arg) {
    struct h1_stream *s = arg;
    char bytes[STREAM_READ_SIZE];
    size_t there = evbuffer_get_length(s->in), room = there < s->max_in ? s->max_in - there : 0;
    (void)what;
    if (!room) {
        rest(s);
        return;
    }
    ssize_t n = recv(fd, bytes, room < sizeof bytes ? room : sizeof bytes, MSG_DONTWAIT);
    if (n < 0 && is_for_now(errno)) return;
    if (n < 0) {
        end_reading(s, BEV_EVENT_ERROR, errno);
    } else if (n == 0) {
        end_reading(s, BEV_EVENT_EOF, 0);
    } else if (evbuffer_add(s->in, bytes, (size_t)n)) {
        end_reading(s, BEV_EVENT_ERROR, ENOMEM);
    } else {
        if ((size_t)n == room) rest(s);
        s->port.read(s->arg);
    }
}

void h1_stream_read(struct h1_stream *s, bool on) {
    if (s->tls) {
        if (on)
            bufferevent_enable(s->tls, EV_READ);
        else
            bufferevent_disable(s->tls, EV_READ);
        return;
    }
    s->reads = on;
    watch_readable(s);
}

// ---- Writing -------------------------------------------------------------------------------------

// `writable` comes from epoll, and also when the loop is to do something.
static void run_soon(struct h1_stream *s) {
    if (s->due || s->reads_again || s->sends) event_active(&s->writable, EV_TIMEOUT, 0);
}

static void await_room(struct h1_stream *s, bool on) {
    if (s->awaits_room == on) return;
    s->awaits_room = on;
    if (on) {
        s->unsent_us = kvr_clock_us();
        event_add(&s->writable, NULL);
        return;
    }
    event_del(&s->writable);
    run_soon(s); // that was undone, too
}

static void tell_later(struct h1_stream *s, short what, int error) {
    s->due |= what;
    s->error = error;
    run_soon(s);
}

// As evbuffer_write, but what lies in one piece, as most messages do, goes by the cheaper call.
static ssize_t send_out(struct h1_stream *s) {
    struct evbuffer_iovec piece;
    if (evbuffer_peek(s->out, -1, NULL, &piece, 1) != 1 ||
        piece.iov_len != evbuffer_get_length(s->out))
        return evbuffer_write(s->out, s->fd);
    ssize_t n = send(s->fd, piece.iov_base, piece.iov_len, MSG_DONTWAIT | MSG_NOSIGNAL);
    if (n > 0) evbuffer_drain(s->out, (size_t)n);
    return n;
}

static void write_out(struct h1_stream *s) {
    s->sends = false;
    if (s->broken || s->fd < 0 || !evbuffer_get_length(s->out)) return;
    ssize_t n = send_out(s);
    if (n < 0 && !is_for_now(errno)) {
        s->broken = true;
        await_room(s, false);
        tell_later(s, BEV_EVENT_WRITING | BEV_EVENT_ERROR, errno);
        return;
    }
    if (n > 0 && s->awaits_room) s->unsent_us = kvr_clock_us();
    await_room(s, evbuffer_get_length(s->out) > 0);
}

// While there is no room, the loop goes on when there is some: so `write` is always called.
void h1_stream_send(struct h1_stream *s) {
    if (!s->tls && !s->awaits_room) write_out(s);
}

bool h1_stream_put(struct h1_stream *s, const void *bytes, size_t n) {
    bool clear = !s->tls && !s->awaits_room && !s->connecting && !s->broken && s->fd >= 0 &&
                 !evbuffer_get_length(s->out);
    ssize_t sent = clear ? send(s->fd, bytes, n, MSG_DONTWAIT | MSG_NOSIGNAL) : 0;
    if (sent == (ssize_t)n) return true;
    if (sent < 0) sent = 0; // write_out will see why
    if (evbuffer_add(s->out, (const char *)bytes + sent, n - (size_t)sent)) return false;
    h1_stream_send(s);
    return true;
}

void h1_stream_send_later(struct h1_stream *s) {
    if (s->tls || s->sends || s->awaits_room) return;
    s->sends = true;
    run_soon(s);
}

static void on_writable(evutil_socket_t fd, short what, void *arg);

// ---- Connecting ----------------------------------------------------------------------------------

static void await_connection(struct h1_stream *s) {
    s->awaits_room = true;
    s->unsent_us = kvr_clock_us();
    event_add(&s->writable, NULL);
}

int h1_stream_connect(struct h1_stream *s, const struct sockaddr *to, socklen_t n) {
    s->fd = socket(to->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (s->fd < 0) return -1;
    event_assign(&s->readable, s->base, s->fd, EV_READ | EV_PERSIST, on_readable, s);
    event_assign(&s->writable, s->base, s->fd, EV_WRITE | EV_PERSIST, on_writable, s);
    s->connecting = true;
    if (connect(s->fd, to, n) == 0 || errno == EINPROGRESS || errno == EINTR) {
        await_connection(s);
        return 0;
    }
    int error = errno;
    h1_stream_close(s);
    if (error != ECONNREFUSED) {
        errno = error;
        return -1;
    }
    tell_later(s, BEV_EVENT_ERROR, error); // of who was called, unlike others
    return 0;
}

static void finish_connecting(struct h1_stream *s) {
    int error = 0;
    socklen_t n = sizeof error;
    if (getsockopt(s->fd, SOL_SOCKET, SO_ERROR, &error, &n)) error = errno;
    s->connecting = false;
    await_room(s, false);
    if (!error) watch_readable(s);
    errno = error;
    s->port.event(s->arg, error ? BEV_EVENT_ERROR : BEV_EVENT_CONNECTED);
}

// ---- What the loop does --------------------------------------------------------------------------

// One thing at a time: in a callback the stream may be freed.
static void on_writable(evutil_socket_t fd, short what, void *arg) {
    struct h1_stream *s = arg;
    short due = s->due;
    (void)fd;
    // libevent doesn't add an event while it is active, and it may have been so because of run_soon.
    if (s->awaits_room && !event_pending(&s->writable, EV_WRITE, NULL))
        event_add(&s->writable, NULL);
    if (what & EV_WRITE && s->connecting) {
        finish_connecting(s);
    } else if (due) {
        s->due = 0;
        run_soon(s);
        errno = s->error;
        s->port.event(s->arg, due);
    } else if (s->reads_again) {
        s->reads_again = false;
        run_soon(s);
        s->port.read(s->arg);
    } else if (what & EV_WRITE) {
        write_out(s);
        if (s->port.write && !s->broken && evbuffer_get_length(s->out) <= s->low_out)
            s->port.write(s->arg);
    } else if (s->sends) {
        write_out(s);
    }
}

void h1_stream_read_again(struct h1_stream *s) {
    if (s->tls) {
        bufferevent_trigger(s->tls, EV_READ, BEV_TRIG_DEFER_CALLBACKS);
        return;
    }
    s->reads_again = true;
    run_soon(s);
}

void h1_stream_fail(struct h1_stream *s, int error) {
    if (s->tls) {
        errno = error;
        bufferevent_trigger_event(s->tls, BEV_EVENT_ERROR, BEV_TRIG_DEFER_CALLBACKS);
        return;
    }
    tell_later(s, BEV_EVENT_ERROR, error);
}

bool h1_stream_is_stuck(const struct h1_stream *s, int64_t us) {
    return !s->tls && !s->connecting && s->awaits_room && s->unsent_us < us;
}

// ---- TLS -----------------------------------------------------------------------------------------

static void tls_read(struct bufferevent *b, void *arg) {
    struct h1_stream *s = arg;
    (void)b;
    s->port.read(s->arg);
}

static void tls_write(struct bufferevent *b, void *arg) {
    struct h1_stream *s = arg;
    (void)b;
    s->port.write(s->arg);
}

static void tls_event(struct bufferevent *b, short what, void *arg) {
    struct h1_stream *s = arg;
    (void)b;
    s->port.event(s->arg, what);
}

void h1_stream_limit_tls(struct h1_stream *s, int64_t stall_ms) {
    struct timeval stall = {(time_t)(stall_ms / 1000), (suseconds_t)(stall_ms % 1000 * 1000)};
    if (!s->tls) return;
    bufferevent_setwatermark(s->tls, EV_READ, 0, s->max_in);
    bufferevent_setwatermark(s->tls, EV_WRITE, s->low_out, 0);
    bufferevent_set_timeouts(s->tls, NULL, &stall);
}

struct h1_stream *h1_stream_new_tls(struct event_base *base, evutil_socket_t fd, SSL *ssl,
                                    enum bufferevent_ssl_state state, bool later) {
    int options = BEV_OPT_CLOSE_ON_FREE | (later ? BEV_OPT_DEFER_CALLBACKS : 0);
    struct h1_stream *s = calloc(1, sizeof *s);
    // A reference of our own, since the bufferevent lets go of its one also when it can't be made.
    if (s) SSL_up_ref(ssl);
    if (s) s->tls = bufferevent_openssl_socket_new(base, fd, ssl, state, options);
    SSL_free(ssl);
    if (!s || !s->tls) {
        free(s);
        return NULL;
    }
    s->base = base;
    s->fd = fd;
    s->max_in = SIZE_MAX;
    s->in = bufferevent_get_input(s->tls);
    s->out = bufferevent_get_output(s->tls);
    return s;
}

// ---- Life ----------------------------------------------------------------------------------------

struct h1_stream *h1_stream_new(struct event_base *base, evutil_socket_t fd) {
    struct h1_stream *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->base = base;
    s->fd = fd;
    s->max_in = SIZE_MAX;
    event_assign(&s->readable, base, fd, EV_READ | EV_PERSIST, on_readable, s);
    event_assign(&s->writable, base, fd, EV_WRITE | EV_PERSIST, on_writable, s);
    s->in = evbuffer_new();
    s->out = evbuffer_new();
    if (s->in && s->out) return s;
    s->fd = -1;
    h1_stream_free(s);
    return NULL;
}

void h1_stream_call(struct h1_stream *s, const struct h1_stream_callbacks *port, void *arg) {
    s->port = *port;
    s->arg = arg;
    if (s->tls) bufferevent_setcb(s->tls, tls_read, port->write ? tls_write : NULL, tls_event, s);
}

evutil_socket_t h1_stream_take_socket(struct h1_stream *s) {
    evutil_socket_t fd = s->fd;
    if (s->tls) {
        bufferevent_setfd(s->tls, -1);
    } else {
        event_del(&s->readable);
        event_del(&s->writable);
        s->awaits_room = s->connecting = s->sends = s->reads_again = false;
        s->due = 0;
    }
    s->fd = -1;
    return fd;
}

void h1_stream_close(struct h1_stream *s) {
    evutil_socket_t fd = h1_stream_take_socket(s);
    if (fd >= 0) evutil_closesocket(fd);
}

void h1_stream_free(struct h1_stream *s) {
    if (!s) return;
    if (s->tls) {
        bufferevent_free(s->tls); // and its socket, later
    } else {
        h1_stream_close(s);
        if (s->in) evbuffer_free(s->in);
        if (s->out) evbuffer_free(s->out);
    }
    free(s);
}
