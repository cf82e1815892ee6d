// SPDX-License-Identifier: Apache-2.0
// Whom a bearer token stands for, as far as waiting is concerned: the classes that its requests may be of, the
// first unless they say otherwise, and the flow, which is the tenant that limits are kept for.
//
// The list of tokens may be replaced while requests of the old one are under way: so a tenant is kept until
// nobody needs it.
#ifndef ROUTER_TENANT_H
#define ROUTER_TENANT_H

#include <kvroute/types.h>
#include <stdbool.h>
#include <stddef.h>

struct router_tenant {
    size_t uses;
    size_t classes_size, flow_size;
    char names[]; // classes, separated by commas; then the flow
};

// Either may be empty. NULL: no memory. It has one use.
struct router_tenant *router_tenant_new(struct kvr_bytes classes, struct kvr_bytes flow);
struct router_tenant *router_tenant_take(struct router_tenant *t); // NULL: nothing
void router_tenant_give_back(struct router_tenant *t);             // NULL: nothing

// The first class that it has, or, with `wanted`, that one if it may have it; empty: it is bound to none.
struct kvr_bytes router_tenant_class(const struct router_tenant *t, struct kvr_bytes wanted);
struct kvr_bytes router_tenant_flow(const struct router_tenant *t); // empty: none

#endif
