// SPDX-License-Identifier: Apache-2.0
// JSON of OTLP as it is written: text that grows, and attributes, which are {"key": …, "value": {…}}.
//
// Text comes from others. It is UTF-8 in the end whatever it was, with U+FFFD for each byte that wasn't, and a long
// one is cut.
#ifndef ROUTER_TRACE_TEXT_H
#define ROUTER_TRACE_TEXT_H

#include <kvroute/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ROUTER_TRACE_TEXT_MAX = 256 << 10, // bytes of one
    ROUTER_TRACE_VALUE_MAX = 1024,     // bytes of a value, before they are escaped
};

// With nothing but the allocator at first.
struct router_trace_text {
    const struct kvr_alloc *alloc;
    char *p; // without a NUL; NULL: it is empty
    size_t n, room;
    bool failed; // no memory, or too long: it isn't whole, and nothing more is added
};

void router_trace_text_free(struct router_trace_text *t);
// Room for so many more bytes. False: it has failed.
bool router_trace_text_reserve(struct router_trace_text *t, size_t n);
void router_trace_text_add(struct router_trace_text *t, const char *text, size_t n);
// As a value of JSON, with its quotes.
void router_trace_text_quote(struct router_trace_text *t, const char *text, size_t n);

void router_trace_text_number(struct router_trace_text *t, int64_t value); // from 0 on

// Attributes, with a comma between two. Of nothing ("", NULL, or a number below 0) there is none.
void router_attribute_text(struct router_trace_text *t, const char *key, const char *value);
void router_attribute_bytes(struct router_trace_text *t, const char *key, const char *value,
                            size_t n);
void router_attribute_number(struct router_trace_text *t, const char *key, int64_t value);
void router_attribute_real(struct router_trace_text *t, const char *key, double value);
void router_attribute_flag(struct router_trace_text *t, const char *key, bool value);
// A list of one text.
void router_attribute_list(struct router_trace_text *t, const char *key, const char *value);
// Those of another text.
void router_attributes(struct router_trace_text *t, const struct router_trace_text *others);

#endif
