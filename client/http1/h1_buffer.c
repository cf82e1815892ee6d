// SPDX-License-Identifier: Apache-2.0
// See h1_buffer.h.
#include "h1_buffer.h"

#include <string.h>

enum { H1_COPY_SIZE = 4096 };

bool h1_buffer_move(struct evbuffer *in, struct evbuffer *out, size_t n) {
    char copy[H1_COPY_SIZE];
    if (n > H1_COPY_SIZE) return evbuffer_remove_buffer(in, out, n) == (int)n;
    if (!n) return true;
    return evbuffer_copyout(in, copy, n) == (ev_ssize_t)n && !evbuffer_add(out, copy, n) &&
           !evbuffer_drain(in, n);
}

char *h1_put_bytes(char *at, const void *bytes, size_t n) {
    memcpy(at, bytes, n);
    return at + n;
}

char *h1_put_text(char *at, const char *text) {
    return h1_put_bytes(at, text, strlen(text));
}

char *h1_put_number(char *at, uint64_t n) {
    char digits[H1_MAX_DIGITS], *from = digits + sizeof digits;
    do
        *--from = (char)('0' + n % 10);
    while (n /= 10);
    return h1_put_bytes(at, from, (size_t)(digits + sizeof digits - from));
}
