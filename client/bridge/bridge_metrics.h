// SPDX-License-Identifier: Apache-2.0
// /metrics for Prometheus, and /healthz: 200 when all is in the pool that can be, else 503 with what
// isn't. Nothing in either comes from a prompt.
#ifndef BRIDGE_METRICS_H
#define BRIDGE_METRICS_H

#include "bridge_engine.h"
#include "client/http1/h1_server.h"

struct bridge {
    struct bridge_context context;
    struct bridge_config config;
    struct bridge_engine **engines; // as in the config; NULL: couldn't be opened
    struct h1_server *metrics;      // NULL: none
    bool leaving;
};

// Listens where the config says. NULL with a reason.
struct h1_server *bridge_metrics_serve(struct bridge *b, char *error, size_t error_size);

#endif
