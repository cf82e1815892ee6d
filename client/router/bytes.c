// SPDX-License-Identifier: Apache-2.0
// See bytes.h.
#include "bytes.h"

enum { LITTLE = 4096 };

bool bytes_move(struct evbuffer *in, struct evbuffer *out, size_t n) {
    char copy[LITTLE];
    if (n > LITTLE) return evbuffer_remove_buffer(in, out, n) == (int)n;
    if (!n) return true;
    return evbuffer_copyout(in, copy, n) == (ev_ssize_t)n && !evbuffer_add(out, copy, n) &&
           !evbuffer_drain(in, n);
}
