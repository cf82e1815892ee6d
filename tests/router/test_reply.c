// SPDX-License-Identifier: Apache-2.0
// Answers of engines: good ones cut into all pieces there are, and what is none.
#include <criterion/criterion.h>
#include <string.h>

#include "client/http1/h1_response.h"

#define HEAD "HTTP/1.1 200 OK\r\n"

struct outcome {
    enum reply_step step;
    int status;
    bool keep;
    char body[4096];
    size_t n, left;
};

// Feeds `text` in pieces of `piece` bytes.
static struct outcome feed(const char *text, size_t n, size_t piece, bool bodiless, bool closes) {
    struct reply r;
    struct outcome o = {.step = REPLY_MORE};
    struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
    reply_begin(&r, bodiless);
    for (size_t at = 0; at < n && o.step == REPLY_MORE; at += piece) {
        evbuffer_add(in, text + at, piece < n - at ? piece : n - at);
        if (!r.head.status) {
            o.step = reply_head(&r, in);
            if (o.step != REPLY_DONE) continue;
        }
        o.step = reply_body(&r, in, out);
    }
    if (o.step == REPLY_MORE && closes) o.step = r.head.status ? reply_closed(&r) : REPLY_BAD;
    o.status = r.head.status;
    o.keep = r.head.keep;
    o.n = (size_t)evbuffer_remove(out, o.body, sizeof o.body - 1);
    o.body[o.n] = 0;
    o.left = evbuffer_get_length(in);
    reply_forget(&r);
    evbuffer_free(in);
    evbuffer_free(out);
    return o;
}

static const struct {
    const char *text, *body;
    bool keep, bodiless, closes;
} good[] = {
    {HEAD "Content-Length: 5\r\n\r\nhello", "hello", true, false, false},
    {HEAD "content-length:0\r\n\r\n", "", true, false, false},
    {HEAD "Content-Length:\t 2 \r\nX: \r\n\r\nab", "ab", true, false, false},
    {"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na", "a", true, false, false},
    {HEAD "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", "abcde", true,
     false, false},
    {HEAD "Transfer-Encoding: Chunked\r\n\r\n00A\r\n0123456789\r\n0 \r\nTrailer: x\r\n\r\n",
     "0123456789", true, false, false},
    {HEAD "Connection: foo, Close\r\nContent-Length: 1\r\n\r\na", "a", false, false, false},
    {HEAD "\r\nuntil the end", "until the end", false, false, true},
    {HEAD "Content-Length: 100\r\n\r\n", "", true, true, false},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" HEAD
     "Content-Length: 1\r\n\r\na",
     "a", true, false, false},
    {"HTTP/1.1 204 No Content\r\n\r\n", "", true, false, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "a", false, false, false},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", "a", true, false,
     false},
};

Test(reply, good_answers_in_pieces_of_any_size) {
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        for (size_t piece = 1, n = strlen(good[i].text); piece <= n; piece++) {
            struct outcome o = feed(good[i].text, n, piece, good[i].bodiless, good[i].closes);
            cr_assert(o.step == REPLY_DONE, "%zu in pieces of %zu: %d", i, piece, o.step);
            cr_assert(o.keep == good[i].keep && !o.left, "%zu", i);
            cr_assert_str_eq(o.body, good[i].body, "%zu", i);
        }
}

static const char *const bad[] = {
    "HTTP/2 200 OK\r\n\r\n",
    "HTTP/1.1 99 OK\r\n\r\n",
    "HTTP/1.1 600 OK\r\n\r\n",
    "HTTP/1.12200 OK\r\n\r\n",
    "HTTP/1.1 2000K\r\n\r\n",
    "ICY 200 OK\r\n\r\n",
    "HTTP/1.1 101 Switching\r\n\r\n",
    HEAD "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    HEAD "Content-Length: 5, 5\r\n\r\nhello",
    HEAD "Content-Length: -5\r\n\r\nhello",
    HEAD "Content-Length: +5\r\n\r\nhello",
    HEAD "Content-Length: 0x5\r\n\r\nhello",
    HEAD "Content-Length:\r\n\r\nhello",
    HEAD "Content-Length: 99999999999999999999\r\n\r\nhello",
    HEAD "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    HEAD "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    HEAD "X: a\r\n folded\r\n\r\n",
    HEAD "X : a\r\n\r\n",
    HEAD ": a\r\n\r\n",
    HEAD "no colon\r\n\r\n",
    HEAD "X: a\rb\r\n\r\n",
    HEAD "X: a\nY: b\r\n\r\n",
    HEAD "X: \x01\r\n\r\n",
    HEAD "Transfer-Encoding: chunked\r\n\r\n\r\n",
    HEAD "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    HEAD "Transfer-Encoding: chunked\r\n\r\nx\r\n",
    HEAD "Transfer-Encoding: chunked\r\n\r\n1x\r\n",
    HEAD "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    HEAD "Transfer-Encoding: chunked\r\n\r\n1\nab",
    HEAD "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
};

