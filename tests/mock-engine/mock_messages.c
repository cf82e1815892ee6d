// SPDX-License-Identifier: Apache-2.0
// Anthropic's API: /v1/messages. As vLLM has it: an answer is called as a chat's is, and input_tokens are
// all of the prompt, the cached ones too.
#include "mock_messages.h"

#include <string.h>

#include "mock_dialect.h"
#include "mock_generation.h"
#include "mock_prompt.h"
#include "mock_reply.h"

static json_t *error_json(int status, const char *message) {
    const char *type = status == 404   ? "NotFoundError"
                       : status >= 500 ? "InternalServerError"
                                       : "BadRequestError";
    json_t *text = json_string(message);
    return json_pack("{s:s,s:{s:s,s:o}}", "type", "error", "error", "type", type, "message",
                     text ? text : json_string("not UTF-8"));
}

void mock_messages_refuse(struct h1_exchange *x, int status, const char *why) {
    mock_reply_json(x, status, error_json(status, why));
}

static const char *read(struct mock_generation *g, int *status) {
    const char *wrong;
    *status = 400;
    if (!json_is_integer(json_object_get(g->asked, "max_tokens"))) return "max_tokens is missing";
    g->body = mock_dialect_messages(g->asked, &wrong);
    return wrong;
}

// ---- Pieces --------------------------------------------------------------------------------------

// Which of the fields a block has depends on its kind; empty: as a stream begins it.
static json_t *block_of(const struct mock_part *p, bool empty) {
    json_t *text = empty ? json_string("") : mock_part_text(p);
    if (p->kind == MOCK_PART_THOUGHT)
        return json_pack("{s:s,s:o,s:s}", "type", "thinking", "thinking", text, "signature", "");
    if (p->kind == MOCK_PART_TEXT) return json_pack("{s:s,s:o}", "type", "text", "text", text);
    json_t *input = json_loadb(json_string_value(text), json_string_length(text), 0, NULL);
    json_decref(text);
    return json_pack("{s:s,s:s,s:s,s:o}", "type", "tool_use", "id", p->call_id, "name", "lookup",
                     "input", input ? input : json_object());
}

// vLLM has no word for an answer that was aborted.
static json_t *stop_reason(const struct mock_choice *c) {
    static const char *const reasons[][2] = {
        {"stop", "end_turn"}, {"length", "max_tokens"}, {"tool_calls", "tool_use"}};
    for (size_t i = 0; i < sizeof reasons / sizeof *reasons; i++)
        if (strcmp(reasons[i][0], c->finish) == 0) return json_string(reasons[i][1]);
    return json_null();
}

static json_t *usage(const struct mock_generation *g) {
    return json_pack("{s:I,s:I,s:I,s:I}", "input_tokens", (json_int_t)g->prompt.n, "output_tokens",
                     (json_int_t)mock_answer_tokens(g), "cache_creation_input_tokens",
                     (json_int_t)0, "cache_read_input_tokens", (json_int_t)mock_cached_tokens(g));
}

static json_t *message(const struct mock_generation *g, json_t *content, json_t *stop,
                       json_t *used) {
    return json_pack("{s:s,s:s,s:s,s:o,s:s,s:o,s:n,s:o}", "id", g->id, "type", "message", "role",
                     "assistant", "content", content, "model", mock_model_name(g), "stop_reason",
                     stop, "stop_sequence", "usage", used);
}

// ---- Streams -------------------------------------------------------------------------------------

static void begin_block(struct mock_choice *c, size_t i) {
    mock_put_event(c->of->out, "content_block_start",
                   json_pack("{s:I,s:o}", "index", (json_int_t)i, "content_block",
                             block_of(&c->parts.all[i], true)));
}

static void add_delta(struct mock_choice *c, size_t i, json_t *delta) {
    static const char *const names[][2] = {
        [MOCK_PART_THOUGHT] = {"thinking_delta", "thinking"},
        [MOCK_PART_TEXT] = {"text_delta", "text"},
        [MOCK_PART_CALL] = {"input_json_delta", "partial_json"},
    };
    const char *const *name = names[c->parts.all[i].kind];
    mock_put_event(c->of->out, "content_block_delta",
                   json_pack("{s:I,s:{s:s,s:o}}", "index", (json_int_t)i, "delta", "type", name[0],
                             name[1], delta));
}

static void end_block(struct mock_choice *c, size_t i) {
    mock_put_event(c->of->out, "content_block_stop", json_pack("{s:I}", "index", (json_int_t)i));
}

static const struct mock_part_events events = {begin_block, add_delta, end_block};

static void put_chunk(struct mock_choice *c, bool last) {
    struct mock_generation *g = c->of;
    json_t *none = json_pack("{s:I,s:I}", "input_tokens", (json_int_t)g->prompt.n, "output_tokens",
                             (json_int_t)0);
    if (!c->begun)
        mock_put_event(g->out, "message_start",
                       json_pack("{s:o}", "message",
                                 message(g, json_array(), json_null(), json_incref(none))));
    json_decref(none);
    c->begun = true;
    mock_parts_take(c, &events);
    if (last) mock_parts_end(c, &events);
}

static void put_end(struct mock_generation *g) {
    mock_put_event(g->out, "message_delta",
                   json_pack("{s:{s:o,s:n},s:o}", "delta", "stop_reason",
                             stop_reason(&g->choices[0]), "stop_sequence", "usage", usage(g)));
    mock_put_event(g->out, "message_stop", json_object());
}

static void put_error(struct mock_generation *g, int status, const char *why) {
    json_t *error = error_json(status, why);
    g->status = status;
    if (g->stream) {
        mock_put_event(g->out, "error", error);
        return;
    }
    evbuffer_drain(g->out, evbuffer_get_length(g->out));
    mock_put_json(g->out, error);
}

// ---- Whole answers -------------------------------------------------------------------------------

static void put_whole(struct mock_generation *g) {
    struct mock_choice *c = &g->choices[0];
    json_t *content = json_array();
    mock_parts_take(c, NULL);
    for (size_t i = 0; i < c->parts.n; i++)
        json_array_append_new(content, block_of(&c->parts.all[i], false));
    json_t *answer = message(g, content, stop_reason(c), usage(g));
    json_t *params = mock_leg_params(&g->leg, g->mock, g->rank, g->prompt.n);
    if (params) json_object_set_new(answer, "kv_transfer_params", params);
    mock_put_json(g->out, answer);
}

const struct mock_api mock_api_messages = {.id_kind = "chatcmpl-",
                                           .chat = true,
                                           .read = read,
                                           .chunk = put_chunk,
                                           .end = put_end,
                                           .whole = put_whole,
                                           .error = put_error,
                                           .refuse = mock_messages_refuse};

void mock_serve_count(struct mock_engine *m, struct h1_exchange *x) {
    json_t *body = mock_body_object(x);
    (void)m;
    if (!body) return;
    struct mock_tokens t = {0};
    const char *wrong;
    json_t *chat = mock_dialect_messages(body, &wrong);
    if (chat) wrong = mock_prompt_read_chat(&t, chat, false);
    if (wrong)
        mock_messages_refuse(x, 400, wrong);
    else
        mock_reply_json(x, 200, json_pack("{s:I}", "input_tokens", (json_int_t)t.n));
    mock_tokens_free(&t);
    json_decref(chat);
    json_decref(body);
}
