// SPDX-License-Identifier: Apache-2.0
// See h1_buffer.h.
#include "h1_buffer.h"

enum { H1_COPY_SIZE = 4096 };

bool h1_buffer_move(struct evbuffer *in, struct evbuffer *out, size_t n) {
    char copy[H1_COPY_SIZE];
    if (n > H1_COPY_SIZE) return evbuffer_remove_buffer(in, out, n) == (int)n;
    if (!n) return true;
    return evbuffer_copyout(in, copy, n) == (ev_ssize_t)n && !evbuffer_add(out, copy, n) &&
           !evbuffer_drain(in, n);
}