Test(reply, what_is_no_answer) {
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (size_t piece = 1, n = strlen(bad[i]); piece <= n; piece++) {
            struct outcome o = feed(bad[i], n, piece, false, false);
            cr_assert(o.step == REPLY_BAD, "%zu in pieces of %zu: %d", i, piece, o.step);
        }
    static const char nul[] = HEAD "X: a\0b\r\n\r\n";
    cr_assert(feed(nul, sizeof nul - 1, sizeof nul, false, false).step == REPLY_BAD);
}

// An end in the middle is only then an end when nothing said how long the body is.
Test(reply, what_is_cut_is_not_complete) {
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        for (size_t n = 0; n < strlen(good[i].text); n++) {
            if (good[i].closes && n >= sizeof HEAD + 1) break;
            struct outcome o = feed(good[i].text, n, n ? n : 1, good[i].bodiless, true);
            cr_assert(o.step == REPLY_BAD, "%zu after %zu bytes: %d", i, n, o.step);
        }
}

Test(reply, nothing_grows_without_end) {
    struct reply r;
    struct evbuffer *in = evbuffer_new(), *out = evbuffer_new();
    enum reply_step step = REPLY_MORE;
    size_t n = 0;
    reply_begin(&r, false);
    for (evbuffer_add(in, HEAD, sizeof HEAD - 1); step == REPLY_MORE; n += 5)
        evbuffer_add(in, "X: y\r\n", 6), step = reply_head(&r, in);
    cr_assert(step == REPLY_BAD && n < REPLY_MAX_HEAD * 2);
    evbuffer_drain(in, SIZE_MAX);
    reply_forget(&r);
    reply_begin(&r, false);
    evbuffer_add(in, HEAD "Transfer-Encoding: chunked\r\n\r\n", sizeof HEAD + 29);
    cr_assert(reply_head(&r, in) == REPLY_DONE);
    for (n = 0, step = REPLY_MORE; step == REPLY_MORE && n < 10000; n++)
        evbuffer_add(in, "0", 1), step = reply_body(&r, in, out);
    cr_assert(step == REPLY_BAD && n <= REPLY_MAX_LINE + 2);
    evbuffer_drain(in, SIZE_MAX);
    reply_forget(&r);
    reply_begin(&r, false);
    evbuffer_add(in, HEAD "Transfer-Encoding: chunked\r\n\r\n0\r\n", sizeof HEAD + 32);
    cr_assert(reply_head(&r, in) == REPLY_DONE);
    for (n = 0, step = REPLY_MORE; step == REPLY_MORE && n < 100000; n += 6)
        evbuffer_add(in, "X: y\r\n", 6), step = reply_body(&r, in, out);
    cr_assert(step == REPLY_BAD && n <= REPLY_MAX_HEAD + 12);
    reply_forget(&r);
    evbuffer_free(in);
    evbuffer_free(out);
}

Test(reply, headers_are_found_whatever_their_case) {
    struct reply r;
    struct evbuffer *in = evbuffer_new();
    evbuffer_add_printf(in, HEAD "Content-Type: text/event-stream \r\nContent-Length: 0\r\n\r\n");
    reply_begin(&r, false);
    cr_assert(reply_head(&r, in) == REPLY_DONE);
    cr_assert_str_eq(h1_find_header(&r.head, "content-TYPE"), "text/event-stream");
    cr_assert_null(h1_find_header(&r.head, "Content"));
    cr_assert(r.head.n_headers == 2 && r.head.length == 0 && r.head.status == 200);
    reply_forget(&r);
    evbuffer_free(in);
}
