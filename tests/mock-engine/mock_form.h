// SPDX-License-Identifier: Apache-2.0
// Bodies that are forms (multipart/form-data), as clients send files in.
#ifndef MOCK_FORM_H
#define MOCK_FORM_H

#include <jansson.h>

#include "client/http1/h1_server.h"

// Its fields by their names as texts; a file's is {"bytes": how many, "hash": 16 hex digits}. NULL, and
// what is wrong.
json_t *mock_form_read(struct h1_exchange *x, const char **wrong);

#endif
