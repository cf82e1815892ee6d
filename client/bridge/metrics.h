// SPDX-License-Identifier: Apache-2.0
// /metrics for Prometheus, and /healthz: 200 when all is in the pool that can be, else 503 with what
// isn't. Nothing in either comes from a prompt.
#ifndef BRIDGE_METRICS_H
#define BRIDGE_METRICS_H

#include "engine.h"

struct metrics;

struct bridge {
    struct surroundings around;
    struct config config;
    struct engine **engines; // as in the config; NULL: couldn't be opened
    struct metrics *metrics;
    bool leaving;
};

// Listens at ADDRESS:PORT. NULL with a reason.
struct metrics *metrics_new(const struct bridge *b, const char *listen, char *error,
                            size_t error_size);
void metrics_free(struct metrics *m);

#endif
