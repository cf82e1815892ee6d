// SPDX-License-Identifier: Apache-2.0
// Sockets to listen on, and the certificate. See h1_server.h.
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <openssl/err.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "h1_server_impl.h"

enum { H1_BACKLOG = 1024, H1_MAX_PLACES = 600 };

// An address that the options name.
struct listen_address {
    struct sockaddr_storage a;
    socklen_t n;
    enum h1_place place;
    const char *word;
    int socket; // of the inherited ones; -1: none
};

struct listen_plan {
    struct listen_address all[H1_MAX_LISTENERS];
    size_t n;
    char copies[3][H1_MAX_PLACES]; // what the words are in
    bool taken[H1_MAX_LISTENERS];  // inherited sockets that an address names
    bool given[3];                 // places that have a given one which none names
    const struct h1_socket *sockets;
    size_t n_sockets;
    char *error;
    size_t error_size;
};

const char *const h1_place_names[3] = {"listen", "tls_listen", "admin_listen"};

static bool refuse_address(const struct listen_plan *l, enum h1_place place, const char *word) {
    snprintf(l->error, l->error_size, "%s: can't listen at %.200s: %s", h1_place_names[place], word,
             errno == EINVAL ? "that is neither ADDRESS:PORT nor unix:PATH" : strerror(errno));
    return false;
}

// ---- Addresses -----------------------------------------------------------------------------------

static bool read_unix(struct listen_address *out, const char *path) {
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    if (!*path || strlen(path) >= sizeof a.sun_path) {
        errno = ENAMETOOLONG;
        return false;
    }
    memcpy(a.sun_path, path, strlen(path) + 1);
    memcpy(&out->a, &a, sizeof a);
    out->n = sizeof a;
    return true;
}

// getaddrinfo takes more for one, and of what is too large the lower 16 bits.
static bool is_port(const char *text) {
    size_t n = strspn(text, "0123456789");
    return n && n <= 5 && !text[n] && atoi(text) <= UINT16_MAX;
}

static bool read_tcp(struct listen_address *out, const char *where) {
    char host[256];
    const char *colon = strrchr(where, ':');
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_PASSIVE | AI_NUMERICSERV},
                    *found;
    errno = EINVAL;
    if (!colon || !is_port(colon + 1) || (size_t)(colon - where) >= sizeof host) return false;
    size_t n = (size_t)(colon - where);
    memcpy(host, where, n);
    host[n] = 0;
    char *name = host;
    if (n > 1 && host[0] == '[' && host[n - 1] == ']') {
        host[n - 1] = 0;
        name++;
    }
    if (getaddrinfo(*name ? name : NULL, colon + 1, &hints, &found)) {
        errno = EINVAL;
        return false;
    }
    memcpy(&out->a, found->ai_addr, found->ai_addrlen);
    out->n = found->ai_addrlen;
    freeaddrinfo(found);
    return true;
}

static bool read_addresses(struct listen_plan *l, const char *places, enum h1_place place) {
    char *rest = NULL, *copy = l->copies[place];
    snprintf(copy, H1_MAX_PLACES, "%s", places ? places : "");
    for (char *p = strtok_r(copy, " ", &rest); p; p = strtok_r(NULL, " ", &rest)) {
        struct listen_address one = {.place = place, .word = p, .socket = -1};
        errno = E2BIG;
        if (l->n == H1_MAX_LISTENERS) return refuse_address(l, place, p);
        if (strncmp(p, "unix:", 5) == 0 ? !read_unix(&one, p + 5) : !read_tcp(&one, p))
            return refuse_address(l, place, p);
        l->all[l->n++] = one;
    }
    return true;
}

// ---- Inherited sockets ---------------------------------------------------------------------------

static bool is_both_families(int fd) {
    int only = 1;
    socklen_t n = sizeof only;
    return getsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, &n) == 0 && !only;
}

// Whether the socket listens at the address that is wanted. Port 0 is any; what listens at [::] for both
// families does so at 0.0.0.0, too.
static bool is_at(int fd, const struct sockaddr_storage *wanted) {
    struct sockaddr_storage is = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof is;
    if (getsockname(fd, (struct sockaddr *)&is, &n) != 0) return false;
    const struct sockaddr_in *a4 = (const void *)wanted, *b4 = (const void *)&is;
    const struct sockaddr_in6 *a6 = (const void *)wanted, *b6 = (const void *)&is;
    if (wanted->ss_family == AF_UNIX)
        return is.ss_family == AF_UNIX && strcmp(((const struct sockaddr_un *)wanted)->sun_path,
                                                 ((const struct sockaddr_un *)&is)->sun_path) == 0;
    if (wanted->ss_family == AF_INET && is.ss_family == AF_INET6)
        return a4->sin_addr.s_addr == htonl(INADDR_ANY) && a4->sin_port == b6->sin6_port &&
               IN6_IS_ADDR_UNSPECIFIED(&b6->sin6_addr) && is_both_families(fd);
    if (wanted->ss_family != is.ss_family) return false;
    if (is.ss_family == AF_INET)
        return a4->sin_addr.s_addr == b4->sin_addr.s_addr &&
               (!a4->sin_port || a4->sin_port == b4->sin_port);
    return is.ss_family == AF_INET6 && IN6_ARE_ADDR_EQUAL(&a6->sin6_addr, &b6->sin6_addr) &&
           (!a6->sin6_port || a6->sin6_port == b6->sin6_port);
}

