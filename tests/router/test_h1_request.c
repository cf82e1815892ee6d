// SPDX-License-Identifier: Apache-2.0
// The reader of requests, alone: what is taken, what is refused, and that it makes no difference in
// which pieces the bytes come.
#include <criterion/criterion.h>
#include <string.h>

#include "client/http1/h1_parse.h"

// The status that a head gets, its bytes coming one at a time; H1_INCOMPLETE: not all of it is there.
static int read_head(struct h1_head *h, const char *bytes, size_t n) {
    const char *reason = NULL;
    struct evbuffer *in = evbuffer_new();
    size_t seen = 0;
    int status = H1_INCOMPLETE;
    h1_head_free(h);
    for (size_t i = 0; i < n && status == H1_INCOMPLETE; i++) {
        evbuffer_add(in, bytes + i, 1);
        status = h1_head_take(h, H1_REQUEST, in, 1 << 16, &seen, &reason);
    }
    cr_assert_eq(status > 0, reason != NULL);
    evbuffer_free(in);
    return status;
}

static int read_text(struct h1_head *h, const char *text) {
    return read_head(h, text, strlen(text));
}

#define RTEST_REQUEST_START "POST /v1/x HTTP/1.1\r\nHost: a\r\n"

Test(h1_request, takes) {
    struct h1_head h = {.length = 0};
    cr_assert_eq(read_text(&h, "GET /a/b?c=%20d HTTP/1.1\r\nHost: a\r\nX-Y:  z \t\r\nE:\r\n\r\n"),
                 0);
    cr_assert_eq(h.method, H1_GET);
    cr_assert_str_eq(h.path, "/a/b");
    cr_assert_str_eq(h.query, "c=%20d");
    cr_assert_str_eq(h1_find_header(&h, "x-y"), "z");
    cr_assert_str_eq(h1_find_header(&h, "e"), "");
    cr_assert_null(h1_find_header(&h, "x"));
    cr_assert(h.keep && !h.old && !h.chunked && !h.length && !h.expects);

    cr_assert_eq(
        read_text(&h, RTEST_REQUEST_START "content-LENGTH: 12\r\nConnection: Close\r\n\r\n"), 0);
    cr_assert(h.method == H1_POST && h.length == 12 && !h.keep);
    cr_assert_eq(read_text(&h, RTEST_REQUEST_START
                           "Transfer-Encoding: Chunked\r\nExpect: 100-continue\r\n\r\n"),
                 0);
    cr_assert(h.chunked && h.expects);
    cr_assert_eq(read_text(&h, "GET / HTTP/1.0\r\nConnection: x, keep-alive\r\n\r\n"), 0);
    cr_assert(h.old && h.keep);
    cr_assert_eq(read_text(&h, "GET / HTTP/1.0\r\n\r\n"), 0);
    cr_assert(!h.keep);
    cr_assert_eq(read_text(&h, "GET http://a:80/b HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    cr_assert_str_eq(h.path, "/b");
    cr_assert_eq(read_text(&h, "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    cr_assert_eq(read_text(&h, "BREW / HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
    cr_assert_eq(h.method, H1_OTHER);
    cr_assert_eq(read_text(&h, RTEST_REQUEST_START "Content-Length: 999999999999999\r\n\r\n"), 0);
    cr_assert_eq(h.length, 999999999999999);
    h1_head_free(&h);
}

Test(h1_request, waits_for_the_rest) {
    struct h1_head h = {.length = 0};
    static const char head[] = RTEST_REQUEST_START "Content-Length: 12\r\n\r\n";
    for (size_t n = 0; n < sizeof head - 1; n++)
        cr_assert_eq(read_head(&h, head, n), H1_INCOMPLETE);
    h1_head_free(&h);
}

Test(h1_request, refuses) {
    static const struct {
        const char *head;
        int status;
    } heads[] = {
        // Lines
        {"GET / HTTP/1.1\nHost: a\n\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\n\n", 400},
        {"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/1.1\rHost: a\r\n\r\n", 400},
        {RTEST_REQUEST_START "X: a\rContent-Length: 1\r\n\r\n", 400},
        {RTEST_REQUEST_START " folded: 1\r\n\r\n", 400},
        {RTEST_REQUEST_START "X: a\r\n\tb\r\n\r\n", 400},
        {RTEST_REQUEST_START "X\r\n\r\n", 400},
        {RTEST_REQUEST_START ": a\r\n\r\n", 400},
        {RTEST_REQUEST_START "X : a\r\n\r\n", 400},
        {RTEST_REQUEST_START "X y: a\r\n\r\n", 400},
        {RTEST_REQUEST_START "X(: a\r\n\r\n", 400},
        {RTEST_REQUEST_START "X: a\001\r\n\r\n", 400},
        {RTEST_REQUEST_START "X: a\177\r\n\r\n", 400},
        // The request line
        {"GET  / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\r\n\r\n", 400},
        {"GET / HTTP/1.1 \r\nHost: a\r\n\r\n", 400},
        {" GET / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"G@T / HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET http://a HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET /\201 HTTP/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / http/1.1\r\nHost: a\r\n\r\n", 400},
        {"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505},
        {"GET / HTTP/1.2\r\nHost: a\r\n\r\n", 505},
        {"PRI * HTTP/2.0\r\n\r\n", 505},
        // What says how long the body is
        {RTEST_REQUEST_START "Content-Length: 1\r\nContent-Length: 1\r\n\r\n", 400},
        {RTEST_REQUEST_START "Content-Length: 1, 1\r\n\r\n", 400},
        {RTEST_REQUEST_START "Content-Length: +1\r\n\r\n", 400},
        {RTEST_REQUEST_START "Content-Length: -1\r\n\r\n", 400},
        {RTEST_REQUEST_START "Content-Length: 0x1\r\n\r\n", 400},
        {RTEST_REQUEST_START "Content-Length: 1 1\r\n\r\n", 400},
        {RTEST_REQUEST_START "Content-Length:\r\n\r\n", 400},
        {RTEST_REQUEST_START "Content-Length: 1000000000000000\r\n\r\n", 400},
        {RTEST_REQUEST_START "Content-Length: 18446744073709551617\r\n\r\n", 400},
        {RTEST_REQUEST_START "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        {RTEST_REQUEST_START "Transfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", 400},
        {RTEST_REQUEST_START "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
         400},
        {RTEST_REQUEST_START "Transfer-Encoding: chunked, chunked\r\n\r\n", 501},
        {RTEST_REQUEST_START "Transfer-Encoding: gzip, chunked\r\n\r\n", 501},
        {RTEST_REQUEST_START "Transfer-Encoding: xchunked\r\n\r\n", 501},
        {RTEST_REQUEST_START "Transfer-Encoding:\r\n\r\n", 501},
        {RTEST_REQUEST_START "Transfer-Encoding: \013chunked\r\n\r\n", 400},
        {RTEST_REQUEST_START "Transfer-Encoding : chunked\r\n\r\n", 400},
        {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
        // Who is meant
        {"GET / HTTP/1.1\r\n\r\n", 400},
        {"GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", 400},
        {RTEST_REQUEST_START "Expect: 200-ok\r\n\r\n", 417},
    };
    struct h1_head h = {.length = 0};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        int status = read_text(&h, heads[i].head);
        cr_assert_eq(status, heads[i].status, "%d for %s", status, heads[i].head);
    }
    static const char nul[] = "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n";
    cr_assert_eq(read_head(&h, nul, sizeof nul - 1), 400);
    h1_head_free(&h);
}

Test(h1_request, counts_headers) {
    static char head[16384] = "GET / HTTP/1.1\r\nHost: a\r\n";
    struct h1_head h = {.length = 0};
    for (int i = 1; i < 200; i++)
        strcat(head, "a: b\r\n");
    char *end = head + strlen(head);
    strcpy(end, "\r\n");
    cr_assert_eq(read_text(&h, head), 0);
    strcpy(end, "a: b\r\n\r\n");
    cr_assert_eq(read_text(&h, head), 431);
    h1_head_free(&h);
}

// ---- Chunks --------------------------------------------------------------------------------------

// What h1_body_read said at last, the bytes coming `step` at a time. *left: what it didn't take.
static enum h1_step read_chunks(const char *raw, size_t step, struct evbuffer *out, size_t *left) {
    struct h1_head head = {.kind = H1_REQUEST, .chunked = true};
    struct h1_body body;
    struct evbuffer *in = evbuffer_new();
    enum h1_step done = H1_MORE;
    size_t n = strlen(raw);
    h1_body_begin(&body, &head, false);
    for (size_t at = 0; at < n && done == H1_MORE; at += step) {
        evbuffer_add(in, raw + at, n - at < step ? n - at : step);
        done = h1_body_read(&body, in, out);
        if (left) *left = evbuffer_get_length(in) + (n - at > step ? n - at - step : 0);
    }
    evbuffer_free(in);
    return done;
}

Test(h1_request, puts_chunks_together) {
    static const char raw[] = "4\r\nabcd\r\n1\r\ne\r\n0000000a\r\n0123456789\r\nA\r\nABCDEFGHIJ\r\n"
                              "0\r\n\r\nGET /next";
    for (size_t step = 1; step < sizeof raw; step++) {
        struct evbuffer *out = evbuffer_new();
        size_t left = 0;
        cr_assert_eq(read_chunks(raw, step, out, &left), H1_DONE);
        cr_assert_eq(left, 9);
        cr_assert_eq(evbuffer_get_length(out), 25);
        cr_assert_eq(memcmp(evbuffer_pullup(out, -1), "abcde0123456789ABCDEFGHIJ", 25), 0);
        evbuffer_free(out);
    }
}

Test(h1_request, refuses_chunks) {
    static const char *const raws[] = {
        "\r\n",
        "x\r\n",
        "-1\r\n",
        "+1\r\n",
        "0x1\r\na\r\n",
        " 1\r\na\r\n",
        "1 \r\na\r\n",
        "1;a=b\r\nc\r\n",
        "1\na\n",
        "1\r\nab\r\n",
        "1\r\na\n",
        "000000001\r\na\r\n",
        "ffffffffffffffff1\r\na",
        "0\r\nTrailer: x\r\n\r\n",
        "0\r\n\n",
        "1\r\na\r\n\r\n",
        "0\r\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof raws / sizeof *raws; i++)
        for (size_t step = 1; step < 8; step++) {
            struct evbuffer *out = evbuffer_new();
            cr_assert_eq(read_chunks(raws[i], step, out, NULL), H1_BAD, "%s", raws[i]);
            evbuffer_free(out);
        }
}
