// SPDX-License-Identifier: Apache-2.0
// Chunks and whole answers as JSON, and what ends a stream.
//
// Everything in an answer is a function of the prompt, the ids and times of it too, so that two
// answers to one prompt are the same bytes; only usage tells how much was cached. Fields that only
// some requests ask for are there in no other answer.
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "mock_generation.h"
#include "mock_life.h"
#include "mock_reply.h"

// ---- Pieces --------------------------------------------------------------------------------------

// A JSON string, without its quotation marks, of what is taken out of `text`.
static void put_escaped(struct evbuffer *out, struct evbuffer *text) {
    size_t n = evbuffer_get_length(text);
    const unsigned char *bytes = n ? evbuffer_pullup(text, -1) : NULL;
    for (size_t i = 0, from = 0; i <= n; i++) {
        bool plain = i < n && bytes[i] >= 0x20 && bytes[i] != '"' && bytes[i] != '\\';
        if (plain) continue;
        if (i > from) evbuffer_add(out, bytes + from, i - from);
        from = i + 1;
        if (i == n) break;
        if (bytes[i] == '\n')
            evbuffer_add_printf(out, "\\n");
        else if (bytes[i] < 0x20)
            evbuffer_add_printf(out, "\\u%04x", bytes[i]);
        else
            evbuffer_add_printf(out, "\\%c", bytes[i]);
    }
    evbuffer_drain(text, n);
}

static void put_text(struct evbuffer *out, const char *before, struct evbuffer *text) {
    evbuffer_add(out, before, strlen(before));
    evbuffer_add(out, "\"", 1);
    put_escaped(out, text);
    evbuffer_add(out, "\"", 1);
}

static void put_list(struct evbuffer *out, const char *name, struct evbuffer *items) {
    evbuffer_add_printf(out, ",\"%s\":[", name);
    evbuffer_add_buffer(out, items);
    evbuffer_add_printf(out, "]");
}

static void put_json(struct evbuffer *out, const char *name, json_t *value) {
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY) : NULL;
    evbuffer_add_printf(out, ",\"%s\":%s", name, text ? text : "null");
    free(text);
    json_decref(value);
}

static void put_prompt_ids(struct evbuffer *out, const struct mock_generation *g) {
    evbuffer_add_printf(out, ",\"prompt_token_ids\":[");
    for (size_t i = 0; i < g->prompt.n; i++)
        evbuffer_add_printf(out, i ? ",%" PRIu32 : "%" PRIu32, g->prompt.ids[i]);
    evbuffer_add_printf(out, "]");
}

static void put_usage(struct evbuffer *out, const struct mock_generation *g) {
    uint64_t n = mock_answer_tokens(g);
    evbuffer_add_printf(out,
                        "\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%" PRIu64
                        ",\"total_tokens\":%" PRIu64
                        ",\"prompt_tokens_details\":{\"cached_tokens\":%zu}}",
                        g->prompt.n, n, g->prompt.n + n, mock_cached_tokens(g));
}

static void put_head(struct evbuffer *out, const struct mock_generation *g) {
    static const char *const objects[2][2] = {{"text_completion", "text_completion"},
                                              {"chat.completion", "chat.completion.chunk"}};
    evbuffer_add_printf(
        out, "{\"id\":\"%s\",\"object\":\"%s\",\"created\":%d,\"model\":%s,\"choices\":[", g->id,
        objects[g->chat][g->stream], MOCK_CREATED_AT, g->model);
}

// ---- Logprobs ------------------------------------------------------------------------------------

// Each token's text, as a JSON string with quotation marks; bytes that are no character as one that says so.
static void put_token(struct evbuffer *out, const char *text, size_t len) {
    json_t *s = json_stringn(text, len);
    if (!s) s = json_string("\xef\xbf\xbd");
    char *dump = json_dumps(s, JSON_ENCODE_ANY);
    evbuffer_add_printf(out, "%s", dump ? dump : "\"\"");
    free(dump);
    json_decref(s);
}

static void put_chat_logprobs(struct evbuffer *out, const char *tokens, char *values, size_t n) {
    evbuffer_add_printf(out, "{\"content\":[");
    for (size_t i = 0; i < n; i++, tokens += strlen(tokens) + 1) {
        evbuffer_add_printf(out, i ? ",{\"token\":" : "{\"token\":");
        put_token(out, tokens, strlen(tokens));
        evbuffer_add_printf(out, ",\"logprob\":%.3f,\"bytes\":[", strtod(values, &values));
        for (size_t k = 0; tokens[k]; k++)
            evbuffer_add_printf(out, k ? ",%d" : "%d", (unsigned char)tokens[k]);
        evbuffer_add_printf(out, "],\"top_logprobs\":[]}");
        values += *values == ',';
    }
    evbuffer_add_printf(out, "]}");
}

// As put_token shows it.
static size_t characters(const char *text) {
    size_t len = strlen(text), n = 0;
    json_t *good = json_stringn(text, len);
    if (!good) return 1;
    json_decref(good);
    for (size_t i = 0; i < len; i++)
        n += ((unsigned char)text[i] & 0xc0) != 0x80;
    return n;
}

