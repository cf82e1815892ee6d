// SPDX-License-Identifier: Apache-2.0
// OpenAI's responses: /v1/responses. As vLLM has it, the last event is response.completed also of an answer
// that max_output_tokens cut. With --responses-store they are kept for the next turn, in this process only.
#include <inttypes.h>
#include <string.h>

#include "mock_dialect.h"
#include "mock_generation.h"
#include "mock_kept.h"
#include "mock_life.h"
#include "mock_reply.h"

static const char *read(struct mock_generation *g, int *status) {
    const json_t *before = json_object_get(g->asked, "previous_response_id");
    const json_t *earlier = NULL;
    const char *wrong;
    *status = 400;
    g->in_background = json_is_true(json_object_get(g->asked, "background"));
    if (g->in_background && !g->mock->options->keeps_responses)
        return "background isn't supported without a store";
    if (g->in_background && json_is_true(json_object_get(g->asked, "stream")))
        return "a stream in the background isn't known here";
    if (before && !json_is_null(before)) {
        *status = 404;
        earlier = mock_kept_messages(g->mock, json_string_value(before));
        if (!earlier) return "no response of this previous_response_id";
        *status = 400;
    }
    g->body = mock_dialect_responses(g->asked, earlier, &wrong);
    return wrong;
}

// ---- Pieces --------------------------------------------------------------------------------------

static json_t *item_id(const struct mock_choice *c, size_t i) {
    static const char *const kinds[] = {
        [MOCK_PART_THOUGHT] = "rs", [MOCK_PART_TEXT] = "msg", [MOCK_PART_CALL] = "fc"};
    return json_sprintf("%s_%s_%zu", kinds[c->parts.all[i].kind],
                        c->of->id + strlen(c->of->api->id_kind), i);
}

static json_t *content_of(const struct mock_part *p, bool empty) {
    json_t *text = empty ? json_string("") : mock_part_text(p);
    if (p->kind == MOCK_PART_THOUGHT)
        return json_pack("{s:s,s:o}", "type", "reasoning_text", "text", text);
    return json_pack("{s:s,s:o,s:[],s:[]}", "type", "output_text", "text", text, "annotations",
                     "logprobs");
}

static json_t *item_of(const struct mock_choice *c, size_t i, bool empty) {
    const struct mock_part *p = &c->parts.all[i];
    const char *status = empty ? "in_progress" : "completed";
    if (p->kind == MOCK_PART_CALL)
        return json_pack("{s:s,s:o,s:s,s:s,s:o,s:s}", "type", "function_call", "id", item_id(c, i),
                         "call_id", p->call_id, "name", "lookup", "arguments",
                         empty ? json_string("") : mock_part_text(p), "status", status);
    json_t *content = json_array();
    if (!empty) json_array_append_new(content, content_of(p, false));
    if (p->kind == MOCK_PART_THOUGHT)
        return json_pack("{s:s,s:o,s:[],s:o,s:s}", "type", "reasoning", "id", item_id(c, i),
                         "summary", "content", content, "status", status);
    return json_pack("{s:s,s:o,s:s,s:s,s:o}", "type", "message", "id", item_id(c, i), "role",
                     "assistant", "status", status, "content", content);
}

static json_t *usage_of(const struct mock_generation *g) {
    json_int_t in = (json_int_t)g->prompt.n, out = (json_int_t)mock_answer_tokens(g);
    return json_pack("{s:I,s:{s:I},s:I,s:{s:I},s:I}", "input_tokens", in, "input_tokens_details",
                     "cached_tokens", (json_int_t)mock_cached_tokens(g), "output_tokens", out,
                     "output_tokens_details", "reasoning_tokens",
                     (json_int_t)g->choices[0].n_thought, "total_tokens", in + out);
}

