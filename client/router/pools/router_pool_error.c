// SPDX-License-Identifier: Apache-2.0
// See answer.h.
#include "router_pool_error.h"

#include "client/router/router_exchange.h"

int router_pool_error_status(enum kvr_code code) {
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

void router_pool_error_send(struct router_exchange *x, enum kvr_code code, const char *message) {
    static const char *const texts[] = {
        [KVR_CODE_INVALID] = "an argument is out of range",
        [KVR_CODE_FULL] = "too many commands are under way",
        [KVR_CODE_NOMEM] = "no memory",
        [KVR_CODE_CLOSED] = "the pool was closed",
    };
    bool known = (size_t)code < sizeof texts / sizeof *texts && texts[code];
    const char *text = message && *message ? message : known ? texts[code] : "the pool refused it";
    router_error(x, router_pool_error_status(code), kvr_code_name(code), text);
}
