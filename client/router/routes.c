// SPDX-License-Identifier: Apache-2.0
// What is where.
#include "health.h"
#include "metrics.h"
#include "server.h"

const struct route routes[] = {
    {"/healthz", HTTP_GET, healthz_handle, "healthz", ROUTE_OPEN | ROUTE_DRAINING},
    {"/readyz", HTTP_GET, readyz_handle, "readyz", ROUTE_OPEN | ROUTE_DRAINING},
    {"/metrics", HTTP_GET, metrics_handle, "metrics", ROUTE_DRAINING},
    {NULL, 0, NULL, NULL, 0},
};
