// SPDX-License-Identifier: Apache-2.0
// What is read of strangers on connections: requests and responses, on any bytes, and that it makes no
// difference in which pieces they come.
//
//     input   a byte, then a message and what follows it
//             bit 0 of the byte: a request, or a response; bit 1: to a HEAD; the others: the size of the
//             pieces
#include <stdlib.h>
#include <string.h>

#include "client/http1/h1_parse.h"
#include "fuzz_target.h"

enum { FUZZ_MAX_HEAD = 32768 };

// What a message is read as.
struct fuzz_message {
    struct h1_head head;
    int status;        // of h1_head_take
    enum h1_step step; // of its body
    size_t left;       // bytes that aren't its own
    struct evbuffer *out;
};

static void read_message(struct fuzz_message *m, const char *bytes, size_t n, size_t piece,
                         enum h1_kind kind, bool headless) {
    struct evbuffer *in = evbuffer_new();
    struct h1_body body;
    const char *reason = NULL;
    size_t seen = 0;
    *m = (struct fuzz_message){.status = H1_INCOMPLETE, .step = H1_MORE, .out = evbuffer_new()};
    must(in && m->out, "the fuzzer is out of memory");
    for (size_t at = 0; at < n && m->status <= 0 && m->step == H1_MORE; at += piece) {
        size_t more = n - at < piece ? n - at : piece;
        evbuffer_add(in, bytes + at, more);
        if (m->status == H1_INCOMPLETE) {
            m->status = h1_head_take(&m->head, kind, in, FUZZ_MAX_HEAD, &seen, &reason);
            must((m->status > 0) == (reason != NULL) && m->status < 600,
                 "refused without a reason");
            if (m->status == 0) h1_body_begin(&body, &m->head, headless);
        }
        if (m->status == 0) m->step = h1_body_read(&body, in, m->out);
        m->left = evbuffer_get_length(in) + (n - at - more);
    }
    if (m->status == 0 && m->step == H1_MORE && h1_body_closed(&body) == H1_DONE) m->step = H1_DONE;
    evbuffer_free(in);
}

static void check_head(const struct h1_head *h) {
    if (h->kind == H1_REQUEST) {
        must(h->path && (*h->path == '/' || strcmp(h->path, "*") == 0), "no path");
        must(h->length >= 0, "a request that ends with the connection");
    } else {
        must(h->status >= 200 && h->status < 600, "a status that is none");
    }
    must(!(h->chunked && h->length > 0), "a body of two lengths");
    must(!(h->chunked && h->old), "chunks in HTTP/1.0");
    must(h->n_headers <= H1_MAX_HEADERS, "too many headers");
    if (h1_wants_upgrade(h, "websocket"))
        must(h1_find_header(h, "upgrade") && h1_find_header(h, "connection"), "out of nothing");
    for (size_t i = 0; i < h->n_headers; i++) {
        const struct h1_header *f = &h->headers[i];
        must(*f->name && !strpbrk(f->name, " \t\r\n:"), "a name that is none");
        must(!strpbrk(f->value, "\r\n"), "a value with lines");
        must(h1_find_header(h, f->name) != NULL, "a header that isn't found");
    }
}

static bool equal(struct evbuffer *a, struct evbuffer *b) {
    size_t n = evbuffer_get_length(a);
    if (n != evbuffer_get_length(b)) return false;
    return !n || !memcmp(evbuffer_pullup(a, -1), evbuffer_pullup(b, -1), n);
}

static void message_free(struct fuzz_message *m) {
    h1_head_free(&m->head);
    evbuffer_free(m->out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2) return 0;
    const char *bytes = (const char *)data + 1;
    enum h1_kind kind = data[0] & 1 ? H1_RESPONSE : H1_REQUEST;
    bool headless = kind == H1_RESPONSE && data[0] & 2;
    struct fuzz_message whole, pieces;
    read_message(&whole, bytes, size - 1, size - 1, kind, headless);
    read_message(&pieces, bytes, size - 1, 1u + (data[0] >> 2), kind, headless);
    must(whole.status == pieces.status, "pieces make another head");
    must(whole.step == pieces.step, "pieces make another body");
    if (whole.step != H1_BAD) must(equal(whole.out, pieces.out), "other bytes in pieces");
    if (whole.step == H1_DONE) must(whole.left == pieces.left, "another end in pieces");
    if (whole.status == 0) check_head(&whole.head);
    message_free(&whole);
    message_free(&pieces);
    return 0;
}
