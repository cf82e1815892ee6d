// SPDX-License-Identifier: Apache-2.0
#include "router_cors.h"

#include <string.h>

#include "client/common/config.h"
#include "client/router/router.h"

bool router_cors_admits(const struct router *r, const struct h1_exchange *x) {
    const char *origin = h1_find_header(&x->head, "origin");
    return origin &&
           (kvr_config_lists(r->config.cors, "*") || kvr_config_lists(r->config.cors, origin));
}

static void answer_preflight(struct h1_exchange *x) {
    h1_exchange_start(x, 204, NULL, 0);
    h1_exchange_end(x);
}

h1_handler *router_cors_route(const struct router *r, struct h1_exchange *x) {
    const char *origins = r->config.cors, *origin = h1_find_header(&x->head, "origin");
    if (!*origins || !origin) return NULL;
    bool any = kvr_config_lists(origins, "*");
    // A cache must not give one page's answer to another.
    if (!any) h1_exchange_header(x, "Vary", "Origin");
    if (!router_cors_admits(r, x)) return NULL;
    h1_exchange_header(x, "Access-Control-Allow-Origin", any ? "*" : origin);
    const char *method = h1_find_header(&x->head, "access-control-request-method");
    if (!method || strcmp(x->head.verb, "OPTIONS") != 0) {
        h1_exchange_header(x, "Access-Control-Expose-Headers",
                           "X-Request-Id, X-Kvroute-Worker, X-Kvroute-Overlap, X-Kvroute-Expected, "
                           "X-Kvroute-Waited, X-Kvroute-Protected, X-Kvroute-Prefill-Worker, "
                           "Retry-After");
        return NULL;
    }
    const char *headers = h1_find_header(&x->head, "access-control-request-headers");
    h1_exchange_header(x, "Access-Control-Allow-Methods", "GET, HEAD, POST, DELETE");
    if (headers) h1_exchange_header(x, "Access-Control-Allow-Headers", headers);
    h1_exchange_header(x, "Access-Control-Max-Age", "600");
    return answer_preflight;
}
