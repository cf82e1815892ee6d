// SPDX-License-Identifier: Apache-2.0
// Moving bytes between buffers. libevent moves whole chains, and a chain is a kilobyte at least: input
// that arrives byte by byte would hold a kilobyte for each byte. So small amounts are copied, and only large
// ones are moved.
#ifndef H1_BUFFER_H
#define H1_BUFFER_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>

// The first n bytes of `in`, which has as many, to the end of `out`. False: no memory.
bool h1_buffer_move(struct evbuffer *in, struct evbuffer *out, size_t n);

#endif
