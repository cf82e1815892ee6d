// SPDX-License-Identifier: Apache-2.0
// Newer versions of c-ares have other calls for some of these and call the old ones deprecated; Debian 12 has
// only the old ones.
#define CARES_NO_DEPRECATED
#include "dns_channel.h"

#include <ares.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/list.h"

enum { CHANNEL_TIMEOUT_MS = 1500, CHANNEL_TRIES = 2, CHANNEL_MAX_DOMAINS = 8 };

struct channel_socket {
    struct kvr_list_item link;
    struct dns_channel *channel;
    ares_socket_t fd;
    struct event *event;
};

struct channel_question {
    struct kvr_list_item link;
    struct dns_channel *channel;
    dns_answered *done;
    void *ctx;
};

struct dns_channel {
    struct event_base *base;
    ares_channel ares;
    struct event *timer;
    struct kvr_list_item sockets, questions;
    bool closing;
    int ndots;
    size_t n_domains;
    char domains[CHANNEL_MAX_DOMAINS][256];
};

// ---- The loop ------------------------------------------------------------------------------------

static void set_timer(struct dns_channel *c) {
    struct timeval left, *next = ares_timeout(c->ares, NULL, &left);
    if (next)
        event_add(c->timer, next);
    else
        event_del(c->timer);
}

static void on_channel_timer(evutil_socket_t fd, short what, void *ctx) {
    struct dns_channel *c = ctx;
    (void)fd;
    (void)what;
    ares_process_fd(c->ares, ARES_SOCKET_BAD, ARES_SOCKET_BAD);
    set_timer(c);
}

static void on_channel_socket(evutil_socket_t fd, short what, void *ctx) {
    struct dns_channel *c = ((struct channel_socket *)ctx)->channel; // the socket may go
    ares_process_fd(c->ares, what & EV_READ ? fd : ARES_SOCKET_BAD,
                    what & EV_WRITE ? fd : ARES_SOCKET_BAD);
    set_timer(c);
}

static struct channel_socket *socket_of(struct dns_channel *c, ares_socket_t fd) {
    for (struct kvr_list_item *i = c->sockets.next; i != &c->sockets; i = i->next)
        if (((struct channel_socket *)(void *)i)->fd == fd)
            return (struct channel_socket *)(void *)i;
    struct channel_socket *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->channel = c;
    s->fd = fd;
    kvr_list_push(&c->sockets, &s->link);
    return s;
}

// What c-ares wants to know of a socket from now on. Without memory it isn't watched: the question times out.
static void on_channel_state(void *ctx, ares_socket_t fd, int readable, int writable) {
    struct dns_channel *c = ctx;
    struct channel_socket *s = socket_of(c, fd);
    if (!s) return;
    if (s->event) event_free(s->event);
    s->event = NULL;
    if (!readable && !writable) {
        kvr_list_remove(&s->link);
        free(s);
        return;
    }
    int what = (readable ? EV_READ : 0) | (writable ? EV_WRITE : 0) | EV_PERSIST;
    s->event = event_new(c->base, fd, (short)what, on_channel_socket, s);
    if (s->event) event_add(s->event, NULL);
}

// ---- Names ---------------------------------------------------------------------------------------

static void keep_domains(struct dns_channel *c) {
    struct ares_options o;
    int mask = 0;
    memset(&o, 0, sizeof o);
    c->ndots = 1;
    if (ares_save_options(c->ares, &o, &mask) != ARES_SUCCESS) return;
    if (mask & ARES_OPT_NDOTS) c->ndots = o.ndots;
    int n = mask & ARES_OPT_DOMAINS ? o.ndomains : 0;
    for (int i = 0; i < n && c->n_domains < CHANNEL_MAX_DOMAINS; i++)
        if (strlen(o.domains[i]) < sizeof c->domains[0])
            strcpy(c->domains[c->n_domains++], o.domains[i]);
    ares_destroy_options(&o);
}

bool dns_channel_candidate(const struct dns_channel *c, const char *name, size_t i, char *out,
                           size_t size) {
    int dots = 0;
    size_t n = strlen(name);
    for (const char *at = name; *at; at++)
        dots += *at == '.';
    bool whole = n && name[n - 1] == '.', first = dots >= c->ndots;
    if (i > (whole ? 0 : c->n_domains)) return false;
    bool as_is = whole || (first ? i == 0 : i == c->n_domains);
    int length = as_is ? snprintf(out, size, "%s", name)
                       : snprintf(out, size, "%s.%s", name, c->domains[first ? i - 1 : i]);
    return length > 0 && (size_t)length < size;
}

// ---- Questions -----------------------------------------------------------------------------------

static void on_channel_answer(void *ctx, int status, int timeouts, unsigned char *message, int n) {
    struct channel_question *q = ctx;
    struct dns_channel *c = q->channel;
    (void)timeouts;
    kvr_list_remove(&q->link);
    if (!c->closing) {
        bool has = message && status == ARES_SUCCESS;
        q->done(q->ctx, status, has ? message : NULL, has ? (size_t)n : 0);
    }
    free(q);
}

void dns_channel_ask(struct dns_channel *c, const char *name, enum dns_type type,
                     dns_answered *done, void *ctx) {
    struct channel_question *q = calloc(1, sizeof *q);
    if (!q) {
        done(ctx, ARES_ENOMEM, NULL, 0);
        return;
    }
    q->channel = c;
    q->done = done;
    q->ctx = ctx;
    kvr_list_push(&c->questions, &q->link);
    ares_query(c->ares, name, 1 /* the Internet */, (int)type, on_channel_answer, q);
    set_timer(c);
}

bool dns_channel_is_empty(int status) {
    return status == ARES_ENODATA || status == ARES_ENOTFOUND;
}

const char *dns_channel_text(int status) {
    return ares_strerror(status);
}

// ---- Coming and going ----------------------------------------------------------------------------

static int open_channel(struct dns_channel *c, const char *servers) {
    struct ares_options o;
    memset(&o, 0, sizeof o);
    o.timeout = CHANNEL_TIMEOUT_MS;
    o.tries = CHANNEL_TRIES;
    o.sock_state_cb = on_channel_state;
    o.sock_state_cb_data = c;
    int status = ares_init_options(&c->ares, &o,
                                   ARES_OPT_TIMEOUTMS | ARES_OPT_TRIES | ARES_OPT_SOCK_STATE_CB);
    if (status != ARES_SUCCESS) return status;
    if (*servers) status = ares_set_servers_ports_csv(c->ares, servers);
    if (status != ARES_SUCCESS) ares_destroy(c->ares);
    return status;
}

struct dns_channel *dns_channel_new(struct event_base *base, const char *servers,
                                    const char **error) {
    struct dns_channel *c = calloc(1, sizeof *c);
    *error = "no memory";
    if (!c) return NULL;
    c->base = base;
    kvr_list_init(&c->sockets);
    kvr_list_init(&c->questions);
    c->timer = event_new(base, -1, 0, on_channel_timer, c);
    int status = c->timer ? open_channel(c, servers) : ARES_ENOMEM;
    if (status == ARES_SUCCESS) {
        keep_domains(c);
        return c;
    }
    *error = ares_strerror(status);
    if (c->timer) event_free(c->timer);
    free(c);
    return NULL;
}

void dns_channel_free(struct dns_channel *c) {
    if (!c) return;
    c->closing = true;
    ares_destroy(c->ares);
    event_free(c->timer);
    free(c);
}
