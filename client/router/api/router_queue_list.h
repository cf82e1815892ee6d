// SPDX-License-Identifier: Apache-2.0
// GET /kvroute/queue: who waits for room, in every pool, as last seen. docs/openapi.json has the form.
#ifndef ROUTER_QUEUE_LIST_H
#define ROUTER_QUEUE_LIST_H

struct router_exchange;

void router_queue_list(struct router_exchange *x);

#endif
