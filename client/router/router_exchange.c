// SPDX-License-Identifier: Apache-2.0
// See router_exchange.h.
#include "router_exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router.h"

void router_json(struct router_exchange *x, int status, json_t *body) {
    static const char no_memory[] = "{\"error\":{\"code\":\"NOMEM\",\"message\":\"no memory\"}}";
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (text)
        h1_exchange_send(&x->h1, status, "application/json", text, strlen(text));
    else
        h1_exchange_send(&x->h1, 500, "application/json", no_memory, sizeof no_memory - 1);
    free(text);
}

void router_error(struct router_exchange *x, int status, const char *code, const char *message) {
    snprintf(x->record.code, sizeof x->record.code, "%s", code);
    if (status == 503) {
        char after[24];
        snprintf(after, sizeof after, "%lld", (long long)x->router->config.retry_after);
        h1_exchange_header(&x->h1, "Retry-After", after);
    }
    router_json(x, status, json_pack("{s:{s:s,s:s}}", "error", "code", code, "message", message));
}
