// SPDX-License-Identifier: Apache-2.0
// An error of the pool or of libkvroute as an HTTP response.
#ifndef ROUTER_POOL_ERROR_H
#define ROUTER_POOL_ERROR_H

#include <kvroute/client.h>

struct router_exchange;

int router_pool_error_status(enum kvr_code code);
// message NULL or "": a text of our own.
void router_pool_error_send(struct router_exchange *x, enum kvr_code code, const char *message);

#endif
