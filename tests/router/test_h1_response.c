// SPDX-License-Identifier: Apache-2.0
// Answers of engines: good ones cut into all pieces there are, and what is none.
#include <criterion/criterion.h>
#include <string.h>

#include "client/http1/h1_parse.h"

#define RTEST_STATUS_LINE "HTTP/1.1 200 OK\r\n"

enum { RTEST_MAX_HEAD = 32768 };

struct rtest_response_outcome {
    enum h1_step step;
    int status;
    bool keep;
    char body[4096];
    size_t n, left;
};

// A response as it is being read.
struct rtest_response_reading {
    struct h1_head head;
    struct h1_body body;
    size_t seen;
    struct evbuffer *in, *out;
};

static void reading_open(struct rtest_response_reading *r) {
    *r = (struct rtest_response_reading){.in = evbuffer_new(), .out = evbuffer_new()};
}

static void reading_close(struct rtest_response_reading *r) {
    h1_head_free(&r->head);
    evbuffer_free(r->in);
    evbuffer_free(r->out);
}

static enum h1_step read_head(struct rtest_response_reading *r, bool headless) {
    const char *reason = NULL;
    int status = h1_head_take(&r->head, H1_RESPONSE, r->in, RTEST_MAX_HEAD, &r->seen, &reason);
    cr_assert_eq(status > 0, reason != NULL);
    if (status) return status == H1_INCOMPLETE ? H1_MORE : H1_BAD;
    h1_body_begin(&r->body, &r->head, headless);
    return H1_DONE;
}

// Feeds `text` in pieces of `piece` bytes.
static struct rtest_response_outcome feed(const char *text, size_t n, size_t piece, bool headless,
                                          bool closes) {
    struct rtest_response_reading r;
    struct rtest_response_outcome o = {.step = H1_MORE};
    bool headed = false;
    reading_open(&r);
    for (size_t at = 0; at < n && o.step == H1_MORE; at += piece) {
        evbuffer_add(r.in, text + at, piece < n - at ? piece : n - at);
        if (!headed) {
            o.step = read_head(&r, headless);
            if (o.step != H1_DONE) continue;
            headed = true;
        }
        o.step = h1_body_read(&r.body, r.in, r.out);
    }
    if (o.step == H1_MORE && closes) o.step = headed ? h1_body_closed(&r.body) : H1_BAD;
    o.status = r.head.status;
    o.keep = r.head.keep;
    o.n = (size_t)evbuffer_remove(r.out, o.body, sizeof o.body - 1);
    o.body[o.n] = 0;
    o.left = evbuffer_get_length(r.in);
    reading_close(&r);
    return o;
}

static const struct {
    const char *text, *body;
    bool keep, headless, closes;
} good[] = {
    {RTEST_STATUS_LINE "Content-Length: 5\r\n\r\nhello", "hello", true, false, false},
    {RTEST_STATUS_LINE "content-length:0\r\n\r\n", "", true, false, false},
    {RTEST_STATUS_LINE "Content-Length:\t 2 \r\nX: \r\n\r\nab", "ab", true, false, false},
    {"HTTP/1.1 200\r\nContent-Length: 1\r\n\r\na", "a", true, false, false},
    {RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n",
     "abcde", true, false, false},
    {RTEST_STATUS_LINE
     "Transfer-Encoding: Chunked\r\n\r\n00A\r\n0123456789\r\n0 \r\nTrailer: x\r\n\r\n",
     "0123456789", true, false, false},
    {RTEST_STATUS_LINE "Connection: foo, Close\r\nContent-Length: 1\r\n\r\na", "a", false, false,
     false},
    {RTEST_STATUS_LINE "\r\nuntil the end", "until the end", false, false, true},
    {RTEST_STATUS_LINE "Content-Length: 100\r\n\r\n", "", true, true, false},
    {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" RTEST_STATUS_LINE
     "Content-Length: 1\r\n\r\na",
     "a", true, false, false},
    {"HTTP/1.1 204 No Content\r\n\r\n", "", true, false, false},
    {"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\na", "a", false, false, false},
    {"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\na", "a", true, false,
     false},
};

