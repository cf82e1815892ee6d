// SPDX-License-Identifier: Apache-2.0
// See answer.h.
#include "answer.h"

#include <stdlib.h>

#include "router_exchange.h"

json_t *answer_text(struct kvr_bytes b) {
    json_t *text = json_stringn(b.p ? b.p : "", b.n);
    if (text) return text;
    char *copy = malloc(b.n + 1);
    if (!copy) return NULL;
    for (size_t i = 0; i < b.n; i++)
        copy[i] = b.p[i] < 0 ? '?' : b.p[i];
    text = json_stringn(copy, b.n);
    free(copy);
    return text;
}

int answer_status(enum kvr_code code) {
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

void answer_code(struct router_exchange *x, enum kvr_code code, const char *message) {
    static const char *const texts[] = {
        [KVR_CODE_INVALID] = "an argument is out of range",
        [KVR_CODE_FULL] = "too many commands are under way",
        [KVR_CODE_NOMEM] = "no memory",
        [KVR_CODE_CLOSED] = "the pool was closed",
    };
    bool known = (size_t)code < sizeof texts / sizeof *texts && texts[code];
    const char *text = message && *message ? message : known ? texts[code] : "the pool refused it";
    router_error(x, answer_status(code), kvr_code_name(code), text);
}
