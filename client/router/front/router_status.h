// SPDX-License-Identifier: Apache-2.0
// /, a page for people, and /v1/status, what it shows. /healthz: the process answers. /readyz: it can route.
#ifndef ROUTER_STATUS_H
#define ROUTER_STATUS_H

struct router_exchange;

void router_status(struct router_exchange *x);
void router_page(struct router_exchange *x);
void router_healthz(struct router_exchange *x);
void router_readyz(struct router_exchange *x);

#endif
