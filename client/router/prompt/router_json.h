// SPDX-License-Identifier: Apache-2.0
// JSON from outside, within limits. A parsed value takes many times the bytes it was written in (an empty
// list of two bytes takes some two hundred), so the values are counted before the text is parsed.
//
// Reasons ("why", at most `size` bytes) never contain bytes of the text itself.
#ifndef ROUTER_JSON_H
#define ROUTER_JSON_H

#include <event2/buffer.h>
#include <jansson.h>
#include <kvroute/types.h>
#include <stdbool.h>

enum {
    ROUTER_JSON_MAX_VALUES = 1 << 21,     // of one text; a million token ids and room
    ROUTER_JSON_MAX_CONTAINERS = 1 << 16, // lists and objects among them
    ROUTER_JSON_MAX_TEXTS = 1 << 18, // names and texts: a name costs five times as much as a number
};

// The object in the body. NULL with a reason: it is no object, or has too many values.
json_t *router_json_parse(struct evbuffer *body, char *why, size_t size);
json_t *router_json_parse_text(const char *text, size_t n, char *why, size_t size);
// The same, for the router's own calls: a field that is there twice is refused, too, because readers
// differ in which one they take.
json_t *router_json_parse_strict(const char *text, size_t n, char *why, size_t size);

// A name as JSON. Names may have any bytes, JSON only UTF-8: if a name isn't UTF-8, each of its bytes
// beyond ASCII becomes '?'. NULL: no memory.
json_t *router_json_text(struct kvr_bytes b);

#endif
