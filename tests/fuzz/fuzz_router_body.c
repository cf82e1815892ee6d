// SPDX-License-Identifier: Apache-2.0
// The bodies that the router reads: the JSON of its own calls, what is taken out of the requests that it
// passes on, and engines' events on their way; on any bytes.
//
//     input   a byte, then
//             0 or 1 of it modulo 4: the body of the call that the byte chooses
//             2: the body of a request to engines, as each kind and in each way
//             3: events, in pieces of as many bytes as the byte says, and at once
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/router/ask.h"
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

static void try_call(const char *bytes, size_t n, enum ask_kind kind) {
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
    switch (data[0] % 4) {
    case 2:
        try_body(bytes, size - 1);
        break;
    case 3:
        try_stream(bytes, size - 1, 1u + (data[0] >> 2));
        break;
    default:
        try_call(bytes, size - 1, (enum ask_kind)(1 << data[0] / 4 % 4));
    }
    return 0;
}
