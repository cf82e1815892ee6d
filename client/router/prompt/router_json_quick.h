// SPDX-License-Identifier: Apache-2.0
// Most bodies are plain JSON, and jansson reads them byte by byte through several calls each: a router spends more on
// that than on anything else that a body needs. This reads the plain ones into the same values, several times faster.
// Whatever is unusual is left to jansson, and so is every mistake: it says what is wrong, and nothing is read here that
// it would refuse.
#ifndef ROUTER_JSON_QUICK_H
#define ROUTER_JSON_QUICK_H

#include <jansson.h>
#include <stddef.h>

// What json_loadb makes of an object. NULL: ask jansson. That is so for what is no JSON object, more than
// ROUTER_JSON_QUICK_DEPTH deep, has a name twice, half a pair or \u0000, or numbers with exponents or many digits, and
// if there is no memory.
json_t *router_json_quick(const char *text, size_t n);
enum { ROUTER_JSON_QUICK_DEPTH = 64 };

#endif
