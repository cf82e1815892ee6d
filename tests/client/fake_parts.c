// SPDX-License-Identifier: Apache-2.0
#include "fake_parts.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

void fake_buf_add(struct fake_buf *b, const void *bytes, size_t n) {
    if (b->n + n > b->cap) {
        b->cap = (b->n + n) * 2 + 256;
        b->p = realloc(b->p, b->cap);
        if (!b->p) abort();
    }
    if (n) memcpy(b->p + b->n, bytes, n);
    b->n += n;
}

void fake_buf_text(struct fake_buf *b, const char *format, ...) {
    char text[4096];
    va_list args;
    va_start(args, format);
    int n = vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (n < 0 || n >= (int)sizeof text) abort();
    fake_buf_add(b, text, (size_t)n);
}

void fake_buf_bulk(struct fake_buf *b, const char *text) {
    fake_buf_text(b, "$%zu\r\n%s\r\n", strlen(text), text);
}

void fake_buf_fields(struct fake_buf *b, const char *format, ...) {
    char all[1000], *rest = NULL;
    va_list args;
    va_start(args, format);
    int n = vsnprintf(all, sizeof all, format, args);
    va_end(args);
    if (n < 0 || n >= (int)sizeof all) abort();
    for (char *name = strtok_r(all, " ", &rest); name; name = strtok_r(NULL, " ", &rest)) {
        const char *value = strtok_r(NULL, " ", &rest);
        fake_buf_bulk(b, name);
        if (*value == '\'')
            fake_buf_bulk(b, value + 1);
        else
            fake_buf_text(b, ":%s\r\n", value);
    }
}

bool fake_word_is(struct fake_word w, const char *name) {
    return strlen(name) == w.n && strncasecmp(w.p, name, w.n) == 0;
}

struct fake_request *fake_request_find(struct fake_pool *p, struct fake_word id) {
    for (size_t i = 0; i < p->n_live; i++)
        if (p->live[i].n == id.n && memcmp(p->live[i].id, id.p, id.n) == 0) return &p->live[i];
    return NULL;
}

bool fake_request_book(struct fake_pool *p, struct fake_word id) {
    if (fake_request_find(p, id)) return false;
    if (p->n_live == FAKE_REQUESTS || id.n > sizeof p->live->id) abort();
    struct fake_request *r = &p->live[p->n_live++];
    *r = (struct fake_request){.n = id.n};
    memcpy(r->id, id.p, id.n);
    p->version++;
    return true;
}

bool fake_request_drop(struct fake_pool *p, struct fake_word id) {
    struct fake_request *r = fake_request_find(p, id);
    if (!r) return false;
    *r = p->live[--p->n_live];
    p->version++;
    return true;
}
