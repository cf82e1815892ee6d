// SPDX-License-Identifier: Apache-2.0
// /healthz: the process answers. /readyz: it can route.
#ifndef ROUTER_HEALTH_H
#define ROUTER_HEALTH_H

struct router_exchange;

void router_healthz(struct router_exchange *x);
void router_readyz(struct router_exchange *x);

#endif
