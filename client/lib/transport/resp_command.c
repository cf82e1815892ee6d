// SPDX-License-Identifier: Apache-2.0
#include "resp_command.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>

enum { MIN_COMMAND = 512 }; // bytes that a command is built in, at least

void kvr_wire_begin(struct kvr_wire *w, const struct kvr_alloc *a) {
    *w = (struct kvr_wire){.alloc = a, .n = KVR_WIRE_HEAD};
}

void kvr_wire_expect(struct kvr_wire *w, size_t n) {
    w->expected = n < SIZE_MAX / 4 ? n : 0;
}

static char *room(struct kvr_wire *w, size_t n) {
    size_t least = w->cap ? w->n + n : MIN_COMMAND + w->expected;
    if (w->failed || n > SIZE_MAX / 4 - w->n ||
        kvr_alloc_grow(w->alloc, &w->p, &w->cap, w->n + n < least ? least : w->n + n, 1)) {
        w->failed = true;
        return NULL;
    }
    char *at = w->p + w->n;
    w->n += n;
    return at;
}

// "<mark><n>\r\n", written up to `end`; its length. By hand: it is most of what a command costs here.
static size_t write_head(char *end, char mark, size_t n) {
    char *at = end;
    *--at = '\n';
    *--at = '\r';
    do {
        *--at = (char)('0' + n % 10);
        n /= 10;
    } while (n);
    *--at = mark;
    return (size_t)(end - at);
}

void kvr_wire_arg(struct kvr_wire *w, const void *bytes, size_t n) {
    char head[32];
    size_t len = write_head(head + sizeof head, '$', n);
    char *at = room(w, len + n + 2);
    if (!at) return;
    memcpy(at, head + sizeof head - len, len);
    if (n) memcpy(at + len, bytes, n);
    memcpy(at + len + n, "\r\n", 2);
    w->argc++;
}

void kvr_wire_bytes(struct kvr_wire *w, struct kvr_bytes b) {
    kvr_wire_arg(w, b.p, b.n);
}

void kvr_wire_word(struct kvr_wire *w, const char *word) {
    kvr_wire_arg(w, word, strlen(word));
}

void kvr_wire_words(struct kvr_wire *w, const char *words) {
    while (*(words += strspn(words, " "))) {
        size_t n = strcspn(words, " ");
        kvr_wire_arg(w, words, n);
        words += n;
    }
}

static void put_number(struct kvr_wire *w, uint64_t u, bool minus) {
    char text[32], *at = text + sizeof text;
    do
        *--at = (char)('0' + u % 10);
    while (u /= 10);
    if (minus) *--at = '-';
    kvr_wire_arg(w, at, (size_t)(text + sizeof text - at));
}

void kvr_wire_int(struct kvr_wire *w, int64_t i) {
    put_number(w, i < 0 ? -(uint64_t)i : (uint64_t)i, i < 0);
}

void kvr_wire_u64(struct kvr_wire *w, uint64_t u) {
    put_number(w, u, false);
}

void kvr_wire_real(struct kvr_wire *w, double d) {
    char text[40];
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0), was = uselocale(plain);
    int n = snprintf(text, sizeof text, "%.17g", d); // with a point, whatever the program's locale
    uselocale(was);
    freelocale(plain);
    kvr_wire_arg(w, text, (size_t)n);
}

void kvr_wire_paste(struct kvr_wire *w, const char *args, size_t n, size_t argc) {
    char *at = n ? room(w, n) : NULL;
    if (!at) return;
    memcpy(at, args, n);
    w->argc += argc;
}

struct kvr_bytes kvr_wire_next(const char **at) {
    size_t n = 0;
    const char *p = *at + 1;
    for (; *p != '\r'; p++)
        n = n * 10 + (size_t)(*p - '0');
    struct kvr_bytes b = {p + 2, n};
    *at = b.p + n + 2;
    return b;
}

static void put_header(const struct kvr_wire *w, struct kvr_command *out) {
    size_t len = write_head(w->p + KVR_WIRE_HEAD, '*', w->argc);
    out->base = w->p;
    out->at = w->p + KVR_WIRE_HEAD - len;
    out->n = w->n - KVR_WIRE_HEAD + len;
}

bool kvr_wire_end(struct kvr_wire *w, struct kvr_command *out) {
    // hiredis looks for the channels of a SUBSCRIBE until it comes to a NUL.
    char *end = w->p ? room(w, 1) : NULL;
    if (!end) {
        kvr_alloc_free(w->alloc, w->p);
        kvr_wire_begin(w, w->alloc);
        return false;
    }
    *end = 0;
    w->n--;
    put_header(w, out);
    *(uint64_t *)(void *)w->p = 1;
    kvr_wire_begin(w, w->alloc);
    return true;
}

void kvr_wire_reopen(struct kvr_wire *w, const struct kvr_alloc *a, const struct kvr_command *c,
                     size_t at, size_t argc, size_t most) {
    *w = (struct kvr_wire){.alloc = a,
                           .p = c->base,
                           .n = at,
                           .cap = most < MIN_COMMAND ? MIN_COMMAND : most,
                           .argc = argc};
}

void kvr_wire_reclose(struct kvr_wire *w, struct kvr_command *c) {
    put_header(w, c);
}

void kvr_command_hold(const struct kvr_command *c) {
    ++*(uint64_t *)(void *)c->base;
}

void kvr_command_release(const struct kvr_alloc *a, const struct kvr_command *c) {
    if (c->base && !--*(uint64_t *)(void *)c->base) kvr_alloc_free(a, c->base);
}
