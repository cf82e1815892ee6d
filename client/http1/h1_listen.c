// SPDX-License-Identifier: Apache-2.0
// Sockets to listen on, and the certificate. See h1_server.h.
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "h1_server_impl.h"

enum { H1_BACKLOG = 1024, H1_MAX_PLACES = 600 };

// ---- Listeners -----------------------------------------------------------------------------------

static bool is_tls(struct h1_server *s, struct evconnlistener *l) {
    for (size_t i = 0; i < s->n_listeners; i++)
        if (s->listeners[i] == l) return s->listens_tls[i];
    return false;
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n,
                      void *arg) {
    (void)a;
    (void)n;
    struct h1_server *s = arg;
    s->accept(s, fd, is_tls(s, l));
}

// Out of descriptors, most likely: asking again at once would be all the loop does.
static void on_accept_error(struct evconnlistener *l, void *arg) {
    struct h1_server *s = arg;
    evconnlistener_disable(l);
    s->resting = true;
}

static bool add_listener(struct h1_server *s, const struct sockaddr *a, socklen_t n, bool tls) {
    unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
    if (s->options.reuse_port && a->sa_family != AF_UNIX) flags |= LEV_OPT_REUSEABLE_PORT;
    if (s->n_listeners == H1_MAX_LISTENERS) {
        errno = E2BIG;
        return false;
    }
    struct evconnlistener *l =
        evconnlistener_new_bind(s->options.base, on_accept, s, flags, H1_BACKLOG, a, (int)n);
    if (!l) return false;
    evconnlistener_set_error_cb(l, on_accept_error);
    s->listens_tls[s->n_listeners] = tls;
    s->listeners[s->n_listeners++] = l;
    return true;
}

static bool listen_unix(struct h1_server *s, const char *path, bool tls) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    struct stat st;
    if (!*path || strlen(path) >= sizeof a.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    // What a router that was killed has left behind.
    if (lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) unlink(path);
    if (!add_listener(s, (struct sockaddr *)&a, sizeof a, tls)) return false;
    memcpy(s->paths[s->n_listeners - 1], path, strlen(path) + 1);
    return true;
}

static bool listen_tcp(struct h1_server *s, const char *where, bool tls) {
    char host[256];
    const char *colon = strrchr(where, ':');
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *found;
    errno = EINVAL;
    if (!colon || !colon[1] || (size_t)(colon - where) >= sizeof host) return false;
    size_t n = (size_t)(colon - where);
    memcpy(host, where, n);
    host[n] = 0;
    char *name = host;
    if (n > 1 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = 0;
        name++;
    }
    if (getaddrinfo(*name ? name : NULL, colon + 1, &hints, &found)) {
        errno = EADDRNOTAVAIL;
        return false;
    }
    bool good = add_listener(s, found->ai_addr, found->ai_addrlen, tls);
    int why = errno;
    freeaddrinfo(found);
    errno = why;
    return good;
}

static bool listen_all(struct h1_server *s, const char *places, bool tls, char *error,
                       size_t error_size) {
    char copy[H1_MAX_PLACES], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", places ? places : "");
    for (char *p = strtok_r(copy, " ", &rest); p; p = strtok_r(NULL, " ", &rest)) {
        bool is_unix = strncmp(p, "unix:", 5) == 0;
        if (is_unix ? listen_unix(s, p + 5, tls) : listen_tcp(s, p, tls)) continue;
        snprintf(error, error_size, "can't listen at %.200s: %s", p, strerror(errno));
        return false;
    }
    return true;
}

bool h1_listen(struct h1_server *s, char *error, size_t error_size) {
    const struct h1_server_options *o = &s->options;
    return listen_all(s, o->listen, false, error, error_size) &&
           listen_all(s, o->tls_listen, true, error, error_size);
}

bool h1_server_listen(struct h1_server *s, const char *listen, char *error, size_t error_size) {
    h1_server_unlisten(s);
    return listen_all(s, listen, false, error, error_size);
}

int h1_server_port(const struct h1_server *s) {
    struct sockaddr_storage a = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof a;
    if (!s->n_listeners ||
        getsockname(evconnlistener_get_fd(s->listeners[0]), (struct sockaddr *)&a, &n) != 0)
        return 0;
    if (a.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&a)->sin_port);
    return a.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&a)->sin6_port) : 0;
}

void h1_server_unlisten(struct h1_server *s) {
    for (size_t i = 0; i < s->n_listeners; i++) {
        evconnlistener_free(s->listeners[i]);
        if (*s->paths[i]) unlink(s->paths[i]);
    }
    s->n_listeners = 0;
}

// ---- Certificate ---------------------------------------------------------------------------------

bool h1_read_certificate(struct h1_server *s, const struct h1_server_options *o, char *error,
                         size_t error_size) {
    bool used = false;
    for (size_t i = 0; i < s->n_listeners; i++)
        used |= s->listens_tls[i];
    if (!used) return true;
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (tls && SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) &&
        SSL_CTX_use_certificate_chain_file(tls, o->tls_cert) == 1 &&
        SSL_CTX_use_PrivateKey_file(tls, o->tls_key, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_check_private_key(tls) == 1) {
        // Idle connections are many, and give their buffers back.
        SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION);
        SSL_CTX_free(s->tls);
        s->tls = tls;
        return true;
    }
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(error, error_size, "tls_cert, tls_key: %s", why ? why : "can't be used");
    ERR_clear_error();
    SSL_CTX_free(tls);
    return false;
}
