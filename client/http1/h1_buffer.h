// SPDX-License-Identifier: Apache-2.0
// Moving bytes between buffers. libevent moves whole chains, and a chain is a kilobyte at least: input
// that arrives byte by byte would hold a kilobyte for each byte. So small amounts are copied, and only large
// ones are moved.
#ifndef H1_BUFFER_H
#define H1_BUFFER_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The first n bytes of `in`, which has as many, to the end of `out`. False: no memory.
bool h1_buffer_move(struct evbuffer *in, struct evbuffer *out, size_t n);

// Text that is put together by hand: heads are written for each message, and printf is most of what that costs.
// What is put at `at`, which has room for it; returns what is behind it.
char *h1_put_bytes(char *at, const void *bytes, size_t n);
char *h1_put_text(char *at, const char *text);
char *h1_put_number(char *at, uint64_t n); // at most H1_MAX_DIGITS
enum { H1_MAX_DIGITS = 20 };

#endif
