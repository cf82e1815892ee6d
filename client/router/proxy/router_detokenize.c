// SPDX-License-Identifier: Apache-2.0
#include "router_detokenize.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "client/http1/h1_buffer.h"
#include "client/router/prompt/router_json.h"
#include "router_kept.h"
#include "router_request.h"

enum {
    DETOKENIZE_MAX_RESPONSE = 1 << 20,
    DETOKENIZE_HEAD_MS = 5000,
    DETOKENIZE_ALL_MS = 10000,
};

bool router_detokenize_is_due(const struct router_request *r) {
    const struct router_kept *k = r->kept;
    return k && k->by && router_request_goes_on(r) && router_kept_is_unsure(k);
}

static struct evbuffer *question_of(const struct router_request *r) {
    const struct router_kept *k = r->kept;
    size_t from = router_kept_tail(k);
    json_t *model = r->model ? json_string(r->model) : NULL;
    char *name = model ? json_dumps(model, JSON_ENCODE_ANY) : NULL;
    struct evbuffer *out = evbuffer_new();
    json_decref(model);
    bool good = out && evbuffer_add_printf(out, "{%s%s%s\"tokens\":[", name ? "\"model\":" : "",
                                           name ? name : "", name ? "," : "") > 0;
    free(name);
    for (size_t i = from; good && i < k->n_sent; i++)
        good = evbuffer_add_printf(out, i > from ? ",%" PRIu32 : "%" PRIu32, k->ids[i]) > 0;
    if (good && evbuffer_add(out, "]}", 2) == 0) return out;
    if (out) evbuffer_free(out);
    return NULL;
}

static void forget(struct router_request *r) {
    if (r->response) evbuffer_free(r->response);
    r->response = NULL;
    r->reply = NULL;
}

static void on_head(void *ctx, const struct h1_head *reply) {
    ((struct router_request *)ctx)->reply = reply;
}

static void on_data(void *ctx, struct evbuffer *bytes) {
    struct router_request *r = ctx;
    size_t n = evbuffer_get_length(bytes);
    if (evbuffer_get_length(r->response) + n <= DETOKENIZE_MAX_RESPONSE)
        h1_buffer_move(bytes, r->response, n);
}

static enum router_detokenized read_answer(struct router_request *r, bool *again) {
    char why[100];
    if (r->reply->status != 200) return ROUTER_DETOKENIZED_NOT;
    json_t *told = router_json_parse(r->response, why, sizeof why);
    const json_t *text = json_object_get(told, "prompt");
    if (!text) text = json_object_get(told, "text");
    bool good = json_is_string(text) && router_kept_settle(r->kept, json_string_value(text),
                                                           json_string_length(text), again);
    json_decref(told);
    return good ? ROUTER_DETOKENIZED_WELL : ROUTER_DETOKENIZED_NOT;
}

static void on_end(void *ctx) {
    struct router_request *r = ctx;
    bool again = false;
    enum router_detokenized how = read_answer(r, &again);
    r->call = NULL;
    forget(r);
    if (again)
        router_detokenize_ask(r, r->detokenized);
    else
        r->detokenized(r, how, H1_RESET);
}

static void on_failed(void *ctx, enum h1_failure why) {
    struct router_request *r = ctx;
    r->call = NULL;
    forget(r);
    r->detokenized(r, ROUTER_DETOKENIZED_FAILED, why);
}

void router_detokenize_ask(struct router_request *r,
                           void (*answered)(struct router_request *r, enum router_detokenized how,
                                            enum h1_failure failure)) {
    static const struct h1_callbacks port = {on_head, on_data, on_end, on_failed};
    struct evbuffer *question = question_of(r);
    bool wrong = false;
    r->detokenized = answered;
    forget(r);
    r->response = evbuffer_new();
    struct h1_request request = {.address = r->address,
                                 .method = "POST",
                                 .path = "/detokenize",
                                 .headers = r->headers,
                                 .body = question,
                                 .fresh = r->fresh,
                                 .head_ms = DETOKENIZE_HEAD_MS,
                                 .all_ms = DETOKENIZE_ALL_MS};
    if (question && r->response)
        r->call = h1_call_start(r->proxy->router->upstream, &request, &port, r, &wrong);
    if (question) evbuffer_free(question);
    if (!r->call) answered(r, ROUTER_DETOKENIZED_NO_MEMORY, H1_LOCAL);
}
