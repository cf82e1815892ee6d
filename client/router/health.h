// SPDX-License-Identifier: Apache-2.0
// /healthz: the process answers. /readyz: it can route.
#ifndef ROUTER_HEALTH_H
#define ROUTER_HEALTH_H

struct exchange;

void healthz_handle(struct exchange *x);
void readyz_handle(struct exchange *x);

#endif
