// SPDX-License-Identifier: Apache-2.0
#include "router_traceparent.h"

#include <string.h>
#include <strings.h>

#include "client/common/hex.h"

enum {
    TRACEPARENT_SIZE = 55,
    // Where they are in the line, behind the header's name.
    TRACEPARENT_TRACE = 16,
    TRACEPARENT_SPAN = 49,
    TRACEPARENT_FLAGS = 67,
    TRACESTATE_MEMBERS = 32,
    TRACESTATE_KEY = 256,
    TRACESTATE_VALUE = 256,
};

// So many hex digits, lower case. False: they aren't.
static bool read_hex(const char **at, unsigned digits, uint64_t *out) {
    static const char all[] = "0123456789abcdef";
    *out = 0;
    for (; digits; digits--, ++*at) {
        const char *digit = **at ? strchr(all, **at) : NULL;
        if (!digit) return false;
        *out = *out << 4 | (uint64_t)(digit - all);
    }
    return true;
}

static bool pass_dash(const char **at) {
    return *(*at)++ == '-';
}

// Of a version to come, what is behind the flags isn't known.
static bool read_value(const char *at, struct router_trace_context *c) {
    uint64_t version, flags;
    size_t n = strlen(at);
    if (n < TRACEPARENT_SIZE) return false;
    if (!read_hex(&at, 2, &version) || version == 0xff || !pass_dash(&at) ||
        !read_hex(&at, 16, &c->trace[0]) || !read_hex(&at, 16, &c->trace[1]) || !pass_dash(&at) ||
        !read_hex(&at, 16, &c->span) || !pass_dash(&at) || !read_hex(&at, 2, &flags))
        return false;
    c->flags = (unsigned)flags & ROUTER_TRACE_SAMPLED;
    bool ends = n == TRACEPARENT_SIZE || (version && *at == '-');
    return ends && (c->trace[0] || c->trace[1]) && c->span;
}

bool router_traceparent_read(const struct h1_head *h, struct router_trace_context *out) {
    const char *value = NULL;
    for (size_t i = 0; i < h->n_headers; i++) {
        if (strcasecmp(h->headers[i].name, "traceparent") != 0) continue;
        if (value) return false;
        value = h->headers[i].value;
    }
    return value && read_value(value, out);
}

void router_traceparent_write(char out[ROUTER_TRACEPARENT_LINE],
                              const struct router_trace_context *c) {
    static const char form[ROUTER_TRACEPARENT_LINE] =
        "traceparent: 00-................................-................-00\r\n";
    memcpy(out, form, sizeof form); // for every request, so without printf
    kvr_hex(out + TRACEPARENT_TRACE, c->trace[0]);
    kvr_hex(out + TRACEPARENT_TRACE + KVR_HEX_DIGITS, c->trace[1]);
    kvr_hex(out + TRACEPARENT_SPAN, c->span);
    out[TRACEPARENT_FLAGS] = (char)('0' + (c->flags & ROUTER_TRACE_SAMPLED));
}

// ---- tracestate ----------------------------------------------------------------------------------

static bool is_key(const char *at, size_t n) {
    if (!n || n > TRACESTATE_KEY) return false;
    for (size_t i = 0; i < n; i++) {
        bool plain = (at[i] >= 'a' && at[i] <= 'z') || (at[i] >= '0' && at[i] <= '9');
        if (!plain && (!i || !strchr("_-*/@", at[i]))) return false;
    }
    return true;
}

static bool is_member(const char *at, size_t n) {
    const char *equals = memchr(at, '=', n);
    if (!equals || !is_key(at, (size_t)(equals - at))) return false;
    const char *value = equals + 1, *end = at + n;
    if (value == end || end - value > TRACESTATE_VALUE) return false;
    for (; value < end; value++)
        if (*value < ' ' || *value > '~' || *value == '=') return false;
    return true;
}

// Counts the members of one header. False: one of them isn't any.
static bool count_members(const char *at, unsigned *count) {
    while (*at) {
        at += strspn(at, " \t,");
        size_t n = strcspn(at, ","), used = n;
        while (used && (at[used - 1] == ' ' || at[used - 1] == '\t'))
            used--;
        if (used && !is_member(at, used)) return false;
        *count += used > 0;
        at += n;
    }
    return true;
}

bool router_tracestate_fits(const struct h1_head *h) {
    unsigned count = 0;
    for (size_t i = 0; i < h->n_headers; i++)
        if (!strcasecmp(h->headers[i].name, "tracestate") &&
            !count_members(h->headers[i].value, &count))
            return false;
    return count <= TRACESTATE_MEMBERS;
}
