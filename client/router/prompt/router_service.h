// SPDX-License-Identifier: Apache-2.0
// Of which class and flow a request is, and how long it may wait for room: what the pool's queue wants to know.
//
// Class: the token's own (router_tenant.h); else what the request says, by the header of the setting `class_header`
// or the body's `priority`, an integer as vLLM takes it: 0 is the usual one, and lower ones are more urgent. A
// token with several classes leaves the choice among them to the request. Flow: the token's, else the header of
// `flow_header`. So a tenant can't lift itself above what its token says, unless `trust_headers` says that
// something before the router sets these headers.
//
// How long: `wait`, or what `class_wait` says of the class.
#ifndef ROUTER_SERVICE_H
#define ROUTER_SERVICE_H

#include <jansson.h>
#include <kvroute/types.h>
#include <stdbool.h>

#include "client/http1/h1_parse.h"
#include "client/router/router_config.h"
#include "client/router/router_tenant.h"

struct router_service {
    int64_t wait; // ms
    size_t class_size, flow_size;
    char names[]; // the class, then the flow
};

// What a request says of itself.
struct router_service_said {
    struct kvr_bytes class_name, flow; // empty: nothing
    bool has_priority;
    int64_t priority;
    bool trusted; // goes before what its token says
};

// Of a request to the proxy; body may be NULL.
struct router_service_said router_service_read(const struct router_config *o,
                                               const struct h1_head *head, const json_t *body);
// *out: to be freed; NULL: the default class, no flow, and it may not wait. False: no memory.
bool router_service_find(const struct router_config *o, const struct router_tenant *t,
                         const struct router_service_said *said, struct router_service **out);
// Empty: the pool's default, and none. s may be NULL.
struct kvr_bytes router_service_class(const struct router_service *s);
struct kvr_bytes router_service_flow(const struct router_service *s);
// ms that requests of the class may wait.
int64_t router_service_wait(const struct router_config *o, struct kvr_bytes class_name);
// Whether requests of any class may.
bool router_service_may_wait(const struct router_config *o);

#endif
