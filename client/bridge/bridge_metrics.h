// SPDX-License-Identifier: Apache-2.0
// /metrics for Prometheus, and /healthz: 200 when all is in the pool that can be, else 503 with what
// isn't. Nothing in either comes from a prompt.
#ifndef BRIDGE_METRICS_H
#define BRIDGE_METRICS_H

#include "bridge_engine.h"

struct bridge_metrics;

struct bridge {
    struct bridge_context context;
    struct bridge_config config;
    struct bridge_engine **engines; // as in the config; NULL: couldn't be opened
    struct bridge_metrics *metrics;
    bool leaving;
};

// Listens at ADDRESS:PORT. NULL with a reason.
struct bridge_metrics *bridge_metrics_new(const struct bridge *b, const char *listen, char *error,
                                          size_t error_size);
void bridge_metrics_free(struct bridge_metrics *m);

#endif
