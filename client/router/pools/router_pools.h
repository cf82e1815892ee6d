// SPDX-License-Identifier: Apache-2.0
// All pools that the options name.
//
// A pool that SIGHUP takes away stays until nothing uses it: an exchange has its pool from
// router_pools_take until its end, whatever happens to the options meanwhile.
#ifndef ROUTER_POOLS_H
#define ROUTER_POOLS_H

#include "router_pool.h"

struct router_exchange;
struct router_pools;

// Opens what the options name. NULL with a reason.
struct router_pools *router_pools_new(struct router *r, char *error, size_t error_size);
// After the router's options were replaced: opens, keeps, retires. False with a reason: all is as it was.
bool router_pools_reload(struct router_pools *s, char *error, size_t error_size);
void router_pools_free(struct router_pools *s);
// Whether all that was promised to the pools has been done.
bool router_pools_settled(const struct router_pools *s);

struct router_pool *
router_pools_first(const struct router_pools *s); // then ->next; retired ones are not among them
// The pool of that name; of that model: one whose settings name it, else one that takes any and whose engines
// serve it, else the first of these of which that isn't known (router_served.h). `model` NULL: the only or the
// first that takes any model. NULL: none.
struct router_pool *router_pools_named(const struct router_pools *s, const char *name);
struct router_pool *router_pools_for(const struct router_pools *s, const char *model);
// The names of the models that there are, by settings and engines, with commas; as many as there is room for.
void router_pools_models(const struct router_pools *s, char *out, size_t size);

void router_pools_take(struct router_exchange *x, struct router_pool *p); // once for each exchange
void router_pools_give_back(struct router_exchange *x);

#endif
