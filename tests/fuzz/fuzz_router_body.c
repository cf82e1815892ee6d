// SPDX-License-Identifier: Apache-2.0
// The bodies that the router reads: the JSON of its own calls, what is taken out of the requests that it
// passes on, and engines' events on their way; on any bytes.
//
//     input   a byte, then
//             0 or 1 of it modulo 4: the body of the call that the byte chooses
//             2: the body of a request to engines, as each kind and in each way, and as a form
//             3: events, in pieces of as many bytes as the byte says, and at once; it chooses their form, too
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/router/api/router_advice_body.h"
#include "client/router/prompt/router_form.h"
#include "client/router/prompt/router_loose_json.h"
#include "client/router/prompt/router_prompt.h"
#include "client/router/proxy/router_stream.h"
#include "fuzz_target.h"

static bool equal(struct evbuffer *a, struct evbuffer *b) {
    size_t n = evbuffer_get_length(a);
    if (n != evbuffer_get_length(b)) return false;
    return !n || !memcmp(evbuffer_pullup(a, -1), evbuffer_pullup(b, -1), n);
}

static void try_call(const char *bytes, size_t n, enum router_advice_kind kind) {
    struct evbuffer *body = evbuffer_new();
    char why[160] = "";
    struct router_advice_body a;
    must(body != NULL, "the fuzzer is out of memory");
    evbuffer_add(body, bytes, n);
    bool good = router_advice_body_read(&a, kind, body, why, sizeof why);
    must(good == !*why, "refused without a reason");
    if (good) {
        must(a.request.n <= KVR_MAX_ID && a.n_hashes <= KVR_MAX_BLOCKS, "more than may be");
        must(!(a.tokens && a.hashes), "tokens and hashes");
    }
    router_advice_body_free(&a);
    evbuffer_free(body);
}

static void try_body(const char *bytes, size_t n) {
    char why[100] = "";
    struct evbuffer *in = evbuffer_new();
    evbuffer_add(in, bytes, n);
    json_t *body = router_loose_json_parse(in, why, sizeof why);
    must(body || *why, "no reason");
    for (int way = ROUTER_PROMPT_IDS; body && way <= ROUTER_PROMPT_TEXT; way++)
        for (int kind = ROUTER_PROMPT_CHAT; kind < ROUTER_PROMPT_KINDS; kind++) {
            struct router_prompt_config how = {
                .way = (enum router_prompt_way)way, .block_size = 2, .chunk = 8};
            struct router_prompt p;
            must(router_prompt_read(&p, (enum router_prompt_kind)kind, body, &how),
                 "out of memory");
            must(p.isl >= 0 && p.osl >= 0 && p.isl <= KVR_MAX_TOKENS, "a length that is none");
            must(!p.tokenize || way == ROUTER_PROMPT_TOKENIZE, "asked for nothing");
            if (p.tokenize) {
                struct evbuffer *q =
                    router_prompt_tokenize_request((enum router_prompt_kind)kind, body);
                must(q != NULL, "no question");
                router_prompt_is_plain((enum router_prompt_kind)kind, body);
                router_prompt_tokenize_response(&p, q, body, &how);
                evbuffer_free(q);
            }
            router_prompt_free(&p);
        }
    json_decref(body);
    evbuffer_free(in);
}

static void try_form(const char *bytes, size_t n) {
    char type[400], boundary[ROUTER_FORM_MAX_BOUNDARY + 1];
    json_t *form = router_form_read(bytes, n, "B");
    must(json_is_object(form), "a form that is none");
    must(json_string_length(json_object_get(form, "model")) <= ROUTER_FORM_MAX_VALUE, "too long");
    json_decref(form);
    snprintf(type, sizeof type, "multipart/form-data;%.*s", n < 300 ? (int)n : 300, bytes);
    must(router_form_boundary(type, boundary) == (*boundary != 0), "a boundary that is none");
}

static void try_stream(const char *bytes, size_t n, size_t step, enum router_answer_form form) {
    struct evbuffer *in = evbuffer_new(), *out = evbuffer_new(), *all = evbuffer_new();
    struct router_stream s, whole;
    router_stream_begin(&s, true, form);
    router_stream_begin(&whole, true, form);
    for (size_t at = 0; at < n; at += step) {
        evbuffer_add(in, bytes + at, n - at < step ? n - at : step);
        must(router_stream_pass(&s, in, out) && !evbuffer_get_length(in), "not passed on");
    }
    evbuffer_add(in, bytes, n);
    must(router_stream_pass(&whole, in, all), "not passed on");
    must(n > ROUTER_STREAM_MAX_HELD || s.n_events == whole.n_events, "pieces make other events");
    router_stream_end(&s, out);
    router_stream_end(&whole, all);
    must(equal(out, all) && evbuffer_get_length(out) == n, "not the same bytes");
    must(router_stream_tokens(&s) >= 0, "tokens that are none");
    router_stream_break(&s, out, "CODE", "message");
    router_stream_free(&s);
    router_stream_free(&whole);
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
        try_form(bytes, size - 1);
        break;
    case 3:
        try_stream(bytes, size - 1, 1u + (data[0] >> 2),
                   (enum router_answer_form)(data[0] / 4 % 3));
        break;
    default:
        try_call(bytes, size - 1, (enum router_advice_kind)(1 << data[0] / 4 % 4));
    }
    return 0;
}
