// SPDX-License-Identifier: Apache-2.0
// Bodies that are forms; see mock_form.h.
#define _GNU_SOURCE // memmem
#include "mock_form.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include <kvroute/hash.h>

enum { MAX_BOUNDARY = 70 };

struct form_bytes {
    const char *at;
    size_t n;
};

// "--" and the boundary that the request's header tells.
static bool read_boundary(struct h1_exchange *x, char out[MAX_BOUNDARY + 3]) {
    static const char kind[] = "multipart/form-data";
    const char *type = h1_find_header(&x->head, "Content-Type");
    if (!type || strncasecmp(type, kind, sizeof kind - 1) != 0) return false;
    const char *at = strcasestr(type, "boundary=");
    if (!at) return false;
    at += strlen("boundary=");
    bool quoted = *at == '"';
    at += quoted;
    size_t n = strcspn(at, quoted ? "\"" : "; ");
    if (!n || n > MAX_BOUNDARY) return false;
    snprintf(out, MAX_BOUNDARY + 3, "--%.*s", (int)n, at);
    return true;
}

// The value of a parameter of Content-Disposition; n = 0: there is none.
static struct form_bytes parameter(struct form_bytes head, const char *name) {
    char want[20];
    int len = snprintf(want, sizeof want, "; %s=\"", name);
    const char *at = memmem(head.at, head.n, want, (size_t)len);
    if (!at) return (struct form_bytes){NULL, 0};
    at += len;
    const char *end = memchr(at, '"', (size_t)(head.at + head.n - at));
    return (struct form_bytes){at, end ? (size_t)(end - at) : 0};
}

static json_t *value_of(struct form_bytes head, struct form_bytes value) {
    if (!parameter(head, "filename").at) {
        json_t *text = json_stringn(value.at, value.n);
        return text ? text : json_string("");
    }
    return json_pack("{s:I,s:o}", "bytes", (json_int_t)value.n, "hash",
                     json_sprintf("%016" PRIx64, XXH3_64bits(value.at, value.n)));
}

static void add_part(json_t *form, struct form_bytes part) {
    const char *body = memmem(part.at, part.n, "\r\n\r\n", 4);
    char name[60];
    if (!body) return;
    struct form_bytes head = {part.at, (size_t)(body - part.at)};
    struct form_bytes value = {body + 4, (size_t)(part.at + part.n - body - 4)};
    struct form_bytes is = parameter(head, "name");
    if (!is.n || is.n >= sizeof name) return;
    snprintf(name, sizeof name, "%.*s", (int)is.n, is.at);
    json_object_set_new(form, name, value_of(head, value));
}

json_t *mock_form_read(struct h1_exchange *x, const char **wrong) {
    char boundary[MAX_BOUNDARY + 3], next[MAX_BOUNDARY + 5];
    *wrong = "the body is no multipart/form-data";
    size_t n = evbuffer_get_length(x->body);
    if (!n || !read_boundary(x, boundary)) return NULL;
    snprintf(next, sizeof next, "\r\n%s", boundary);
    struct form_bytes rest = {(const char *)evbuffer_pullup(x->body, -1), n};
    size_t len = strlen(boundary);
    if (rest.n < len || memcmp(rest.at, boundary, len) != 0) return NULL;
    json_t *form = json_object();
    rest.at += len, rest.n -= len;
    while (rest.n >= 2 && memcmp(rest.at, "--", 2) != 0) {
        const char *end = memmem(rest.at, rest.n, next, len + 2);
        if (!end) {
            *wrong = "the form has no end";
            json_decref(form);
            return NULL;
        }
        add_part(form, (struct form_bytes){rest.at, (size_t)(end - rest.at)});
        rest.n -= (size_t)(end - rest.at) + len + 2;
        rest.at = end + len + 2;
    }
    *wrong = NULL;
    return form;
}
