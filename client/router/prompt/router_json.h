// SPDX-License-Identifier: Apache-2.0
// JSON that strangers send. A value takes many times the bytes that it is written in (an empty list
// of two bytes some two hundred), so what is to become values is counted before it does.
#ifndef ROUTER_JSON_H
#define ROUTER_JSON_H

#include <jansson.h>
#include <stdbool.h>

enum {
    ROUTER_JSON_MAX_VALUES = 1 << 21,     // of one text; a million token ids and room
    ROUTER_JSON_MAX_CONTAINERS = 1 << 16, // lists and objects among them
};

// Whether no more than that would become of the text.
bool router_json_bounded(const char *text, size_t n);

// The object that the text is. NULL with a reason of at most `size` bytes, none of which are the text's:
// it is no object, has too many values, or a field twice (which readers read differently).
json_t *router_json_parse_strict(const char *text, size_t n, char *why, size_t size);

#endif
