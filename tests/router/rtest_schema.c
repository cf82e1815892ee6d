// SPDX-License-Identifier: Apache-2.0
// See rtest_schema.h.
#include "rtest_schema.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

json_t *rtest_schema_load(void) {
    json_error_t error;
    json_t *d = json_load_file(KVROUTE_OPENAPI, JSON_REJECT_DUPLICATES, &error);
    cr_assert(d, "openapi.json:%d: %s", error.line, error.text);
    return d;
}

static const json_t *resolve(const json_t *document, const json_t *node) {
    const char *ref;
    while ((ref = json_string_value(json_object_get(node, "$ref")))) {
        cr_assert_eq(strncmp(ref, "#/components/schemas/", 21), 0);
        node = json_object_get(json_object_get(json_object_get(document, "components"), "schemas"),
                               ref + 21);
        cr_assert(node, "%s is nowhere", ref);
    }
    return node;
}

const json_t *rtest_schema_of(const json_t *document, const char *path, const char *method,
                              const char *status) {
    const json_t *operation =
        json_object_get(json_object_get(json_object_get(document, "paths"), path), method);
    const json_t *answers = json_object_get(operation, "responses");
    const json_t *body =
        status ? json_object_get(answers, status) : json_object_get(operation, "requestBody");
    if (status && !body) body = json_object_get(answers, "default");
    const json_t *content = json_object_get(json_object_get(body, "content"), "application/json");
    return resolve(document, json_object_get(content, "schema"));
}

static bool differs(char *why, size_t size, const char *what) {
    snprintf(why, size, "%s", what);
    return false;
}

// Puts the place before the reason.
static bool within(char *why, size_t size, const char *place) {
    char inner[200];
    snprintf(inner, sizeof inner, "%s", why);
    snprintf(why, size, "%.60s: %.130s", place, inner);
    return false;
}

static bool has_type(const char *type, const json_t *v) {
    if (strcmp(type, "object") == 0) return json_is_object(v);
    if (strcmp(type, "array") == 0) return json_is_array(v);
    if (strcmp(type, "string") == 0) return json_is_string(v);
    if (strcmp(type, "integer") == 0) return json_is_integer(v);
    if (strcmp(type, "number") == 0) return json_is_number(v);
    return strcmp(type, "boolean") == 0 && json_is_boolean(v);
}

static bool in_range(const json_t *schema, const json_t *v) {
    const json_t *least = json_object_get(schema, "minimum");
    const json_t *most = json_object_get(schema, "maximum");
    const json_t *shortest = json_object_get(schema, "minLength");
    const json_t *longest = json_object_get(schema, "maxLength");
    const json_t *fewest = json_object_get(schema, "minItems");
    if (least && json_number_value(v) < json_number_value(least)) return false;
    if (most && json_number_value(v) > json_number_value(most)) return false;
    if (fewest && (json_int_t)json_array_size(v) < json_integer_value(fewest)) return false;
    if (shortest && (json_int_t)json_string_length(v) < json_integer_value(shortest)) return false;
    return !longest || (json_int_t)json_string_length(v) <= json_integer_value(longest);
}

static bool in_enum(const json_t *schema, const json_t *v) {
    const json_t *list = json_object_get(schema, "enum");
    bool found = !list;
    for (size_t i = 0; i < json_array_size(list); i++)
        found |= json_equal(json_array_get(list, i), v);
    return found;
}

static bool object_fits(const json_t *document, const json_t *schema, const json_t *value,
                        char *why, size_t size) {
    const json_t *properties = json_object_get(schema, "properties");
    const json_t *required = json_object_get(schema, "required");
    const char *name;
    json_t *field;
    for (size_t i = 0; i < json_array_size(required); i++) {
        name = json_string_value(json_array_get(required, i));
        if (!json_object_get(value, name))
            return differs(why, size, "is missing") || within(why, size, name);
    }
    json_object_foreach((json_t *)value, name, field) {
        const json_t *inner = json_object_get(properties, name);
        if (!inner && json_is_false(json_object_get(schema, "additionalProperties")))
            return differs(why, size, "isn't described") || within(why, size, name);
        if (inner && !rtest_schema_fits(document, inner, field, why, size))
            return within(why, size, name);
    }
    return true;
}

bool rtest_schema_fits(const json_t *document, const json_t *schema, const json_t *value, char *why,
                       size_t size) {
    schema = resolve(document, schema);
    const char *type = json_string_value(json_object_get(schema, "type"));
    if (type && !has_type(type, value)) return differs(why, size, "is of another type");
    if (!in_range(schema, value)) return differs(why, size, "is out of range");
    if (!in_enum(schema, value)) return differs(why, size, "isn't one of these");
    if (json_is_object(value)) return object_fits(document, schema, value, why, size);
    const json_t *items = json_object_get(schema, "items");
    for (size_t i = 0; items && i < json_array_size(value); i++)
        if (!rtest_schema_fits(document, items, json_array_get(value, i), why, size))
            return within(why, size, "item");
    return true;
}