static void match(struct listen_plan *l) {
    for (size_t i = 0; i < l->n; i++)
        for (size_t k = 0; k < l->n_sockets && l->all[i].socket < 0; k++)
            if (!l->taken[k] && is_at(l->sockets[k].fd, &l->all[i].a)) {
                l->taken[k] = true;
                l->all[i].socket = (int)k;
            }
    for (size_t k = 0; k < l->n_sockets; k++)
        if (!l->taken[k] && l->sockets[k].given) l->given[l->sockets[k].place] = true;
}

// ---- Listeners -----------------------------------------------------------------------------------

static enum h1_place place_of(const struct h1_server *s, const struct evconnlistener *l) {
    size_t i = 0;
    while (i + 1 < s->n_listeners && s->listeners[i].socket != l)
        i++;
    return s->listeners[i].place;
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n,
                      void *arg) {
    (void)a;
    (void)n;
    struct h1_server *s = arg;
    s->accept(s, fd, place_of(s, l));
    bool ahead = h1_listen_count(s);
    if (s->turns) s->turns--;
    if (!ahead || s->turns || s->yielding) return;
    // Listening is what is paused: a loop that only looked away would be woken again at once.
    struct timeval soon = {0, H1_PAUSE_US};
    s->yielding = true;
    for (size_t i = 0; i < s->n_listeners; i++)
        evconnlistener_disable(s->listeners[i].socket);
    event_add(s->pause, &soon);
}

bool h1_listen_count(struct h1_server *s) {
    return s->pause && s->options.yields(s->options.ctx, s->stats.connections);
}

void h1_listen_pause(evutil_socket_t fd, short what, void *server) {
    struct h1_server *s = server;
    (void)fd;
    (void)what;
    s->yielding = false;
    s->turns = H1_PAUSE_TURNS;
    if (!s->resting) h1_listen_again(s);
}

// Out of descriptors, most likely: asking again at once would be all the loop does.
static void on_accept_error(struct evconnlistener *l, void *arg) {
    struct h1_server *s = arg;
    evconnlistener_disable(l);
    s->resting = true;
}

void h1_listen_again(struct h1_server *s) {
    if (s->held || s->yielding) return;
    for (size_t i = 0; i < s->n_listeners; i++)
        evconnlistener_enable(s->listeners[i].socket);
}

static struct h1_listener *add_listener(struct h1_server *s, struct evconnlistener *l,
                                        enum h1_place place) {
    if (!l) return NULL;
    struct h1_listener *at = &s->listeners[s->n_listeners++];
    *at = (struct h1_listener){.socket = l, .place = place};
    evconnlistener_set_error_cb(l, on_accept_error);
    return at;
}

static unsigned flags_of(const struct h1_server *s) {
    return LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | (s->held ? LEV_OPT_DISABLED : 0);
}

static bool listen_at(struct h1_server *s, const struct listen_address *w) {
    const struct sockaddr *a = (const struct sockaddr *)&w->a;
    const char *path = a->sa_family == AF_UNIX ? ((const struct sockaddr_un *)a)->sun_path : "";
    unsigned flags = flags_of(s) | LEV_OPT_REUSEABLE;
    struct stat st;
    if (s->options.reuse_port && !*path) flags |= LEV_OPT_REUSEABLE_PORT;
    // What a router that was killed has left behind.
    if (*path && lstat(path, &st) == 0 && S_ISSOCK(st.st_mode)) unlink(path);
    struct h1_listener *l = add_listener(
        s, evconnlistener_new_bind(s->options.base, on_accept, s, flags, H1_BACKLOG, a, (int)w->n),
        w->place);
    if (l) memcpy(l->path, path, strlen(path) + 1);
    return l != NULL;
}

// "": it has none.
static void copy_path(int fd, char path[108]) {
    struct sockaddr_un a = {.sun_family = AF_UNSPEC};
    socklen_t n = sizeof a;
    bool has = getsockname(fd, (struct sockaddr *)&a, &n) == 0 && a.sun_family == AF_UNIX &&
               n > offsetof(struct sockaddr_un, sun_path);
    snprintf(path, 108, "%.*s", has ? (int)sizeof a.sun_path - 1 : 0, a.sun_path);
}

