// SPDX-License-Identifier: Apache-2.0
// Sockets to listen on, the certificate, and who may come in. See server.h.
#include <errno.h>
#include <netdb.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "router.h"
#include "server_impl.h"

enum { BACKLOG = 1024 };

// ---- Listeners -----------------------------------------------------------------------------------

static bool is_tls(struct server *s, struct evconnlistener *l) {
    for (size_t i = 0; i < s->n_listeners; i++)
        if (s->listeners[i] == l) return s->listens_tls[i];
    return false;
}

static void on_accept(struct evconnlistener *l, evutil_socket_t fd, struct sockaddr *a, int n,
                      void *arg) {
    (void)a;
    (void)n;
    conn_accept(arg, fd, is_tls(arg, l));
}

// Out of descriptors, most likely: asking again at once would be all the loop does.
static void on_accept_error(struct evconnlistener *l, void *arg) {
    struct server *s = arg;
    evconnlistener_disable(l);
    s->resting = true;
}

static bool add_listener(struct server *s, const struct sockaddr *a, socklen_t n, bool tls) {
    unsigned flags = LEV_OPT_CLOSE_ON_FREE | LEV_OPT_CLOSE_ON_EXEC | LEV_OPT_REUSEABLE;
    if (s->router->options.reuse_port && a->sa_family != AF_UNIX) flags |= LEV_OPT_REUSEABLE_PORT;
    if (s->n_listeners == MOST_LISTENERS) {
        errno = E2BIG;
        return false;
    }
    struct evconnlistener *l =
        evconnlistener_new_bind(s->router->base, on_accept, s, flags, BACKLOG, a, (int)n);
    if (!l) return false;
    evconnlistener_set_error_cb(l, on_accept_error);
    s->listens_tls[s->n_listeners] = tls;
    s->listeners[s->n_listeners++] = l;
    return true;
}

static bool listen_unix(struct server *s, const char *path, bool tls) {
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

static bool listen_tcp(struct server *s, const char *where, bool tls) {
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

static bool listen_all(struct server *s, const char *places, bool tls, char *error,
                       size_t error_size) {
    char copy[600], *rest = NULL;
    snprintf(copy, sizeof copy, "%s", places);
    for (char *p = strtok_r(copy, " ", &rest); p; p = strtok_r(NULL, " ", &rest)) {
        bool is_unix = strncmp(p, "unix:", 5) == 0;
        if (is_unix ? listen_unix(s, p + 5, tls) : listen_tcp(s, p, tls)) continue;
        snprintf(error, error_size, "can't listen at %.200s: %s", p, strerror(errno));
        return false;
    }
    return true;
}

bool server_listen(struct server *s, char *error, size_t error_size) {
    const struct options *o = &s->router->options;
    return listen_all(s, o->listen, false, error, error_size) &&
           listen_all(s, o->tls_listen, true, error, error_size);
}

void server_unlisten(struct server *s) {
    for (size_t i = 0; i < s->n_listeners; i++) {
        evconnlistener_free(s->listeners[i]);
        if (*s->paths[i]) unlink(s->paths[i]);
    }
    s->n_listeners = 0;
}

// ---- Certificate ---------------------------------------------------------------------------------

static SSL_CTX *read_certificate(const struct options *o, char *error, size_t error_size) {
    SSL_CTX *tls = SSL_CTX_new(TLS_server_method());
    if (tls && SSL_CTX_set_min_proto_version(tls, TLS1_2_VERSION) &&
        SSL_CTX_use_certificate_chain_file(tls, o->tls_cert) == 1 &&
        SSL_CTX_use_PrivateKey_file(tls, o->tls_key, SSL_FILETYPE_PEM) == 1 &&
        SSL_CTX_check_private_key(tls) == 1) {
        // Idle connections are many, and give their buffers back.
        SSL_CTX_set_mode(tls, SSL_MODE_RELEASE_BUFFERS);
        SSL_CTX_set_options(tls, SSL_OP_NO_RENEGOTIATION);
        return tls;
    }
    const char *why = ERR_reason_error_string(ERR_peek_last_error());
    snprintf(error, error_size, "tls_cert, tls_key: %s", why ? why : "can't be used");
    ERR_clear_error();
    SSL_CTX_free(tls);
    return NULL;
}

// ---- Tokens --------------------------------------------------------------------------------------

static bool read_tokens(const char *path, struct token *out, size_t *n, char *error,
                        size_t error_size) {
    char line[MOST_TOKEN + 2];
    FILE *f = fopen(path, "r");
    if (!f) {
        snprintf(error, error_size, "token_file %.200s: %s", path, strerror(errno));
        return false;
    }
    bool good = true;
    for (*n = 0; good && fgets(line, sizeof line, f);) {
        size_t len = strcspn(line, "\r\n");
        if (!len || line[0] == '#') continue;
        good = len < MOST_TOKEN && *n < MOST_TOKENS;
        if (!good) break;
        out[*n].n = len;
        memcpy(out[(*n)++].text, line, len);
    }
    OPENSSL_cleanse(line, sizeof line);
    fclose(f);
    if (good && *n) return true;
    snprintf(error, error_size, "token_file %.200s: %s", path,
             good ? "no token in it" : "too many tokens, or too long a one");
    return false;
}

bool server_admits(const struct server *s, const struct http_head *h) {
    const char *value = http_header(h, "authorization");
    int same = 0;
    if (!value || strncasecmp(value, "bearer ", 7) != 0) return false;
    value += 7 + strspn(value + 7, " ");
    size_t n = strlen(value);
    for (size_t i = 0; i < s->n_tokens; i++)
        same |= s->tokens[i].n == n && CRYPTO_memcmp(s->tokens[i].text, value, n) == 0;
    return same;
}

bool server_reload(struct server *s, char *error, size_t error_size) {
    const struct options *o = &s->router->options;
    struct token *tokens = NULL;
    size_t n = 0;
    SSL_CTX *tls = NULL;
    if (*o->token_file) {
        tokens = calloc(MOST_TOKENS, sizeof *tokens);
        if (!tokens || !read_tokens(o->token_file, tokens, &n, error, error_size)) {
            free(tokens);
            return false;
        }
    }
    if (*o->tls_listen && !(tls = read_certificate(o, error, error_size))) {
        free(tokens);
        return false;
    }
    OPENSSL_cleanse(s->tokens, sizeof s->tokens);
    if (tokens) {
        memcpy(s->tokens, tokens, sizeof s->tokens);
        OPENSSL_cleanse(tokens, MOST_TOKENS * sizeof *tokens);
        free(tokens);
    }
    s->n_tokens = n;
    s->closed_to_most = *o->token_file != 0;
    SSL_CTX_free(s->tls);
    s->tls = tls;
    return true;
}
