// SPDX-License-Identifier: Apache-2.0
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

static int status_of(enum kvr_code code) {
    switch (code) {
    case KVR_CODE_OK:
        return 200;
    case KVR_CODE_REFUSED:
    case KVR_CODE_INVALID:
        return 400;
    case KVR_CODE_NOPOOL:
        return 404;
    case KVR_CODE_WRONGTYPE:
    case KVR_CODE_GAP:
    case KVR_CODE_STALE:
    case KVR_CODE_NOPARENT:
    case KVR_CODE_BADCHAIN:
        return 409;
    case KVR_CODE_DENIED:
    case KVR_CODE_PROTOCOL:
        return 502;
    case KVR_CODE_TIMEOUT:
        return 504;
    default: // NOWORKER, OOM, FULL, NOMEM, CLOSED: later it may go
        return 503;
    }
}

void router_pool_error(struct router_exchange *x, enum kvr_code code, const char *message) {
    static const char *const texts[] = {
        [KVR_CODE_INVALID] = "an argument is out of range",
        [KVR_CODE_FULL] = "too many commands are under way",
        [KVR_CODE_NOMEM] = "no memory",
        [KVR_CODE_CLOSED] = "the pool was closed",
    };
    bool known = (size_t)code < sizeof texts / sizeof *texts && texts[code];
    const char *text = message && *message ? message : known ? texts[code] : "the pool refused it";
    router_error(x, status_of(code), kvr_code_name(code), text);
}
