// SPDX-License-Identifier: Apache-2.0
// Advice for frontends that talk to the engines themselves: the pool's commands as JSON over HTTP.
// docs/openapi.json has the forms.
#ifndef ROUTER_ADVISE_H
#define ROUTER_ADVISE_H

#include <jansson.h>

struct router_exchange;
struct pool;

// A pool and its workers, as /v1/workers tells of them.
json_t *advise_pool_json(const struct pool *p);

void advise_select(struct router_exchange *x);
void advise_score(struct router_exchange *x);
void advise_update(struct router_exchange *x);
void advise_release(struct router_exchange *x);
void advise_report(struct router_exchange *x);
void advise_workers(struct router_exchange *x);

#endif
