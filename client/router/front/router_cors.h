// SPDX-License-Identifier: Apache-2.0
// Pages in browsers that may use the router: cross-origin resource sharing (fetch.spec.whatwg.org), off
// unless the setting `cors` names origins. Answers to these get the headers by which a browser hands them to the
// page; a preflight is answered by the router, without a token, since browsers send none with it.
#ifndef ROUTER_CORS_H
#define ROUTER_CORS_H

#include "client/http1/h1_server.h"

struct router;

// Whether the request comes from a page that may.
bool router_cors_admits(const struct router *r, const struct h1_exchange *x);
// Adds the headers, if the request comes from a page that may. Returns who answers a preflight; NULL: it is
// none.
h1_handler *router_cors_route(const struct router *r, struct h1_exchange *x);

#endif