// What the request says is told again, or what stands for it.
static void echo(json_t *response, const json_t *asked) {
    static const struct {
        const char *name, *usual;
    } rows[] = {{"instructions", "null"},
                {"max_output_tokens", "null"},
                {"metadata", "{}"},
                {"parallel_tool_calls", "true"},
                {"previous_response_id", "null"},
                {"reasoning", "null"},
                {"temperature", "1.0"},
                {"text", "null"},
                {"tool_choice", "\"auto\""},
                {"tools", "[]"},
                {"top_p", "1.0"},
                {"truncation", "\"disabled\""},
                {"user", "null"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        json_t *value = json_object_get(asked, rows[i].name);
        value = value ? json_incref(value) : json_loads(rows[i].usual, JSON_DECODE_ANY, NULL);
        json_object_set_new(response, rows[i].name, value);
    }
}

// over: with its output and usage; else as it begins.
static json_t *response_of(const struct mock_generation *g, bool over) {
    const struct mock_choice *c = &g->choices[0];
    bool cut = over && strcmp(c->finish, "length") == 0;
    bool aborted = over && strcmp(c->finish, "abort") == 0;
    json_t *output = json_array();
    for (size_t i = 0; over && i < c->parts.n; i++)
        json_array_append_new(output, item_of(c, i, false));
    json_t *why = cut ? json_pack("{s:s}", "reason", "max_output_tokens") : json_null();
    json_t *response =
        json_pack("{s:s,s:s,s:i,s:s,s:s,s:b,s:n,s:o,s:o,s:o}", "id", g->id, "object", "response",
                  "created_at", MOCK_CREATED_AT, "model", mock_model_name(g), "status",
                  cut       ? "incomplete"
                  : aborted ? "cancelled"
                  : over    ? "completed"
                            : "in_progress",
                  "background", g->in_background, "error", "incomplete_details", why, "output",
                  output, "usage", over ? usage_of(g) : json_null());
    echo(response, g->asked);
    json_t *params =
        over && !g->stream ? mock_leg_params(&g->leg, g->mock, g->rank, g->prompt.n) : NULL;
    if (params) json_object_set_new(response, "kv_transfer_params", params);
    return response;
}

// For the next turn: what was asked, and what was said.
static void keep(const struct mock_generation *g, json_t *response) {
    const struct mock_choice *c = &g->choices[0];
    json_t *said = json_array();
    for (size_t i = 0; i < c->parts.n; i++)
        if (c->parts.all[i].kind == MOCK_PART_TEXT)
            json_array_append_new(said, json_pack("{s:s,s:o}", "type", "text", "text",
                                                  mock_part_text(&c->parts.all[i])));
    json_t *messages = json_copy(json_object_get(g->body, "messages"));
    const json_t *first = json_array_get(messages, 0);
    if (json_is_string(json_object_get(g->asked, "instructions")) && first)
        json_array_remove(messages, 0);
    json_array_append_new(messages, json_pack("{s:s,s:o}", "role", "assistant", "content", said));
    if (!json_is_false(json_object_get(g->asked, "store")))
        mock_kept_add(g->mock, g->id, response, messages);
    json_decref(messages);
}

// ---- Streams -------------------------------------------------------------------------------------

static void put(struct mock_generation *g, const char *type, json_t *data) {
    json_object_set_new(data, "sequence_number", json_integer((json_int_t)g->n_events++));
    mock_put_event(g->out, type, data);
}

static void put_item(struct mock_choice *c, size_t i, bool begins) {
    put(c->of, begins ? "response.output_item.added" : "response.output_item.done",
        json_pack("{s:I,s:o}", "output_index", (json_int_t)i, "item", item_of(c, i, begins)));
}

// Where in the response a part is.
static json_t *place_of(const struct mock_choice *c, size_t i) {
    json_t *place = json_pack("{s:o,s:I}", "item_id", item_id(c, i), "output_index", (json_int_t)i);
    if (c->parts.all[i].kind != MOCK_PART_CALL)
        json_object_set_new(place, "content_index", json_integer(0));
    return place;
}

static void put_with(struct mock_choice *c, size_t i, const char *type, const char *name,
                     json_t *value) {
    json_t *data = place_of(c, i);
    json_object_set_new(data, name, value);
    put(c->of, type, data);
}

static const char *const deltas[] = {
    [MOCK_PART_THOUGHT] = "response.reasoning_text.delta",
    [MOCK_PART_TEXT] = "response.output_text.delta",
    [MOCK_PART_CALL] = "response.function_call_arguments.delta",
};
static const char *const ends[][2] = {
    [MOCK_PART_THOUGHT] = {"response.reasoning_text.done", "text"},
    [MOCK_PART_TEXT] = {"response.output_text.done", "text"},
    [MOCK_PART_CALL] = {"response.function_call_arguments.done", "arguments"},
};
static const char *const part_names[][2] = {
    [MOCK_PART_THOUGHT] = {"response.reasoning_part.added", "response.reasoning_part.done"},
    [MOCK_PART_TEXT] = {"response.content_part.added", "response.content_part.done"},
    [MOCK_PART_CALL] = {NULL, NULL},
};

static void begin_item(struct mock_choice *c, size_t i) {
    const struct mock_part *p = &c->parts.all[i];
    put_item(c, i, true);
    if (part_names[p->kind][0]) put_with(c, i, part_names[p->kind][0], "part", content_of(p, true));
}

static void add_delta(struct mock_choice *c, size_t i, json_t *delta) {
    json_t *data = place_of(c, i);
    json_object_set_new(data, "delta", delta);
    if (c->parts.all[i].kind == MOCK_PART_TEXT) json_object_set_new(data, "logprobs", json_array());
    put(c->of, deltas[c->parts.all[i].kind], data);
}

static void end_item(struct mock_choice *c, size_t i) {
    const struct mock_part *p = &c->parts.all[i];
    json_t *data = place_of(c, i);
    json_object_set_new(data, ends[p->kind][1], mock_part_text(p));
    if (p->kind == MOCK_PART_TEXT) json_object_set_new(data, "logprobs", json_array());
    if (p->kind == MOCK_PART_CALL) json_object_set_new(data, "name", json_string("lookup"));
    put(c->of, ends[p->kind][0], data);
    if (part_names[p->kind][1])
        put_with(c, i, part_names[p->kind][1], "part", content_of(p, false));
    put_item(c, i, false);
}

static const struct mock_part_events events = {begin_item, add_delta, end_item};

static void put_chunk(struct mock_choice *c, bool last) {
    struct mock_generation *g = c->of;
    if (!c->begun) {
        put(g, "response.created", json_pack("{s:o}", "response", response_of(g, false)));
        put(g, "response.in_progress", json_pack("{s:o}", "response", response_of(g, false)));
    }
    c->begun = true;
    mock_parts_take(c, &events);
    if (last) mock_parts_end(c, &events);
}

static void put_end(struct mock_generation *g) {
    json_t *response = response_of(g, true);
    keep(g, response);
    put(g, "response.completed", json_pack("{s:o}", "response", response));
}

static void put_error(struct mock_generation *g, int status, const char *why) {
    if (g->in_background) mock_kept_set_status(g->mock, g->id, "failed");
    if (!g->stream) {
        mock_put_error(g, status, why);
        return;
    }
    json_t *text = json_string(why);
    put(g, "error",
        json_pack("{s:o,s:s,s:n}", "message", text ? text : json_string(""), "code",
                  "InternalServerError", "param"));
}

// ---- Whole answers -------------------------------------------------------------------------------

static void put_whole(struct mock_generation *g) {
    mock_parts_take(&g->choices[0], NULL);
    json_t *response = response_of(g, true);
    keep(g, response);
    mock_put_json(g->out, response);
}

// What is asked for later is there from now on.
static void begin_background(struct mock_generation *g, struct h1_exchange *x) {
    json_t *response = response_of(g, false);
    mock_kept_add(g->mock, g->id, response, NULL);
    mock_reply_json(x, 200, response);
}

const struct mock_api mock_api_responses = {.id_kind = "resp_",
                                            .chat = true,
                                            .marked = true,
                                            .read = read,
                                            .chunk = put_chunk,
                                            .end = put_end,
                                            .whole = put_whole,
                                            .error = put_error,
                                            .refuse = mock_refuse,
                                            .accept = begin_background};
