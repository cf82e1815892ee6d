// SPDX-License-Identifier: Apache-2.0
// What the router reads of engines: heads, bodies in every form, events on their way, and what
// is taken out of a request's body.
//
//   input   a byte, then
//           0 or 1 of it modulo 4: an answer, which comes in pieces of as many bytes, and at once
//           2: the body of a request, as each kind and in each way
//           3: events, in pieces and at once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/http1/h1_response.h"
#include "client/router/prompt.h"
#include "client/router/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void must(bool good, const char *what) {
    if (good) return;
    fprintf(stderr, "%s\n", what);
    abort();
}

static bool equal(struct evbuffer *a, struct evbuffer *b) {
    size_t n = evbuffer_get_length(a);
    if (n != evbuffer_get_length(b)) return false;
    return !n || !memcmp(evbuffer_pullup(a, -1), evbuffer_pullup(b, -1), n);
}

// What an answer comes out as, read `step` bytes at a time.
static enum reply_step read_reply(const char *bytes, size_t n, size_t step, struct evbuffer *out,
                                  int *status) {
    struct evbuffer *in = evbuffer_new();
    struct reply r;
    enum reply_step s = REPLY_MORE;
    reply_begin(&r, false);
    for (size_t at = 0; at < n && s == REPLY_MORE; at += step) {
        evbuffer_add(in, bytes + at, n - at < step ? n - at : step);
        if (!r.head.status) s = reply_head(&r, in);
        if (r.head.status && s != REPLY_BAD) s = reply_body(&r, in, out);
    }
    *status = r.head.status;
    for (size_t i = 0; i < r.head.n_headers; i++)
        must(!strpbrk(r.head.headers[i].value, "\r\n") && *r.head.headers[i].name,
             "a header that is none");
    if (s == REPLY_MORE && r.head.status)
        s = reply_closed(&r) == REPLY_DONE ? REPLY_DONE : REPLY_MORE;
    reply_forget(&r);
    evbuffer_free(in);
    return s;
}

static void try_reply(const char *bytes, size_t n, size_t step) {
    struct evbuffer *a = evbuffer_new(), *b = evbuffer_new();
    int status, other;
    enum reply_step one = read_reply(bytes, n, step, a, &status);
    enum reply_step two = read_reply(bytes, n, n ? n : 1, b, &other);
    // A head that is too long is seen sooner when it comes in pieces.
    if (n <= REPLY_MAX_HEAD) {
        must(one == two && status == other, "pieces make another answer");
        if (one != REPLY_BAD) must(equal(a, b), "pieces make another body");
    }
    evbuffer_free(a);
    evbuffer_free(b);
}

static void try_body(const char *bytes, size_t n) {
    char why[100] = "";
    struct evbuffer *in = evbuffer_new();
    evbuffer_add(in, bytes, n);
    json_t *body = prompt_parse(in, why, sizeof why);
    must(body || *why, "no reason");
    for (int way = PROMPT_IDS; body && way <= PROMPT_TEXT; way++)
        for (int kind = PROMPT_CHAT; kind <= PROMPT_EMBEDDING; kind++) {
            struct prompt_how how = {.way = (enum prompt_way)way, .block_size = 2, .chunk = 8};
            struct prompt p;
            must(prompt_read(&p, (enum prompt_kind)kind, body, &how), "out of memory");
            must(p.isl >= 0 && p.osl >= 0 && p.isl <= KVR_MAX_TOKENS, "a length that is none");
            must(!p.untold || way == PROMPT_TOKENIZE, "asked for nothing");
            if (p.untold) {
                struct evbuffer *q = prompt_question((enum prompt_kind)kind, body);
                must(q != NULL, "no question");
                prompt_told(&p, q, body, &how);
                evbuffer_free(q);
            }
            prompt_free(&p);
        }
    json_decref(body);
    evbuffer_free(in);
}

static void try_stream(const char *bytes, size_t n, size_t step) {
    struct evbuffer *in = evbuffer_new(), *out = evbuffer_new(), *all = evbuffer_new();
    struct stream s, whole;
    stream_begin(&s, true);
    stream_begin(&whole, true);
    for (size_t at = 0; at < n; at += step) {
        evbuffer_add(in, bytes + at, n - at < step ? n - at : step);
        must(stream_pass(&s, in, out) && !evbuffer_get_length(in), "not passed on");
    }
    evbuffer_add(in, bytes, n);
    must(stream_pass(&whole, in, all), "not passed on");
    must(n > STREAM_HOLD || s.n_events == whole.n_events, "pieces make other events");
    stream_end(&s, out);
    stream_end(&whole, all);
    must(equal(out, all) && evbuffer_get_length(out) == n, "not the same bytes");
    must(stream_tokens(&s) >= 0, "tokens that are none");
    stream_break(&s, out, "CODE", "message");
    stream_free(&s);
    stream_free(&whole);
    evbuffer_free(in);
    evbuffer_free(out);
    evbuffer_free(all);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    const char *bytes = (const char *)data + 1;
    size_t step = 1u + (data[0] >> 2);
    switch (data[0] % 4) {
    case 2:
        try_body(bytes, size - 1);
        break;
    case 3:
        try_stream(bytes, size - 1, step);
        break;
    default:
        try_reply(bytes, size - 1, step);
    }
    return 0;
}
