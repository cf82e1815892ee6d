// SPDX-License-Identifier: Apache-2.0
#include "router_exchange.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "router.h"

void router_json(struct router_exchange *x, int status, json_t *body) {
    static const char no_memory[] =
        "{\"error\":{\"message\":\"no memory\",\"type\":\"server_error\","
        "\"param\":null,\"code\":\"NOMEM\"}}";
    char *text = body ? json_dumps(body, JSON_COMPACT) : NULL;
    json_decref(body);
    if (text)
        h1_exchange_send(&x->h1, status, "application/json", text, strlen(text));
    else
        h1_exchange_send(&x->h1, 500, "application/json", no_memory, sizeof no_memory - 1);
    free(text);
}

static const char *type_of(int status) {
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 429:
        return "rate_limit_error";
    case 502:
    case 504:
        return "upstream_error";
    default:
        return status < 500 ? "invalid_request_error" : "server_error";
    }
}

static const char *type_of_messages(int status) {
    switch (status) {
    case 401:
        return "authentication_error";
    case 403:
        return "permission_error";
    case 404:
        return "not_found_error";
    case 413:
        return "request_too_large";
    case 429:
        return "rate_limit_error";
    case 503:
        return "overloaded_error";
    case 504:
        return "timeout_error";
    default:
        return status < 500 ? "invalid_request_error" : "api_error";
    }
}

static bool is_of_messages(const struct router_exchange *x) {
    static const char path[] = "/v1/messages";
    const char *asked = x->h1.head.path;
    size_t n = sizeof path - 1;
    return asked && !strncmp(asked, path, n) && (!asked[n] || asked[n] == '/');
}

// What others say may have any bytes, JSON only UTF-8.
static json_t *message_json(const char *message) {
    char text[600];
    json_t *json = json_string(message);
    if (json) return json;
    snprintf(text, sizeof text, "%s", message);
    for (char *c = text; *c; c++)
        if (*c < 0) *c = '?';
    return json_string(text);
}

// after: seconds, −1: nothing is said of coming back.
static void send_error(struct router_exchange *x, int status, const char *code, const char *message,
                       int64_t after) {
    char text[24];
    snprintf(x->record.code, sizeof x->record.code, "%s", code);
    snprintf(text, sizeof text, "%lld", (long long)after);
    if (after >= 0) h1_exchange_header(&x->h1, "Retry-After", text);
    if (is_of_messages(x))
        router_json(x, status,
                    json_pack("{s:s,s:{s:s,s:o},s:s}", "type", "error", "error", "type",
                              type_of_messages(status), "message", message_json(message),
                              "request_id", x->record.id));
    else
        router_json(x, status,
                    json_pack("{s:{s:o,s:s,s:n,s:s}}", "error", "message", message_json(message),
                              "type", type_of(status), "param", "code", code));
}

void router_error(struct router_exchange *x, int status, const char *code, const char *message) {
    send_error(x, status, code, message, status == 503 ? x->router->config.retry_after : -1);
}

// With Retry-After: in so many ms, rounded up to seconds.
static void send_later(struct router_exchange *x, int status, const char *code, const char *message,
                       int64_t ms) {
    send_error(x, status, code, message, ms > 0 ? ms / 1000 + (ms % 1000 != 0) : 1);
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
    case KVR_CODE_LIMITED:
        return 429;
    case KVR_CODE_DENIED:
    case KVR_CODE_PROTOCOL:
        return 502;
    case KVR_CODE_TIMEOUT:
        return 504;
    default: // NOWORKER, NOROOM, RELEASED, OOM, FULL, NOMEM, CLOSED: later it may go
        return 503;
    }
}

void router_pool_error(struct router_exchange *x, enum kvr_code code, const char *message) {
    static const char *const texts[] = {
        [KVR_CODE_NOWORKER] = "no engine may be chosen: none is there, or all have expired, are "
                              "draining or fail",
        [KVR_CODE_RELEASED] = "it was released while it waited",
        [KVR_CODE_INVALID] = "an argument is out of range",
        [KVR_CODE_FULL] = "too many commands are under way",
        [KVR_CODE_NOMEM] = "no memory",
        [KVR_CODE_CLOSED] = "the pool was closed",
    };
    bool known = (size_t)code < sizeof texts / sizeof *texts && texts[code];
    const char *text = message && *message ? message : known ? texts[code] : "the pool refused it";
    char away[160];
    if (code == KVR_CODE_TIMEOUT) {
        snprintf(away, sizeof away, "the pool can't be asked: %s", text);
        text = away;
    }
    router_error(x, status_of(code), kvr_code_name(code), text);
}

void router_pool_refusal(struct router_exchange *x, const struct kvr_result *r) {
    if (r->code == KVR_CODE_RELEASED && x->router->draining)
        router_error(x, 503, "DRAINING", "this router is leaving");
    else if (r->code == KVR_CODE_NOROOM || r->code == KVR_CODE_LIMITED)
        send_later(x, status_of(r->code), kvr_code_name(r->code),
                   r->code == KVR_CODE_NOROOM ? "no instance has room"
                                              : "the flow has used up what it may",
                   r->number);
    else
        router_pool_error(x, r->code, r->message);
}
