// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // memmem
#include "router_form.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

bool router_form_boundary(const char *type, char out[ROUTER_FORM_MAX_BOUNDARY + 1]) {
    static const char form[] = "multipart/form-data", name[] = "boundary=";
    *out = 0;
    if (!type || strncasecmp(type, form, sizeof form - 1) != 0) return false;
    const char *at = strcasestr(type + sizeof form - 1, name);
    if (!at) return false;
    at += sizeof name - 1;
    bool quoted = *at == '"';
    size_t n = quoted ? strcspn(++at, "\"") : strcspn(at, "; \t");
    if (!n || n > ROUTER_FORM_MAX_BOUNDARY || (quoted && !at[n])) return false;
    memcpy(out, at, n);
    out[n] = 0;
    return true;
}

struct form_part {
    const char *head, *body, *end;
};

// The value of name="…" in the part's Content-Disposition is this word.
static bool is_named(const struct form_part *p, const char *word) {
    static const char header[] = "content-disposition:";
    char want[40];
    int n = snprintf(want, sizeof want, "name=\"%s\"", word);
    for (const char *line = p->head, *end; line < p->body; line = end + 2) {
        end = memmem(line, (size_t)(p->body - line), "\r\n", 2);
        if (!end) return false;
        if ((size_t)(end - line) < sizeof header - 1 ||
            strncasecmp(line, header, sizeof header - 1) != 0)
            continue;
        // Behind a space or a semicolon: filename="…" is another word.
        const char *at = memmem(line, (size_t)(end - line), want, (size_t)n);
        return at && strchr("; \t", at[-1]);
    }
    return false;
}

static void take(json_t *out, const struct form_part *p) {
    size_t n = (size_t)(p->end - p->body);
    if (n > ROUTER_FORM_MAX_VALUE) return;
    if (is_named(p, "model"))
        json_object_set_new(out, "model", json_stringn(p->body, n));
    else if (is_named(p, "stream") && n == 4 && !strncasecmp(p->body, "true", 4))
        json_object_set_new(out, "stream", json_true());
}

// Behind the part: the next mark that a line's end or the last one's sign follows. NULL: there is none.
static const char *find_mark(const char *at, const char *end, const char *mark, size_t size) {
    while ((at = memmem(at, (size_t)(end - at), mark, size))) {
        size_t left = (size_t)(end - at) - size;
        if (left >= 2 && (!memcmp(at + size, "\r\n", 2) || !memcmp(at + size, "--", 2))) return at;
        at++;
    }
    return NULL;
}

json_t *router_form_read(const char *text, size_t n, const char *boundary) {
    char mark[ROUTER_FORM_MAX_BOUNDARY + 5];
    size_t size = (size_t)snprintf(mark, sizeof mark, "\r\n--%s", boundary);
    const char *at = text, *end = text + n;
    json_t *out = json_object();
    if (!out || n < size - 2 || memcmp(at, mark + 2, size - 2) != 0) return out;
    at += size - 2;
    for (int i = 0; i < ROUTER_FORM_MAX_PARTS; i++) {
        struct form_part p = {.head = at + 2};
        if (end - at < 4 || memcmp(at, "\r\n", 2) != 0) break; // "--": that was the last one
        const char *blank = memmem(at, (size_t)(end - at), "\r\n\r\n", 4);
        if (!blank) break;
        p.body = blank + 4;
        // The mark's first two bytes may be the blank line's.
        p.end = find_mark(p.body - 2, end, mark, size);
        if (!p.end) break;
        at = p.end + size;
        if (p.end < p.body) p.end = p.body;
        if (p.body > p.head) take(out, &p);
    }
    return out;
}
