// SPDX-License-Identifier: Apache-2.0
#include "router_upstream.h"

#include "client/http1/h1_client.h"
#include "client/http1/h1_tls.h"
#include "client/router/router.h"

enum {
    UPSTREAM_KEEP_MS = 4000, // less than the 5 s after which engines end an unused connection
    UPSTREAM_KEEP_CONNECTIONS = 256,
};

static struct h1_client_options options_of(const struct router *r) {
    const struct router_config *o = &r->config;
    return (struct h1_client_options){.connect_ms = o->connect_timeout,
                                      .head_ms = o->answer_timeout,
                                      .idle_ms = o->silence_timeout,
                                      .keep_ms = UPSTREAM_KEEP_MS,
                                      .keep_most = UPSTREAM_KEEP_CONNECTIONS,
                                      .max_connections = r->files.engines};
}

static bool trust(struct h1_client *u, const struct router_config *o, char *error,
                  size_t error_size) {
    struct h1_tls_options options = {.ca = o->engine_ca,
                                     .cert = o->engine_cert,
                                     .key = o->engine_key,
                                     .insecure = o->engine_insecure};
    struct h1_tls *tls = h1_tls_new(&options, error, error_size);
    if (tls) h1_client_trust(u, tls);
    return tls != NULL;
}

struct h1_client *router_upstream_new(const struct router *r, char *error, size_t error_size) {
    struct h1_client_options o = options_of(r);
    struct h1_client *u = h1_client_new(r->base, &o);
    if (u && trust(u, &r->config, error, error_size)) return u;
    h1_client_free(u);
    return NULL;
}

bool router_upstream_reload(const struct router *r, char *error, size_t error_size) {
    struct h1_client_options o = options_of(r);
    if (!trust(r->upstream, &r->config, error, error_size)) return false;
    h1_client_configure(r->upstream, &o);
    return true;
}
