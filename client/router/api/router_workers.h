// SPDX-License-Identifier: Apache-2.0
// The pools and their workers as JSON: GET /kvroute/workers. docs/openapi.json has the form.
#ifndef ROUTER_WORKERS_H
#define ROUTER_WORKERS_H

#include <jansson.h>
#include <kvroute/client.h>

struct router_exchange;
struct router_pool;
struct router_worker;

const char *router_workers_circuit(enum kvr_circuit c);
json_t *router_workers_one(const struct router_worker *w);
json_t *router_workers_pool(const struct router_pool *p);
void router_workers_list(struct router_exchange *x);

#endif