static bool adopt(struct h1_server *s, const struct h1_socket *socket, enum h1_place place) {
    evutil_make_socket_nonblocking(socket->fd);
    struct h1_listener *l = add_listener(
        s, evconnlistener_new(s->options.base, on_accept, s, flags_of(s), 0, socket->fd), place);
    if (!l) return false;
    l->given = socket->given;
    l->theirs = true;
    if (!l->given) copy_path(socket->fd, l->path);
    return true;
}

// Those that no address names: a given one is used; another would have clients wait that nobody serves.
static bool adopt_rest(struct h1_server *s, const struct listen_plan *l) {
    for (size_t k = 0; k < l->n_sockets; k++) {
        const struct h1_socket *one = &l->sockets[k];
        if (l->taken[k]) continue;
        if (!one->given) {
            copy_path(one->fd, s->dropped[s->n_dropped++]);
            close(one->fd);
        } else if (s->n_listeners == H1_MAX_LISTENERS || !adopt(s, one, one->place)) {
            return false;
        }
    }
    return true;
}

static bool carry_out(struct h1_server *s, struct listen_plan *l) {
    match(l);
    for (size_t i = 0; i < l->n; i++) {
        const struct listen_address *w = &l->all[i];
        if (w->socket >= 0 ? !adopt(s, &l->sockets[w->socket], w->place)
                           : !l->given[w->place] && !listen_at(s, w))
            return refuse_address(l, w->place, w->word);
    }
    if (adopt_rest(s, l)) return true;
    snprintf(l->error, l->error_size,
             "sockets that were given can't be used besides the settings' %zu", s->n_listeners);
    return false;
}

bool h1_listen(struct h1_server *s, char *error, size_t error_size) {
    const struct h1_server_options *o = &s->options;
    struct listen_plan l = {
        .sockets = o->sockets, .n_sockets = o->n_sockets, .error = error, .error_size = error_size};
    return read_addresses(&l, o->listen, H1_PLACE_PLAIN) &&
           read_addresses(&l, o->tls_listen, H1_PLACE_TLS) &&
           read_addresses(&l, o->admin_listen, H1_PLACE_ADMIN) && carry_out(s, &l);
}

bool h1_server_listen(struct h1_server *s, const char *listen, char *error, size_t error_size) {
    struct listen_plan l = {.error = error, .error_size = error_size};
    h1_server_unlisten(s);
    return read_addresses(&l, listen, H1_PLACE_PLAIN) && carry_out(s, &l);
}

int h1_server_port(const struct h1_server *s) {
    struct sockaddr_storage a = {.ss_family = AF_UNSPEC};
    socklen_t n = sizeof a;
    if (!s->n_listeners ||
        getsockname(evconnlistener_get_fd(s->listeners[0].socket), (struct sockaddr *)&a, &n) != 0)
        return 0;
    if (a.ss_family == AF_INET) return ntohs(((struct sockaddr_in *)&a)->sin_port);
    return a.ss_family == AF_INET6 ? ntohs(((struct sockaddr_in6 *)&a)->sin6_port) : 0;
}

void h1_server_unlisten(struct h1_server *s) {
    for (size_t i = 0; i < s->n_listeners; i++) {
        const struct h1_listener *l = &s->listeners[i];
        evconnlistener_free(l->socket);
        if (*l->path && !l->theirs) unlink(l->path);
    }
    s->n_listeners = 0;
}

// ---- From one process to the next ----------------------------------------------------------------

void h1_server_own(struct h1_server *s) {
    for (size_t i = 0; i < s->n_listeners; i++)
        s->listeners[i].theirs = false;
    while (s->n_dropped)
        if (*s->dropped[--s->n_dropped]) unlink(s->dropped[s->n_dropped]);
}

void h1_server_accept(struct h1_server *s) {
    s->held = false;
    h1_server_own(s);
    h1_listen_again(s);
}

size_t h1_server_sockets(const struct h1_server *s, struct h1_socket out[H1_MAX_LISTENERS]) {
    for (size_t i = 0; i < s->n_listeners; i++) {
        const struct h1_listener *l = &s->listeners[i];
        out[i] = (struct h1_socket){evconnlistener_get_fd(l->socket), l->place, l->given};
    }
    return s->n_listeners;
}

void h1_server_hand_over(struct h1_server *s) {
    for (size_t i = 0; i < s->n_listeners; i++)
        *s->listeners[i].path = 0;
}

// ---- Certificate ---------------------------------------------------------------------------------

bool h1_read_certificate(struct h1_server *s, const struct h1_server_options *o, char *error,
                         size_t error_size) {
    bool used = false;
    for (size_t i = 0; i < s->n_listeners; i++)
        used |= s->listeners[i].place == H1_PLACE_TLS;
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
