// SPDX-License-Identifier: Apache-2.0
// /v1/audio/transcriptions and /v1/audio/translations: forms with a file. What is heard is a function of
// the file's bytes and of the form's prompt. A second is BYTES_A_SECOND of the file.
#include <string.h>

#include "mock_form.h"
#include "mock_generation.h"
#include "mock_reply.h"

enum { BYTES_A_SECOND = 32000, HEARD_TOKENS = 24 };

static json_t *take(struct h1_exchange *x) {
    const char *wrong;
    json_t *form = mock_form_read(x, &wrong);
    if (!form) mock_reply_error(x, 400, "%s", wrong);
    return form;
}

static bool is_set(const json_t *form, const char *name) {
    const char *value = json_string_value(json_object_get(form, name));
    return value && strcmp(value, "true") == 0;
}

static const char *read(struct mock_generation *g, int *status) {
    json_t *file = json_object_get(g->asked, "file"), *text = json_object_get(g->asked, "prompt");
    *status = 400;
    if (!json_is_object(file)) return "file is missing";
    bool usage = is_set(g->asked, "stream_include_usage");
    const char *hash = json_string_value(json_object_get(file, "hash"));
    json_t *prompt = json_sprintf("audio %s %s", hash, text ? json_string_value(text) : "");
    g->body = json_pack("{s:o,s:i,s:b}", "prompt", prompt, "max_tokens", HEARD_TOKENS, "stream",
                        is_set(g->asked, "stream"));
    json_t *model = json_object_get(g->asked, "model");
    if (model) json_object_set(g->body, "model", model);
    if (usage && is_set(g->asked, "stream"))
        json_object_set_new(g->body, "stream_options", json_pack("{s:b}", "include_usage", 1));
    return NULL;
}

static json_t *usage_of(const struct mock_generation *g) {
    json_int_t n = (json_int_t)mock_answer_tokens(g), prompt = (json_int_t)g->prompt.n;
    return json_pack("{s:I,s:I,s:I}", "prompt_tokens", prompt, "completion_tokens", n,
                     "total_tokens", prompt + n);
}

static json_t *chunk_of(const struct mock_generation *g, json_t *choices) {
    bool translates = g->api == &mock_api_translation;
    return json_pack("{s:s,s:s,s:i,s:s,s:o}", "id", g->id, "object",
                     translates ? "translation.chunk" : "transcription.chunk", "created",
                     MOCK_CREATED_AT, "model", mock_model_name(g), "choices", choices);
}

static void put_data(struct evbuffer *out, json_t *chunk) {
    evbuffer_add_printf(out, "data: ");
    mock_put_json(out, chunk);
    evbuffer_add_printf(out, "\n\n");
}

static void put_chunk(struct mock_choice *c, bool last) {
    json_t *finish = last ? json_string(c->finish) : json_null();
    json_t *choice = json_pack("{s:{s:o},s:o,s:n}", "delta", "content", mock_text_json(c->content),
                               "finish_reason", finish, "stop_reason");
    evbuffer_drain(c->content, evbuffer_get_length(c->content));
    c->begun = true;
    c->n_pending = 0;
    put_data(c->of->out, chunk_of(c->of, json_pack("[o]", choice)));
}

static void put_end(struct mock_generation *g) {
    if (g->usage) {
        json_t *chunk = chunk_of(g, json_array());
        json_object_set_new(chunk, "usage", usage_of(g));
        put_data(g->out, chunk);
    }
    mock_put_done(g);
}

static void put_whole(struct mock_generation *g) {
    json_int_t bytes =
        json_integer_value(json_object_get(json_object_get(g->asked, "file"), "bytes"));
    json_t *text = mock_text_json(g->choices[0].content);
    json_t *answer = json_pack("{s:o}", "text", text);
    if (g->api == &mock_api_transcription)
        json_object_set_new(answer, "usage",
                            json_pack("{s:s,s:I}", "type", "duration", "seconds",
                                      (bytes + BYTES_A_SECOND - 1) / BYTES_A_SECOND));
    mock_put_json(g->out, answer);
}

const struct mock_api mock_api_transcription = {.id_kind = "trsc-",
                                                .take = take,
                                                .read = read,
                                                .chunk = put_chunk,
                                                .end = put_end,
                                                .whole = put_whole,
                                                .error = mock_put_error,
                                                .refuse = mock_refuse};
const struct mock_api mock_api_translation = {.id_kind = "trsl-",
                                              .take = take,
                                              .read = read,
                                              .chunk = put_chunk,
                                              .end = put_end,
                                              .whole = put_whole,
                                              .error = mock_put_error,
                                              .refuse = mock_refuse};
