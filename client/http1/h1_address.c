// SPDX-License-Identifier: Apache-2.0
// See h1_address.h.
#include "h1_address.h"

#include <arpa/inet.h>
#include <event2/http.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { H1_DEFAULT_PORT = 80, H1_DEFAULT_TLS_PORT = 443 };

static bool is_visible(const char *text) {
    for (; text && *text; text++)
        if ((unsigned char)*text <= ' ' || (unsigned char)*text >= 127) return false;
    return text != NULL;
}

static struct evhttp_uri *parse(const char *text) {
    struct evhttp_uri *uri = is_visible(text) ? evhttp_uri_parse(text) : NULL;
    const char *scheme = uri ? evhttp_uri_get_scheme(uri) : NULL;
    const char *host = uri ? evhttp_uri_get_host(uri) : NULL;
    bool known = scheme && (!strcasecmp(scheme, "http") || !strcasecmp(scheme, "https"));
    if (known && host && *host && strlen(host) < 256 && !evhttp_uri_get_userinfo(uri) &&
        !evhttp_uri_get_query(uri) && !evhttp_uri_get_fragment(uri) &&
        evhttp_uri_get_port(uri) != 0)
        return uri;
    if (uri) evhttp_uri_free(uri);
    return NULL;
}

bool h1_is_url(const char *url) {
    struct evhttp_uri *uri = parse(url);
    if (uri) evhttp_uri_free(uri);
    return uri != NULL;
}

const char *h1_url_shown(const char *url) {
    return strchr(url, '@') ? "(a URL with a user)" : url;
}

const char *h1_url_place(const char *url, size_t *n) {
    const char *host = strstr(url, "://") + 3;
    *n = strcspn(host, "/");
    return host;
}

bool h1_is_ip(const char *host) {
    unsigned char bytes[16];
    return inet_pton(AF_INET, host, bytes) == 1 || inet_pton(AF_INET6, host, bytes) == 1;
}

static char *host_header(const char *host, int port, int usual) {
    size_t n = strlen(host) + 12;
    char *text = malloc(n);
    if (text) snprintf(text, n, port == usual ? "%s" : "%s:%d", host, port);
    return text;
}

bool h1_address_parse(struct h1_address *a, const char *url, bool *wrong) {
    struct evhttp_uri *uri = parse(url);
    *wrong = !uri;
    if (!uri) return false;
    const char *host = evhttp_uri_get_host(uri), *path = evhttp_uri_get_path(uri);
    size_t n = strlen(host), prefix = path ? strlen(path) : 0;
    bool brackets = n > 2 && host[0] == '[' && host[n - 1] == ']';
    while (prefix && path[prefix - 1] == '/')
        prefix--;
    a->tls = !strcasecmp(evhttp_uri_get_scheme(uri), "https");
    int usual = a->tls ? H1_DEFAULT_TLS_PORT : H1_DEFAULT_PORT;
    a->port = evhttp_uri_get_port(uri) > 0 ? evhttp_uri_get_port(uri) : usual;
    a->host = brackets ? strndup(host + 1, n - 2) : strdup(host);
    a->prefix = strndup(path ? path : "", prefix);
    a->host_header = host_header(host, a->port, usual);
    evhttp_uri_free(uri);
    if (a->host && a->prefix && a->host_header) return true;
    h1_address_free(a);
    return false;
}

void h1_address_free(struct h1_address *a) {
    free(a->host);
    free(a->prefix);
    free(a->host_header);
}
