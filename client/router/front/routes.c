// SPDX-License-Identifier: Apache-2.0
// See routes.h.
#include "routes.h"

#include "client/router/advise.h"
#include "client/router/proxy.h"
#include "client/router/router_metrics.h"
#include "health.h"
#include "status.h"

const struct router_route router_routes[] = {
    {"/v1/select", H1_POST, advise_select, "select", 0},
    {"/v1/update", H1_POST, advise_update, "update", 0},
    {"/v1/release", H1_POST, advise_release, "release", 0},
    {"/v1/score", H1_POST, advise_score, "score", 0},
    {"/v1/report", H1_POST, advise_report, "report", 0},
    {"/v1/workers", H1_GET, advise_workers, "workers", 0},
    {"/v1/status", H1_GET, router_status, "status", ROUTER_ROUTE_DRAINING},
    {"/", H1_GET, router_page, "page", ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING},
    {"/healthz", H1_GET, router_healthz, "healthz", ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING},
    {"/health", H1_GET, router_healthz, "healthz", ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING},
    {"/readyz", H1_GET, router_readyz, "readyz", ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING},
    {"/metrics", H1_GET, router_metrics_handle, "metrics", ROUTER_ROUTE_DRAINING},
    {"/v1/chat/completions", H1_POST, proxy_chat, "chat", 0},
    {"/v1/completions", H1_POST, proxy_completion, "completions", 0},
    {"/v1/embeddings", H1_POST, proxy_embedding, "embeddings", 0},
    {"/v1/models", H1_GET, proxy_models, "models", 0},
    {NULL, 0, NULL, NULL, 0},
};
