// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // asprintf
#include "dtest_kubernetes.h"

#include <openssl/ec.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/http1/h1_server.h"
#include "tests/support/support_home.h"

#define SELECTOR "labelSelector=kubernetes.io%2Fservice-name%3Dllm"
#define PLACE "/apis/discovery.k8s.io/v1/namespaces/ai/endpointslices"

// ---- Files ---------------------------------------------------------------------------------------

static void write_certificate(const char *cert, const char *key_file) {
    EVP_PKEY *key = EVP_EC_gen("P-256");
    X509 *x = X509_new();
    X509_set_version(x, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
    X509_gmtime_adj(X509_getm_notBefore(x), -60);
    X509_gmtime_adj(X509_getm_notAfter(x), 3600);
    X509_set_pubkey(x, key);
    X509_NAME *name = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"api", -1, -1, 0);
    X509_set_issuer_name(x, name);
    X509_EXTENSION *who = X509V3_EXT_conf_nid(NULL, NULL, NID_subject_alt_name, "IP:127.0.0.1");
    X509_add_ext(x, who, -1);
    X509_EXTENSION_free(who);
    if (!X509_sign(x, key, EVP_sha256())) support_fail("no certificate");
    FILE *f = fopen(cert, "w");
    PEM_write_X509(f, x);
    fclose(f);
    f = fopen(key_file, "w");
    PEM_write_PrivateKey(f, key, NULL, NULL, 0, NULL, NULL);
    fclose(f);
    X509_free(x);
    EVP_PKEY_free(key);
}

void dtest_kubernetes_token(struct dtest_kubernetes *k, const char *token) {
    FILE *f = fopen(k->token_file, "w");
    fprintf(f, "%s\n", token);
    fclose(f);
}

void dtest_kubernetes_other_ca(struct dtest_kubernetes *k) {
    write_certificate(k->cert, k->key);
}

// ---- Requests ------------------------------------------------------------------------------------

static struct dtest_kubernetes *of(struct h1_exchange *x) {
    return x->ctx;
}

static void send_line(struct h1_exchange *x, const char *line) {
    struct evbuffer *b = evbuffer_new();
    evbuffer_add_printf(b, "%s\n", line);
    h1_exchange_data(x, b);
    evbuffer_free(b);
}

static void on_watcher_gone(struct h1_exchange *x) {
    struct dtest_kubernetes *k = of(x);
    for (size_t i = 0; i < DTEST_MAX_WATCHES; i++)
        if (k->open[i] == x) k->open[i] = NULL;
}

static void watch(struct h1_exchange *x) {
    struct dtest_kubernetes *k = of(x);
    const char *from = strstr(x->head.query, "resourceVersion=");
    int version = from ? atoi(from + strlen("resourceVersion=")) : 0;
    k->watches++;
    if (version < k->oldest) {
        h1_exchange_send(x, 410, "application/json", "{\"code\":410}", 12);
        return;
    }
    h1_exchange_start(x, 200, "application/json", -1);
    for (size_t i = 0; i < k->n_events; i++)
        if (k->events[i].version > version) send_line(x, k->events[i].line);
    x->on_gone = on_watcher_gone;
    for (size_t i = 0; i < DTEST_MAX_WATCHES; i++)
        if (!k->open[i]) {
            k->open[i] = x;
            return;
        }
    h1_exchange_abort(x);
}

static size_t number_behind(const char *query, const char *name, size_t otherwise) {
    const char *at = strstr(query, name);
    return at ? (size_t)atoi(at + strlen(name)) : otherwise;
}

static void list(struct h1_exchange *x) {
    struct dtest_kubernetes *k = of(x);
    size_t limit = number_behind(x->head.query, "limit=", DTEST_MAX_SLICES);
    size_t from = number_behind(x->head.query, "continue=", 0);
    size_t end = from + limit < k->n_slices ? from + limit : k->n_slices;
    struct evbuffer *b = evbuffer_new();
    char more[40] = "";
    k->lists++;
    if (end < k->n_slices || k->endless) snprintf(more, sizeof more, "%zu", end);
    evbuffer_add_printf(b,
                        "{\"kind\":\"EndpointSliceList\",\"metadata\":{\"resourceVersion\":\"%d\","
                        "\"continue\":\"%s\"},\"items\":[",
                        k->version, more);
    for (size_t i = from; i < end; i++)
        evbuffer_add_printf(b, "%s%s", i > from ? "," : "", k->slices[i].object);
    evbuffer_add_printf(b, "]}");
    h1_exchange_start(x, 200, "application/json", (int64_t)evbuffer_get_length(b));
    h1_exchange_data(x, b);
    evbuffer_free(b);
    h1_exchange_end(x);
}

static void handle(struct h1_exchange *x) {
    struct dtest_kubernetes *k = of(x);
    const char *has = h1_find_header(&x->head, "authorization");
    char wants[80];
    snprintf(wants, sizeof wants, "Bearer %s", k->token);
    bool known = has && !strcmp(has, wants);
    bool good = !strcmp(x->head.path, PLACE) && x->head.query && strstr(x->head.query, SELECTOR);
    k->unauthorized += !known;
    if (k->refuse || !known || !good)
        h1_exchange_send(x, k->refuse ? k->refuse : known ? 404 : 401, "text/plain", "no", 2);
    else if (strstr(x->head.query, "watch=1"))
        watch(x);
    else
        list(x);
}

