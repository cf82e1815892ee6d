// SPDX-License-Identifier: Apache-2.0
// What a multipart/form-data body says of itself: which model it is for, and whether the answer is to be a stream. Files
// in it are passed over. It goes to the engine as it came, which alone says whether it is good.
#ifndef ROUTER_FORM_H
#define ROUTER_FORM_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { ROUTER_FORM_MAX_BOUNDARY = 70, ROUTER_FORM_MAX_PARTS = 64, ROUTER_FORM_MAX_VALUE = 2048 };

// Out of the header Content-Type (NULL: there is none), ended by NUL. False: it isn't such a body.
bool router_form_boundary(const char *type, char out[ROUTER_FORM_MAX_BOUNDARY + 1]);
// {"model": text, "stream": true}, each if it is said in one of the first parts; what isn't as it should be ends the
// reading. NULL: no memory.
json_t *router_form_read(const char *text, size_t n, const char *boundary);

#endif
