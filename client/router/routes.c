// SPDX-License-Identifier: Apache-2.0
// See routes.h.
#include "routes.h"

#include "client/router/api/router_advice.h"
#include "client/router/api/router_workers.h"
#include "client/router/proxy/router_models.h"
#include "client/router/proxy/router_proxy.h"
#include "health.h"
#include "metrics.h"
#include "status.h"

const struct route routes[] = {
    {"/v1/select", HTTP_POST, router_advice_select, "select", 0},
    {"/v1/update", HTTP_POST, router_advice_update, "update", 0},
    {"/v1/release", HTTP_POST, router_advice_release, "release", 0},
    {"/v1/score", HTTP_POST, router_advice_score, "score", 0},
    {"/v1/report", HTTP_POST, router_advice_report, "report", 0},
    {"/v1/workers", HTTP_GET, router_workers_list, "workers", 0},
    {"/v1/status", HTTP_GET, status_handle, "status", ROUTE_DRAINING},
    {"/", HTTP_GET, page_handle, "page", ROUTE_OPEN | ROUTE_DRAINING},
    {"/healthz", HTTP_GET, healthz_handle, "healthz", ROUTE_OPEN | ROUTE_DRAINING},
    {"/health", HTTP_GET, healthz_handle, "healthz", ROUTE_OPEN | ROUTE_DRAINING},
    {"/readyz", HTTP_GET, readyz_handle, "readyz", ROUTE_OPEN | ROUTE_DRAINING},
    {"/metrics", HTTP_GET, metrics_handle, "metrics", ROUTE_DRAINING},
    {"/v1/chat/completions", HTTP_POST, router_proxy_chat, "chat", 0},
    {"/v1/completions", HTTP_POST, router_proxy_completion, "completions", 0},
    {"/v1/embeddings", HTTP_POST, router_proxy_embedding, "embeddings", 0},
    {"/v1/models", HTTP_GET, router_models_list, "models", 0},
    {NULL, 0, NULL, NULL, 0},
};