static h1_handler *route(struct h1_exchange *x) {
    (void)x;
    return handle;
}

// ---- Slices --------------------------------------------------------------------------------------

void dtest_kubernetes_say(struct dtest_kubernetes *k, const char *line) {
    for (size_t i = 0; i < DTEST_MAX_WATCHES; i++)
        if (k->open[i]) send_line(k->open[i], line);
}

static void happen(struct dtest_kubernetes *k, const char *type, const char *object) {
    char *line;
    if (asprintf(&line, "{\"type\":\"%s\",\"object\":%s}", type, object) < 0) abort();
    if (k->n_events == DTEST_MAX_EVENTS) support_fail("too many events");
    k->events[k->n_events].version = k->version;
    k->events[k->n_events++].line = line;
    dtest_kubernetes_say(k, line);
}

static size_t slice_at(const struct dtest_kubernetes *k, const char *name) {
    size_t i = 0;
    while (i < k->n_slices && strcmp(k->slices[i].name, name) != 0)
        i++;
    return i;
}

// Returns whether it was there.
static bool put(struct dtest_kubernetes *k, const char *name, const char *endpoints) {
    size_t i = slice_at(k, name);
    bool old = i < k->n_slices;
    if (old) free(k->slices[i].object);
    if (!old && k->n_slices++ == DTEST_MAX_SLICES) support_fail("too many slices");
    snprintf(k->slices[i].name, sizeof k->slices[i].name, "%s", name);
    if (asprintf(&k->slices[i].object,
                 "{\"metadata\":{\"name\":\"%s\",\"resourceVersion\":\"%d\"},\"addressType\":"
                 "\"IPv4\",\"endpoints\":%s,\"ports\":[{\"name\":\"metrics\",\"port\":9000},"
                 "{\"name\":\"http\",\"port\":8000}]}",
                 name, ++k->version, endpoints) < 0)
        abort();
    return old;
}

void dtest_kubernetes_put(struct dtest_kubernetes *k, const char *name, const char *endpoints) {
    bool old = put(k, name, endpoints);
    happen(k, old ? "MODIFIED" : "ADDED", k->slices[slice_at(k, name)].object);
}

void dtest_kubernetes_put_unseen(struct dtest_kubernetes *k, const char *name,
                                 const char *endpoints) {
    put(k, name, endpoints);
    k->oldest = k->version;
}

void dtest_kubernetes_delete(struct dtest_kubernetes *k, const char *name) {
    size_t i = slice_at(k, name);
    char object[200];
    snprintf(object, sizeof object,
             "{\"metadata\":{\"name\":\"%s\",\"resourceVersion\":\"%d\"},\"endpoints\":null}", name,
             ++k->version);
    free(k->slices[i].object);
    k->slices[i] = k->slices[--k->n_slices];
    happen(k, "DELETED", object);
}

void dtest_kubernetes_bookmark(struct dtest_kubernetes *k) {
    char line[200];
    snprintf(line, sizeof line,
             "{\"type\":\"BOOKMARK\",\"object\":{\"metadata\":{\"resourceVersion\":\"%d\"}}}",
             ++k->version);
    dtest_kubernetes_say(k, line);
}

void dtest_kubernetes_end_watches(struct dtest_kubernetes *k, bool orderly) {
    for (size_t i = 0; i < DTEST_MAX_WATCHES; i++) {
        struct h1_exchange *x = k->open[i];
        k->open[i] = NULL;
        if (x && orderly) h1_exchange_end(x);
        if (x && !orderly) h1_exchange_abort(x);
    }
}

size_t dtest_kubernetes_watchers(const struct dtest_kubernetes *k) {
    size_t n = 0;
    for (size_t i = 0; i < DTEST_MAX_WATCHES; i++)
        n += k->open[i] != NULL;
    return n;
}

// ---- Coming and going ----------------------------------------------------------------------------

void dtest_kubernetes_start(struct dtest_kubernetes *k, struct event_base *base) {
    char error[200];
    struct h1_server_options o = h1_server_defaults;
    *k = (struct dtest_kubernetes){.token = "first", .version = 100};
    support_path(k->cert, sizeof k->cert, "api.pem");
    support_path(k->key, sizeof k->key, "api.key");
    support_path(k->token_file, sizeof k->token_file, "token");
    write_certificate(k->cert, k->key);
    dtest_kubernetes_token(k, k->token);
    o.base = base;
    o.listen = NULL;
    o.tls_listen = "127.0.0.1:0";
    o.tls_cert = k->cert;
    o.tls_key = k->key;
    o.ctx = k;
    o.route = route;
    k->server = h1_server_new(&o, error, sizeof error);
    if (!k->server) support_fail("%s", error);
    k->port = h1_server_port(k->server);
}

void dtest_kubernetes_stop(struct dtest_kubernetes *k) {
    dtest_kubernetes_end_watches(k, false);
    h1_server_free(k->server);
    for (size_t i = 0; i < k->n_slices; i++)
        free(k->slices[i].object);
    for (size_t i = 0; i < k->n_events; i++)
        free(k->events[i].line);
}
