// SPDX-License-Identifier: Apache-2.0
// See router_routes.h.
#include "router_routes.h"

#include "client/router/api/router_advice.h"
#include "client/router/api/router_workers.h"
#include "client/router/proxy/router_models.h"
#include "client/router/proxy/router_proxy.h"
#include "router_health.h"
#include "router_metrics_page.h"
#include "router_status.h"

const struct router_route router_routes[] = {
    {"/v1/select", H1_POST, router_advice_select, "select", 0},
    {"/v1/update", H1_POST, router_advice_update, "update", 0},
    {"/v1/release", H1_POST, router_advice_release, "release", 0},
    {"/v1/score", H1_POST, router_advice_score, "score", 0},
    {"/v1/report", H1_POST, router_advice_report, "report", 0},
    {"/v1/workers", H1_GET, router_workers_list, "workers", 0},
    {"/v1/status", H1_GET, router_status, "status", ROUTER_ROUTE_DRAINING},
    {"/", H1_GET, router_page, "page", ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING},
    {"/healthz", H1_GET, router_healthz, "healthz", ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING},
    {"/health", H1_GET, router_healthz, "healthz", ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING},
    {"/readyz", H1_GET, router_readyz, "readyz", ROUTER_ROUTE_OPEN | ROUTER_ROUTE_DRAINING},
    {"/metrics", H1_GET, router_metrics_page, "metrics", ROUTER_ROUTE_DRAINING},
    {"/v1/chat/completions", H1_POST, router_proxy_chat, "chat", 0},
    {"/v1/completions", H1_POST, router_proxy_completion, "completions", 0},
    {"/v1/embeddings", H1_POST, router_proxy_embedding, "embeddings", 0},
    {"/v1/models", H1_GET, router_models_list, "models", 0},
    {NULL, 0, NULL, NULL, 0},
};
