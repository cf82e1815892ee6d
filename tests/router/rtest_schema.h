// SPDX-License-Identifier: Apache-2.0
// Checks JSON against the schemas of docs/openapi.json, as far as that file uses them: type,
// properties, required, additionalProperties, items, enum, minimum, maximum, minItems, minLength,
// maxLength, and $ref.
#ifndef RTEST_SCHEMA_H
#define RTEST_SCHEMA_H

#include <jansson.h>
#include <stdbool.h>

json_t *rtest_schema_load(void); // the document
// The schema of an operation's request (status NULL) or answer; an answer that isn't listed has that of
// `default`. NULL: there is none.
const json_t *rtest_schema_of(const json_t *document, const char *path, const char *method,
                              const char *status);
// Writes where and how the value differs.
bool rtest_schema_fits(const json_t *document, const json_t *schema, const json_t *value, char *why,
                       size_t size);

#endif
