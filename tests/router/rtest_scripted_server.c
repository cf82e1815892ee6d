// SPDX-License-Identifier: Apache-2.0
// See rtest_scripted_server.h.
#define _GNU_SOURCE // strcasestr
#include "rtest_scripted_server.h"

#include <arpa/inet.h>
#include <criterion/criterion.h>
#include <event2/buffer.h>
#include <event2/bufferevent_ssl.h>
#include <event2/listener.h>
#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

static void on_drained(struct bufferevent *to, void *ctx) {
    struct server *s = ctx;
    for (size_t i = 0; i < SERVER_STREAMS; i++)
        if (s->streams[i] == to) s->streams[i] = NULL;
    s->closed++;
    SSL *ssl = s->tls && !s->rude ? bufferevent_openssl_get_ssl(to) : NULL;
    if (ssl) SSL_set_shutdown(ssl, SSL_get_shutdown(ssl) | SSL_RECEIVED_SHUTDOWN);
    if (ssl) SSL_shutdown(ssl);
    bufferevent_free(to);
}

static void on_event(struct bufferevent *to, short what, void *ctx) {
    if (what & (BEV_EVENT_EOF | BEV_EVENT_ERROR)) on_drained(to, ctx);
}

static void on_read(struct bufferevent *to, void *ctx) {
    struct server *s = ctx;
    struct evbuffer *in = bufferevent_get_input(to);
    struct evbuffer_ptr end = evbuffer_search(in, "\r\n\r\n", 4, NULL);
    if (end.pos < 0) return;
    char *head = calloc(1, (size_t)end.pos + 5);
    evbuffer_copyout(in, head, (size_t)end.pos + 4);
    const char *length = strcasestr(head, "\r\nContent-Length:");
    size_t n = length ? strtoul(length + 17, NULL, 10) : 0;
    if (!s->early && evbuffer_get_length(in) < (size_t)end.pos + 4 + n) {
        free(head);
        return;
    }
    free(s->head);
    s->head = head;
    s->body_bytes = n;
    if (!s->early) {
        evbuffer_drain(in, (size_t)end.pos + 4);
        s->body_sum = XXH3_64bits(n ? evbuffer_pullup(in, (ev_ssize_t)n) : NULL, n);
        evbuffer_drain(in, n);
    } else {
        bufferevent_disable(to, EV_READ);
    }
    s->serve(s, s->requests++, to);
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *from, int len,
                      void *ctx) {
    struct server *s = ctx;
    const int how = BEV_OPT_CLOSE_ON_FREE | BEV_OPT_DEFER_CALLBACKS;
    struct bufferevent *to = s->tls ? bufferevent_openssl_socket_new(s->base, fd, SSL_new(s->tls),
                                                                     BUFFEREVENT_SSL_ACCEPTING, how)
                                    : bufferevent_socket_new(s->base, fd, how);
    (void)l;
    (void)from;
    (void)len;
    size_t i = 0;
    while (s->streams[i])
        cr_assert(++i < SERVER_STREAMS);
    s->streams[i] = to;
    s->connections++;
    bufferevent_setcb(to, on_read, NULL, on_event, s);
    bufferevent_enable(to, EV_READ | EV_WRITE);
}

void server_open(struct server *s, struct event_base *base,
                 void (*serve)(struct server *, size_t, struct bufferevent *)) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t n = sizeof at;
    *s = (struct server){.base = base, .serve = serve};
    s->listener = evconnlistener_new_bind(base, on_accept, s, LEV_OPT_CLOSE_ON_FREE, -1,
                                          (struct sockaddr *)&at, sizeof at);
    cr_assert(s->listener);
    getsockname(evconnlistener_get_fd(s->listener), (struct sockaddr *)&at, &n);
    s->port = ntohs(at.sin_port);
    snprintf(s->address, sizeof s->address, "http://127.0.0.1:%d", s->port);
}

void server_secure(struct server *s, SSL_CTX *tls) {
    s->tls = tls;
    snprintf(s->address, sizeof s->address, "https://127.0.0.1:%d", s->port);
}

void server_shut(struct server *s, bool shut) {
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons((uint16_t)s->port)};
    if (s->listener) evconnlistener_free(s->listener);
    s->listener = NULL;
    if (shut) return;
    s->listener =
        evconnlistener_new_bind(s->base, on_accept, s, LEV_OPT_CLOSE_ON_FREE | LEV_OPT_REUSEABLE,
                                -1, (struct sockaddr *)&at, sizeof at);
    cr_assert(s->listener);
}

void server_close(struct server *s) {
    if (s->listener) evconnlistener_free(s->listener);
    s->listener = NULL;
    for (size_t i = 0; i < SERVER_STREAMS; i++)
        if (s->streams[i]) on_drained(s->streams[i], s);
    free(s->head);
    s->head = NULL;
}

void server_say(struct bufferevent *to, const char *text) {
    bufferevent_write(to, text, strlen(text));
}

void server_say_whole(struct bufferevent *to, const char *body) {
    char head[100];
    snprintf(head, sizeof head, "HTTP/1.1 200 OK\r\nContent-Length: %zu\r\n\r\n", strlen(body));
    server_say(to, head);
    server_say(to, body);
}

void server_say_chunk(struct bufferevent *to, const char *text) {
    char size[20];
    snprintf(size, sizeof size, "%zx\r\n", strlen(text));
    server_say(to, size);
    server_say(to, text);
    server_say(to, "\r\n");
}

void server_end(struct bufferevent *to, bool reset) {
    bufferevent_data_cb read;
    void *s;
    bufferevent_getcb(to, &read, NULL, NULL, &s);
    if (reset) {
        struct sockaddr nowhere = {.sa_family = AF_UNSPEC};
        connect(bufferevent_getfd(to), &nowhere, sizeof nowhere);
        on_drained(to, s);
        return;
    }
    bufferevent_disable(to, EV_READ);
    bufferevent_setcb(to, NULL, on_drained, on_event, s);
    if (!evbuffer_get_length(bufferevent_get_output(to))) on_drained(to, s);
}
