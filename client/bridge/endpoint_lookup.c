// SPDX-License-Identifier: Apache-2.0
// See endpoint_lookup.h.
#include "endpoint_lookup.h"

#include <arpa/inet.h>
#include <event2/util.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Outlives a lookup that is cancelled: the resolver answers that, too.
struct lookup_question {
    struct bridge_lookup *lookup; // NULL: cancelled
    struct evdns_getaddrinfo_request *request;
};

enum { MAX_LOOKUP_HOST = 256 };

// tcp://host:port, where the host is neither an address nor any of them. What has another form is left to
// libzmq, which refuses it.
bool bridge_lookup_needed(const char *endpoint) {
    const char *host = endpoint + 6, *colon = strrchr(endpoint, ':');
    size_t digits = colon ? strspn(colon + 1, "0123456789") : 0;
    return strncmp(endpoint, "tcp://", 6) == 0 && *host != '[' && !strchr(host, ';') && digits &&
           !colon[1 + digits] && host[strspn(host, "0123456789.:*")];
}

static const char *write_address(const struct evutil_addrinfo *a, const char *port, char *out,
                                 size_t size) {
    char text[INET6_ADDRSTRLEN];
    bool six = a->ai_family == AF_INET6;
    const void *address =
        six ? (const void *)&((struct sockaddr_in6 *)(void *)a->ai_addr)->sin6_addr
            : (const void *)&((struct sockaddr_in *)(void *)a->ai_addr)->sin_addr;
    if (!evutil_inet_ntop(a->ai_family, address, text, sizeof text)) return NULL;
    snprintf(out, size, six ? "tcp://[%s]:%s" : "tcp://%s:%s", text, port);
    return out;
}

static void on_answer(int error, struct evutil_addrinfo *found, void *ctx) {
    struct lookup_question *q = ctx;
    struct bridge_lookup *l = q->lookup;
    char endpoint[INET6_ADDRSTRLEN + 24];
    const char *there = NULL;
    unsigned n = 0;
    free(q);
    if (l) {
        l->question = NULL;
        for (const struct evutil_addrinfo *a = found; a; a = a->ai_next)
            n++;
        const struct evutil_addrinfo *mine = error ? NULL : found;
        for (unsigned i = n ? l->turn % n : 0; mine && i; i--)
            mine = mine->ai_next;
        if (mine) there = write_address(mine, l->port, endpoint, sizeof endpoint);
    }
    if (found) evutil_freeaddrinfo(found);
    if (l) l->found(l->ctx, there);
}

void bridge_lookup_start(struct bridge_lookup *l, struct evdns_base *dns, const char *endpoint) {
    struct evutil_addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM, .ai_protocol = IPPROTO_TCP};
    const char *colon = strrchr(endpoint + 6, ':');
    char host[MAX_LOOKUP_HOST];
    size_t n = colon ? (size_t)(colon - endpoint) - 6 : sizeof host;
    struct lookup_question *q =
        n < sizeof host && strlen(colon) <= sizeof l->port ? calloc(1, sizeof *q) : NULL;
    if (!q) {
        l->found(l->ctx, NULL);
        return;
    }
    memcpy(host, endpoint + 6, n);
    host[n] = 0;
    memcpy(l->port, colon + 1, strlen(colon));
    q->lookup = l;
    l->question = q;
    if (dns) {
        struct evdns_getaddrinfo_request *request =
            evdns_getaddrinfo(dns, host, NULL, &hints, on_answer, q);
        if (request) q->request = request; // else it is over
    } else {
        struct evutil_addrinfo *found = NULL;
        int error = evutil_getaddrinfo(host, NULL, &hints, &found);
        on_answer(error, found, q);
    }
}

void bridge_lookup_cancel(struct bridge_lookup *l) {
    struct lookup_question *q = l->question;
    if (!q) return;
    l->question = NULL;
    q->lookup = NULL;
    if (q->request) evdns_getaddrinfo_cancel(q->request);
}
