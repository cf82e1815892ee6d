// SPDX-License-Identifier: Apache-2.0
// The token ids that a request's prompt becomes; see mock_render.h.
#include "mock_render.h"

#include <inttypes.h>

#include "mock_dialect.h"
#include "mock_prompt.h"
#include "mock_reply.h"

static json_t *ids_of(const struct mock_tokens *t) {
    json_t *ids = json_array();
    for (size_t i = 0; i < t->n; i++)
        json_array_append_new(ids, json_integer(t->ids[i]));
    return ids;
}

// chat: as a chat's or a completion's body.
static json_t *rendered(const struct mock_engine *m, const json_t *chat, const char *kind,
                        const struct mock_tokens *t) {
    json_t *most = json_object_get(chat, "max_tokens"), *salt = json_object_get(chat, "cache_salt");
    json_t *params = json_object();
    // What the request doesn't say isn't told either.
    if (json_is_integer(most)) json_object_set(params, "max_tokens", most);
    return json_pack("{s:o,s:o,s:n,s:o,s:s,s:n,s:b,s:O?,s:n}", "request_id",
                     json_sprintf("%s%016" PRIx64, kind, mock_answer_seed(t)), "token_ids",
                     ids_of(t), "features", "sampling_params", params, "model", m->options->model,
                     "reasoning_ended", "stream", json_is_true(json_object_get(chat, "stream")),
                     "cache_salt", salt, "kv_transfer_params");
}

typedef json_t *render_dialect(const json_t *body, const char **wrong);

static void answer(struct mock_engine *m, struct h1_exchange *x, json_t *chat, const char *wrong,
                   const char *kind) {
    struct mock_tokens t = {0};
    bool completion = chat && json_object_get(chat, "prompt");
    bool responses = kind[0] == 'r';
    if (!wrong && completion)
        wrong = mock_prompt_read(&t, json_object_get(chat, "prompt"));
    else if (!wrong)
        wrong = mock_prompt_read_chat(&t, chat, responses);
    json_t *one = wrong ? NULL : rendered(m, chat, kind, &t);
    if (wrong)
        mock_reply_error(x, 400, "%s", wrong);
    else
        mock_reply_json(x, 200, completion ? json_pack("[o]", one) : one);
    mock_tokens_free(&t);
}

static void serve(struct mock_engine *m, struct h1_exchange *x, render_dialect *dialect,
                  const char *kind) {
    if (!m->options->renders) {
        mock_reply_json(x, 403,
                        json_pack("{s:{s:s,s:s,s:n,s:i}}", "error", "message",
                                  "rendering is off: --render", "type", "PermissionDeniedError",
                                  "param", "code", 403));
        return;
    }
    const char *wrong = NULL;
    json_t *body = mock_body_object(x);
    if (!body) return;
    json_t *chat = dialect ? dialect(body, &wrong) : json_incref(body);
    answer(m, x, chat, wrong, kind);
    json_decref(chat);
    json_decref(body);
}

void mock_serve_render_completion(struct mock_engine *m, struct h1_exchange *x) {
    serve(m, x, NULL, "cmpl-");
}

void mock_serve_render_chat(struct mock_engine *m, struct h1_exchange *x) {
    serve(m, x, NULL, "chatcmpl-");
}

static json_t *first_turn(const json_t *body, const char **wrong) {
    const json_t *before = json_object_get(body, "previous_response_id");
    if (!before || json_is_null(before)) return mock_dialect_responses(body, NULL, wrong);
    *wrong = "previous_response_id isn't rendered";
    return NULL;
}

void mock_serve_render_responses(struct mock_engine *m, struct h1_exchange *x) {
    serve(m, x, first_turn, "resp_");
}

void mock_serve_render_messages(struct mock_engine *m, struct h1_exchange *x) {
    serve(m, x, mock_dialect_messages, "chatcmpl-");
}
