// SPDX-License-Identifier: Apache-2.0
// /metrics for Prometheus, and /healthz: 200 when all is in the pool that can be, else 503 with what
// isn't. Nothing in either comes from a prompt.
#ifndef BRIDGE_METRICS_H
#define BRIDGE_METRICS_H

#include "bridge_fleet.h"
#include "client/http1/h1_server.h"

// Listens where the config says. NULL with a reason.
struct h1_server *bridge_metrics_serve(struct bridge *b, char *error, size_t error_size);

#endif