// text_offset counts from the beginning of this answer, whatever came before it elsewhere.
static void put_plain_logprobs(struct mock_choice *c, struct evbuffer *out, const char *tokens,
                               const char *values, size_t n) {
    const char *t = tokens;
    evbuffer_add_printf(out, "{\"text_offset\":[");
    for (size_t i = 0; i < n; i++, t += strlen(t) + 1) {
        evbuffer_add_printf(out, i ? ",%zu" : "%zu", c->text_offset);
        c->text_offset += characters(t);
    }
    evbuffer_add_printf(out, "],\"token_logprobs\":[%s],\"tokens\":[", values);
    t = tokens;
    for (size_t i = 0; i < n; i++, t += strlen(t) + 1) {
        if (i) evbuffer_add_printf(out, ",");
        put_token(out, t, strlen(t));
    }
    evbuffer_add_printf(out, "],\"top_logprobs\":null}");
}

static void put_logprobs(struct mock_choice *c, struct evbuffer *out) {
    evbuffer_add_printf(out, ",\"logprobs\":");
    if (!c->of->logprobs || !c->n_pending) {
        evbuffer_add_printf(out, "null");
        return;
    }
    evbuffer_add(c->logprobs, "", 1);
    const char *tokens = (const char *)evbuffer_pullup(c->tokens, -1);
    char *values = (char *)evbuffer_pullup(c->logprobs, -1);
    if (c->of->chat)
        put_chat_logprobs(out, tokens, values, c->n_pending);
    else
        put_plain_logprobs(c, out, tokens, values, c->n_pending);
    evbuffer_drain(c->tokens, evbuffer_get_length(c->tokens));
    evbuffer_drain(c->logprobs, evbuffer_get_length(c->logprobs));
}

// ---- Streams -------------------------------------------------------------------------------------

// [{"index":0,"id":…,"type":"function","function":{"name":…,"arguments":…}}], the first time.
static void put_call(struct mock_choice *c, struct evbuffer *out) {
    evbuffer_add_printf(out, "\"tool_calls\":[{");
    if (c->of->stream) evbuffer_add_printf(out, "\"index\":0,");
    if (c->call_id[0]) evbuffer_add_printf(out, "\"id\":\"%s\",\"type\":\"function\",", c->call_id);
    evbuffer_add_printf(out, "\"function\":{");
    if (c->call_id[0]) evbuffer_add_printf(out, "\"name\":\"lookup\",");
    put_text(out, "\"arguments\":", c->call);
    evbuffer_add_printf(out, "}}]");
    c->call_id[0] = 0;
}

static bool has_call(const struct mock_choice *c) {
    return c->call_id[0] || evbuffer_get_length(c->call);
}

static bool has_parsers(const struct mock_generation *g) {
    return g->parses_thoughts || g->parses_calls;
}

// Without parsers there is a content even if nothing is in it.
static void put_delta(struct mock_choice *c, struct evbuffer *out) {
    const char *comma = "";
    evbuffer_add_printf(out, "{");
    if (evbuffer_get_length(c->reasoning)) {
        put_text(out, "\"reasoning\":", c->reasoning);
        comma = ",";
    }
    if (evbuffer_get_length(c->content) || !has_parsers(c->of)) {
        evbuffer_add_printf(out, "%s", comma);
        put_text(out, "\"content\":", c->content);
        comma = ",";
    }
    if (has_call(c)) {
        evbuffer_add_printf(out, "%s", comma);
        put_call(c, out);
    }
    evbuffer_add_printf(out, "}");
}

static void put_finish(struct mock_choice *c, struct evbuffer *out, bool last) {
    if (!last) {
        evbuffer_add_printf(out, ",\"finish_reason\":null");
        return;
    }
    evbuffer_add_printf(out, ",\"finish_reason\":\"%s\"", c->finish);
    if (c->stop_reason) put_json(out, "stop_reason", json_string(c->stop_reason));
}

static void put_ids(struct mock_choice *c, struct evbuffer *out) {
    if (c->of->return_ids) put_list(out, "token_ids", c->ids);
}

// The first chunk of a chat: who speaks.
static void put_role(struct mock_choice *c, struct evbuffer *out) {
    const struct mock_generation *g = c->of;
    evbuffer_add_printf(out, "data: ");
    put_head(out, g);
    evbuffer_add_printf(out,
                        "{\"index\":%zu,\"delta\":{\"role\":\"assistant\",\"content\":\"\"},"
                        "\"logprobs\":null,\"finish_reason\":null}]",
                        c->index);
    if (g->return_ids) put_prompt_ids(out, g);
    evbuffer_add_printf(out, "}\n\n");
}

