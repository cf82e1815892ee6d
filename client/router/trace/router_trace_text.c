// SPDX-License-Identifier: Apache-2.0
#include "router_trace_text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "client/common/alloc.h"
#include "client/common/utf8.h"

enum { TRACE_PRINT_MAX = 400 };

void router_trace_text_free(struct router_trace_text *t) {
    kvr_alloc_free(t->alloc, t->p);
    t->p = NULL;
    t->n = t->room = 0;
}

bool router_trace_text_reserve(struct router_trace_text *t, size_t n) {
    if (t->failed) return false;
    t->failed =
        t->n + n > ROUTER_TRACE_TEXT_MAX || kvr_alloc_grow(t->alloc, &t->p, &t->room, t->n + n, 1);
    return !t->failed;
}

void router_trace_text_add(struct router_trace_text *t, const char *text, size_t n) {
    if (t->failed || !n || (t->n + n > t->room && !router_trace_text_reserve(t, n))) return;
    memcpy(t->p + t->n, text, n);
    t->n += n;
}

static void print(struct router_trace_text *t, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static void print(struct router_trace_text *t, const char *format, ...) {
    char text[TRACE_PRINT_MAX];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof text)
        t->failed = true;
    else
        router_trace_text_add(t, text, (size_t)n);
}

static bool is_plain(char c) {
    return c >= ' ' && c < 127 && c != '"' && c != '\\';
}

// One character that isn't plain; returns how many bytes of it.
static size_t add_other(struct router_trace_text *t, const char *at, size_t n) {
    static const char unknown[] = "\xef\xbf\xbd"; // U+FFFD
    size_t size = kvr_utf8_size(at, n);
    if (!size)
        router_trace_text_add(t, unknown, 3);
    else if (size > 1)
        router_trace_text_add(t, at, size);
    else
        print(t, "\\u%04x", (unsigned)(unsigned char)*at);
    return size ? size : 1;
}

// Where a text is to be cut: not within a character.
static size_t cut(const char *text, size_t n) {
    if (n <= ROUTER_TRACE_VALUE_MAX) return n;
    n = ROUTER_TRACE_VALUE_MAX;
    while (n > ROUTER_TRACE_VALUE_MAX - 4 && (text[n] & 0xc0) == 0x80)
        n--;
    return n;
}

void router_trace_text_quote(struct router_trace_text *t, const char *text, size_t n) {
    n = cut(text, n);
    router_trace_text_add(t, "\"", 1);
    for (size_t i = 0; i < n;) {
        size_t plain = 0;
        while (i + plain < n && is_plain(text[i + plain]))
            plain++;
        router_trace_text_add(t, text + i, plain);
        i += plain;
        if (i < n) i += add_other(t, text + i, n - i);
    }
    router_trace_text_add(t, "\"", 1);
}

// ---- Attributes ----------------------------------------------------------------------------------

// They are written for every span, so without printf where it can be done without.
static void say(struct router_trace_text *t, const char *text) {
    router_trace_text_add(t, text, strlen(text));
}

static void begin(struct router_trace_text *t, const char *key, const char *form) {
    if (t->n && t->p[t->n - 1] != '[') say(t, ",");
    say(t, "{\"key\":\"");
    say(t, key);
    say(t, "\",\"value\":{\"");
    say(t, form);
    say(t, "\":");
}

void router_attribute_bytes(struct router_trace_text *t, const char *key, const char *value,
                            size_t n) {
    if (!n) return;
    begin(t, key, "stringValue");
    router_trace_text_quote(t, value, n);
    say(t, "}}");
}

void router_attribute_text(struct router_trace_text *t, const char *key, const char *value) {
    if (value) router_attribute_bytes(t, key, value, strlen(value));
}

void router_trace_text_number(struct router_trace_text *t, int64_t value) {
    char digits[24];
    size_t n = sizeof digits;
    for (uint64_t x = (uint64_t)value; n == sizeof digits || x; x /= 10)
        digits[--n] = (char)('0' + x % 10);
    router_trace_text_add(t, digits + n, sizeof digits - n);
}

void router_attribute_number(struct router_trace_text *t, const char *key, int64_t value) {
    if (value < 0) return;
    begin(t, key, "intValue");
    say(t, "\"");
    router_trace_text_number(t, value);
    say(t, "\"}}");
}

void router_attribute_real(struct router_trace_text *t, const char *key, double value) {
    if (!isfinite(value)) return;
    begin(t, key, "doubleValue");
    print(t, "%.9g}}", value);
}

void router_attribute_flag(struct router_trace_text *t, const char *key, bool value) {
    begin(t, key, "boolValue");
    say(t, value ? "true}}" : "false}}");
}

void router_attribute_list(struct router_trace_text *t, const char *key, const char *value) {
    if (!*value) return;
    begin(t, key, "arrayValue");
    say(t, "{\"values\":[{\"stringValue\":");
    router_trace_text_quote(t, value, strlen(value));
    say(t, "}]}}}");
}

void router_attributes(struct router_trace_text *t, const struct router_trace_text *others) {
    if (others->n && t->n && t->p[t->n - 1] != '[') say(t, ",");
    router_trace_text_add(t, others->p, others->n);
}