Test(h1_response, good_answers_in_pieces_of_any_size) {
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        for (size_t piece = 1, n = strlen(good[i].text); piece <= n; piece++) {
            struct rtest_response_outcome o =
                feed(good[i].text, n, piece, good[i].headless, good[i].closes);
            cr_assert(o.step == H1_DONE, "%zu in pieces of %zu: %d", i, piece, o.step);
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
    RTEST_STATUS_LINE "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello",
    RTEST_STATUS_LINE "Content-Length: 5, 5\r\n\r\nhello",
    RTEST_STATUS_LINE "Content-Length: -5\r\n\r\nhello",
    RTEST_STATUS_LINE "Content-Length: +5\r\n\r\nhello",
    RTEST_STATUS_LINE "Content-Length: 0x5\r\n\r\nhello",
    RTEST_STATUS_LINE "Content-Length:\r\n\r\nhello",
    RTEST_STATUS_LINE "Content-Length: 99999999999999999999\r\n\r\nhello",
    RTEST_STATUS_LINE "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    RTEST_STATUS_LINE "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    RTEST_STATUS_LINE "X: a\r\n folded\r\n\r\n",
    RTEST_STATUS_LINE "X : a\r\n\r\n",
    RTEST_STATUS_LINE ": a\r\n\r\n",
    RTEST_STATUS_LINE "no colon\r\n\r\n",
    RTEST_STATUS_LINE "X: a\rb\r\n\r\n",
    RTEST_STATUS_LINE "X: a\nY: b\r\n\r\n",
    RTEST_STATUS_LINE "X: \x01\r\n\r\n",
    RTEST_STATUS_LINE "X: \x7f\r\n\r\n",
    "HTTP/1.1 200 O\x01K\r\n\r\n",
    "HTTP/1.1 200 O\rK\r\n\r\n",
    "\r\n" RTEST_STATUS_LINE "Content-Length: 0\r\n\r\n",
    RTEST_STATUS_LINE "Content-Length: 1000000000000000\r\n\r\n",
    RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\n\r\n000000001\r\na\r\n",
    RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\n\r\n1;\x01\r\na\r\n",
    RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\n\r\n0\r\n folded\r\n\r\n",
    RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\n\r\n\r\n",
    RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\n\r\n-1\r\n",
    RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\n\r\nx\r\n",
    RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\n\r\n1x\r\n",
    RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\n\r\n1\nab",
    RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n",
};

Test(h1_response, what_is_no_answer) {
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (size_t piece = 1, n = strlen(bad[i]); piece <= n; piece++) {
            struct rtest_response_outcome o = feed(bad[i], n, piece, false, false);
            cr_assert(o.step == H1_BAD, "%zu in pieces of %zu: %d", i, piece, o.step);
        }
    static const char nul[] = RTEST_STATUS_LINE "X: a\0b\r\n\r\n";
    cr_assert(feed(nul, sizeof nul - 1, sizeof nul, false, false).step == H1_BAD);
}

// An end in the middle is only then an end when nothing said how long the body is.
Test(h1_response, what_is_cut_is_not_complete) {
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        for (size_t n = 0; n < strlen(good[i].text); n++) {
            if (good[i].closes && n >= sizeof RTEST_STATUS_LINE + 1) break;
            struct rtest_response_outcome o =
                feed(good[i].text, n, n ? n : 1, good[i].headless, true);
            cr_assert(o.step == H1_BAD, "%zu after %zu bytes: %d", i, n, o.step);
        }
}

Test(h1_response, nothing_grows_without_end) {
    struct rtest_response_reading r;
    enum h1_step step = H1_MORE;
    size_t n = 0;
    reading_open(&r);
    for (evbuffer_add(r.in, RTEST_STATUS_LINE, sizeof RTEST_STATUS_LINE - 1); step == H1_MORE;
         n += 6)
        evbuffer_add(r.in, "X: y\r\n", 6), step = read_head(&r, false);
    cr_assert(step == H1_BAD && n <= RTEST_MAX_HEAD + 6);
    reading_close(&r);
    static const struct {
        const char *begin, *again;
        size_t most;
    } bodies[] = {
        {"", "0", 9},
        {"1;", "x", H1_MAX_EXTENSION + 1},
        {"0\r\n", "X: y\r\n", H1_MAX_TRAILERS + 6},
    };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        reading_open(&r);
        evbuffer_add_printf(r.in, RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\n\r\n%s",
                            bodies[i].begin);
        cr_assert(read_head(&r, false) == H1_DONE);
        size_t more = strlen(bodies[i].again);
        for (n = 0, step = H1_MORE; step == H1_MORE && n < 100000; n += more) {
            evbuffer_add(r.in, bodies[i].again, more);
            step = h1_body_read(&r.body, r.in, r.out);
        }
        cr_assert(step == H1_BAD && n <= bodies[i].most, "%zu: %zu", i, n);
        reading_close(&r);
    }
}

// Extensions don't add up: a stream may have some with each of its chunks.
Test(h1_response, extensions_of_many_chunks) {
    struct rtest_response_reading r;
    reading_open(&r);
    evbuffer_add_printf(r.in, RTEST_STATUS_LINE "Transfer-Encoding: chunked\r\n\r\n");
    cr_assert(read_head(&r, false) == H1_DONE);
    for (int i = 0; i < 1000; i++) {
        evbuffer_add_printf(r.in, "1 ;name=\"%0100d\"\r\na\r\n", i);
        cr_assert(h1_body_read(&r.body, r.in, r.out) == H1_MORE);
    }
    evbuffer_add(r.in, "0\r\n\r\n", 5);
    cr_assert(h1_body_read(&r.body, r.in, r.out) == H1_DONE);
    cr_assert_eq(evbuffer_get_length(r.out), 1000);
    reading_close(&r);
}

Test(h1_response, headers_are_found_whatever_their_case) {
    struct rtest_response_reading r;
    reading_open(&r);
    evbuffer_add_printf(r.in, RTEST_STATUS_LINE
                        "Content-Type: text/event-stream \r\nContent-Length: 0\r\n\r\n");
    cr_assert(read_head(&r, false) == H1_DONE);
    cr_assert_str_eq(h1_find_header(&r.head, "content-TYPE"), "text/event-stream");
    cr_assert_null(h1_find_header(&r.head, "Content"));
    cr_assert(r.head.n_headers == 2 && r.head.length == 0 && r.head.status == 200);
    reading_close(&r);
}
