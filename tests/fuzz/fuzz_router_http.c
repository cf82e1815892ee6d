// SPDX-License-Identifier: Apache-2.0
// What the router reads of strangers: heads, chunks, and the JSON of its own calls, on any bytes.
//
//   input   a byte, then
//           even: a request: a head and what follows it; the byte is the size of the pieces it comes in
//           odd: the body of the call that the byte chooses
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/http1/h1_parse.h"
#include "client/router/ask.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good, const char *what) {
    if (good) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

// The head's length, its bytes coming `step` at a time.
static int64_t find_end(const char *bytes, size_t n, size_t step) {
    size_t seen = 0;
    int64_t end = 0;
    for (size_t there = step < n ? step : n; !end; there = n - there < step ? n : there + step) {
        end = h1_head_end(bytes, there, &seen);
        if (there == n) break;
    }
    return end;
}

static void check_head(const struct h1_head *h) {
    must(h->path && (*h->path == '/' || strcmp(h->path, "*") == 0), "no path");
    must(h->length >= 0 && !(h->chunked && h->length), "a body of two lengths");
    must(!(h->chunked && h->old), "chunks in HTTP/1.0");
    must(h->n_headers <= H1_MAX_HEADERS, "too many headers");
    for (size_t i = 0; i < h->n_headers; i++) {
        const struct h1_header *f = &h->headers[i];
        must(*f->name && !strpbrk(f->name, " \t\r\n:"), "a name that is none");
        must(!strpbrk(f->value, "\r\n"), "a value with lines");
        must(h1_find_header(h, f->name) != NULL, "a header that isn't found");
    }
}

// What the chunks are put together to; *done as h1_chunks_read said.
static struct evbuffer *join(const char *bytes, size_t n, size_t step, int *done, size_t *left) {
    struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
    struct h1_chunks c = {0};
    must(in && out, "the fuzzer is out of memory");
    *done = 0;
    for (size_t at = 0; at < n && !*done; at += step) {
        size_t piece = n - at < step ? n - at : step;
        evbuffer_add(in, bytes + at, piece);
        *done = h1_chunks_read(&c, in, out);
        *left = evbuffer_get_length(in) + (n - at - piece);
    }
    evbuffer_free(in);
    return out;
}

static void check_chunks(const char *bytes, size_t n, size_t step) {
    int once, pieces;
    size_t left = n, left_of_pieces = n;
    struct evbuffer *a = join(bytes, n, n ? n : 1, &once, &left);
    struct evbuffer *b = join(bytes, n, step, &pieces, &left_of_pieces);
    size_t size = evbuffer_get_length(a);
    must(once == pieces, "read differently in pieces");
    if (once >= 0) {
        must(size == evbuffer_get_length(b), "another length in pieces");
        must(!size || !memcmp(evbuffer_pullup(a, -1), evbuffer_pullup(b, -1), size), "other bytes");
    }
    must(once != 1 || left == left_of_pieces, "another end in pieces");
    evbuffer_free(a);
    evbuffer_free(b);
}

static void check_request(const char *bytes, size_t n, size_t step) {
    static struct h1_head h;
    const char *reason = NULL;
    int64_t end = find_end(bytes, n, n), in_pieces = find_end(bytes, n, step);
    must(end == in_pieces, "another end in pieces");
    check_chunks(bytes, n, step);
    if (end <= 0) return;
    char *text = malloc((size_t)end + 1);
    must(text != NULL, "the fuzzer is out of memory");
    memcpy(text, bytes, (size_t)end);
    text[end] = 0;
    int status = h1_head_read(&h, text, (size_t)end, &reason);
    must((status == 0) == (reason == NULL) && status < 600, "refused without a reason");
    if (!status) {
        check_head(&h);
        if (h.chunked) check_chunks(bytes + end, n - (size_t)end, step);
    }
    h1_head_free(&h);
    free(text);
}

static void check_body(const char *bytes, size_t n, enum ask_kind kind) {
    struct evbuffer *body = evbuffer_new();
    char why[160] = "";
    struct ask a;
    must(body != NULL, "the fuzzer is out of memory");
    evbuffer_add(body, bytes, n);
    bool good = ask_read(&a, kind, body, why, sizeof why);
    must(good == !*why, "refused without a reason");
    if (good) {
        must(a.request.n <= KVR_MAX_ID && a.n_hashes <= KVR_MAX_BLOCKS, "more than may be");
        must(!(a.tokens && a.hashes), "tokens and hashes");
    }
    ask_free(&a);
    evbuffer_free(body);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    const char *rest = (const char *)data + 1;
    if (data[0] % 2)
        check_body(rest, size - 1, (enum ask_kind)(1 << data[0] / 2 % 4));
    else if (size > 1)
        check_request(rest, size - 1, 1 + data[0] / 2);
    return 0;
}