static void put_chunk(struct mock_choice *c, bool last) {
    struct mock_generation *g = c->of;
    struct evbuffer *out = g->out;
    if (!c->begun && g->chat) put_role(c, out);
    if (g->hides_thoughts) evbuffer_drain(c->reasoning, evbuffer_get_length(c->reasoning));
    bool text = evbuffer_get_length(c->content) || evbuffer_get_length(c->reasoning) || has_call(c);
    bool ids = g->return_ids;
    bool first = !c->begun;
    c->begun = true;
    if (!text && !last && !ids && has_parsers(g)) return;
    evbuffer_add_printf(out, "data: ");
    put_head(out, g);
    evbuffer_add_printf(out, "{\"index\":%zu,", c->index);
    if (g->chat) {
        evbuffer_add_printf(out, "\"delta\":");
        put_delta(c, out);
    } else {
        put_text(out, "\"text\":", c->content);
    }
    put_logprobs(c, out);
    c->n_pending = 0;
    put_finish(c, out, last);
    put_ids(c, out);
    if (first && !g->chat && ids) put_prompt_ids(out, g);
    evbuffer_add_printf(out, "}]");
    if (g->continuous) {
        evbuffer_add_printf(out, ",");
        put_usage(out, g);
    }
    evbuffer_add_printf(out, "}\n\n");
}

static void put_end(struct mock_generation *g) {
    if (g->usage) {
        evbuffer_add_printf(g->out, "data: ");
        put_head(g->out, g);
        evbuffer_add_printf(g->out, "],");
        const char *fingerprint = g->mock->options->fingerprint;
        if (fingerprint) evbuffer_add_printf(g->out, "\"system_fingerprint\":\"%s\",", fingerprint);
        put_usage(g->out, g);
        evbuffer_add_printf(g->out, "}\n\n");
    }
    mock_put_done(g);
}

void mock_put_done(struct mock_generation *g) {
    evbuffer_add_printf(g->out, "data: [DONE]\n\n");
}

void mock_put_error(struct mock_generation *g, int status, const char *message) {
    json_t *text = json_string(message);
    json_t *error = json_pack(
        "{s:{s:o,s:s,s:n,s:i}}", "error", "message", text ? text : json_string(""), "type",
        status == 503 ? "ServiceUnavailableError" : "InternalServerError", "param", "code", status);
    char *dump = json_dumps(error, JSON_COMPACT);
    evbuffer_drain(g->out, g->stream ? 0 : evbuffer_get_length(g->out));
    if (g->stream)
        evbuffer_add_printf(g->out, "data: %s\n\ndata: [DONE]\n\n", dump);
    else
        evbuffer_add_printf(g->out, "%s", dump);
    g->status = status;
    free(dump);
    json_decref(error);
}

// ---- Whole answers -------------------------------------------------------------------------------

static void put_message(struct mock_choice *c, struct evbuffer *out) {
    evbuffer_add_printf(out, "\"message\":{\"role\":\"assistant\"");
    if (c->called && !evbuffer_get_length(c->content))
        evbuffer_add_printf(out, ",\"content\":null");
    else
        put_text(out, ",\"content\":", c->content);
    if (c->of->parses_thoughts && !c->of->hides_thoughts)
        put_text(out, ",\"reasoning\":", c->reasoning);
    if (c->called) {
        evbuffer_add_printf(out, ",");
        put_call(c, out);
    }
    evbuffer_add_printf(out, "}");
}

static void put_choice(struct mock_choice *c, struct evbuffer *out) {
    const struct mock_generation *g = c->of;
    evbuffer_add_printf(out, "%s{\"index\":%zu,", c->index ? "," : "", c->index);
    if (g->chat)
        put_message(c, out);
    else
        put_text(out, "\"text\":", c->content);
    put_logprobs(c, out);
    put_finish(c, out, true);
    put_ids(c, out);
    if (g->return_ids && !g->chat) put_prompt_ids(out, g);
    json_t *params = mock_leg_choice_params(&g->leg, g->mock, g->rank, c->first_token);
    if (params) put_json(out, "disaggregated_params", params);
    evbuffer_add_printf(out, "}");
}

static void put_whole(struct mock_generation *g) {
    struct evbuffer *out = g->out;
    bool context = g->leg.side == MOCK_LEG_PREFILL && g->mock->options->kv == MOCK_KV_TRTLLM;
    put_head(out, g);
    for (size_t i = 0; i < g->n_choices; i++)
        put_choice(&g->choices[i], out);
    evbuffer_add_printf(out, "],");
    put_usage(out, g);
    if ((g->return_ids && g->chat) || context) put_prompt_ids(out, g);
    if (g->mock->options->kv && !mock_is_sglang(g->mock) && !context)
        put_json(out, "kv_transfer_params",
                 mock_leg_params(&g->leg, g->mock, g->rank, g->prompt.n));
    evbuffer_add_printf(out, "}");
}

// ---- What they are -------------------------------------------------------------------------------

void mock_refuse(struct h1_exchange *x, int status, const char *why) {
    mock_reply_error(x, status, "%s", why);
}

const struct mock_api mock_api_completion = {.id_kind = "cmpl-",
                                             .chunk = put_chunk,
                                             .end = put_end,
                                             .whole = put_whole,
                                             .error = mock_put_error,
                                             .refuse = mock_refuse};
const struct mock_api mock_api_chat = {.id_kind = "chatcmpl-",
                                       .chat = true,
                                       .chunk = put_chunk,
                                       .end = put_end,
                                       .whole = put_whole,
                                       .error = mock_put_error,
                                       .refuse = mock_refuse};
