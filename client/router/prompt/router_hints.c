// SPDX-License-Identifier: Apache-2.0
#include "router_hints.h"

#include <kvroute/hash.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/common/config.h"

static size_t take(char out[KVR_MAX_ID], const char *name, size_t n) {
    char digits[40];
    if (n > KVR_MAX_ID) {
        XXH128_hash_t h = XXH3_128bits(name, n);
        n = (size_t)snprintf(digits, sizeof digits, "%016llx%016llx", (unsigned long long)h.high64,
                             (unsigned long long)h.low64);
        name = digits;
    }
    memcpy(out, name, n);
    return n;
}

// The next of the names at *at, copied to name; false: there is none.
static bool next_name(const char **at, char name[128]) {
    size_t n = kvr_config_word(at), kept = n < 128 ? n : 127;
    memcpy(name, *at, kept);
    name[kept] = 0;
    *at += n;
    return n;
}

static const json_t *field_of(const json_t *body, char *path) {
    char *rest = NULL;
    for (char *part = strtok_r(path, ".", &rest); part; part = strtok_r(NULL, ".", &rest))
        body = json_object_get(body, part);
    return body;
}

size_t router_hints_session(const struct router_config *o, const struct h1_head *head,
                            const json_t *body, char out[KVR_MAX_ID]) {
    char name[128];
    for (const char *at = o->session_headers; next_name(&at, name);) {
        const char *value = h1_find_header(head, name);
        if (value && *value) return take(out, value, strlen(value));
    }
    for (const char *at = o->session_fields; body && next_name(&at, name);) {
        const json_t *value = field_of(body, name);
        size_t n = json_string_length(value);
        if (n) return take(out, json_string_value(value), n);
    }
    return 0;
}

int64_t router_hints_osl(const struct h1_head *head) {
    const char *text = h1_find_header(head, "x-kvroute-osl");
    char *end;
    if (!text || *text < '0' || *text > '9') return 0;
    long long n = strtoll(text, &end, 10);
    return *end || n > KVR_MAX_TOKENS ? 0 : n;
}
