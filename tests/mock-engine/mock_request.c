// SPDX-License-Identifier: Apache-2.0
// What a request for an answer says, and what an engine refuses of it.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mock_generation.h"
#include "mock_life.h"
#include "mock_memory.h"
#include "mock_prompt.h"
#include <kvroute/hash.h>

enum { DEFAULT_TOKENS = 16, DEFAULT_SPREAD = 48, MAX_UNASKED_TOKENS = 1024 };

static bool is_there(const json_t *v) {
    return v && !json_is_null(v);
}

static bool read_flag(const json_t *object, const char *name, bool *out) {
    const json_t *value = json_object_get(object, name);
    *out = json_is_true(value);
    return !value || json_is_boolean(value) || json_is_null(value);
}

static bool is_nonzero(const json_t *body, const char *name) {
    const json_t *v = json_object_get(body, name);
    return json_is_number(v) && json_number_value(v) != 0;
}

// ---- The prompt ----------------------------------------------------------------------------------

// Token ids instead of what the template makes of the messages, wherever an engine takes them.
static const json_t *ids_instead(const struct mock_generation *g) {
    const json_t *params = json_object_get(g->body, "kv_transfer_params");
    if (!g->chat) return NULL;
    if (mock_is_sglang(g->mock)) return json_object_get(g->body, "input_ids");
    if (g->mock->options->kv == MOCK_KV_TRTLLM) return json_object_get(g->body, "prompt_token_ids");
    return json_object_get(params, "prompt_token_ids");
}

static const char *read_prompt(struct mock_generation *g) {
    const json_t *ids = ids_instead(g);
    bool sglang = mock_is_sglang(g->mock);
    const char *wrong;
    if (is_there(ids) && !json_is_array(ids)) return "prompt token ids are an array";
    if (is_there(ids))
        wrong = mock_prompt_read(&g->prompt, ids);
    else if (g->chat)
        wrong = mock_prompt_read_chat(&g->prompt, g->body, g->api->marked && !sglang);
    else
        wrong = mock_prompt_read(&g->prompt, json_object_get(g->body, "prompt"));
    if (wrong) return wrong;
    if (!g->prompt.n) return "the prompt is empty";
    bool checked = is_there(ids) || g->mock->options->answers == MOCK_ANSWERS_IDS;
    for (size_t i = 0; checked && i < g->prompt.n; i++)
        if (g->prompt.ids[i] >= MOCK_VOCABULARY_END) return "a token id is out of vocabulary";
    return NULL;
}

// ---- Its length ----------------------------------------------------------------------------------

static const char *read_count(const json_t *v, const char *wrong, uint64_t least, uint64_t *out) {
    if (!is_there(v)) return NULL;
    if (!json_is_integer(v) || json_integer_value(v) < (json_int_t)least) return wrong;
    *out = (uint64_t)json_integer_value(v);
    return NULL;
}

static const char *read_length(struct mock_generation *g) {
    size_t max_model_len = g->mock->options->max_model_len;
    bool from_ids = g->mock->options->answers == MOCK_ANSWERS_IDS;
    const json_t *most = json_object_get(g->body, "max_completion_tokens");
    if (!g->chat || !is_there(most)) most = json_object_get(g->body, "max_tokens");
    if (g->prompt.n >= max_model_len) return "the prompt is longer than max_model_len";
    size_t room = max_model_len - g->prompt.n;
    const char *wrong =
        read_count(most, "max_tokens is a whole number of at least 1", 1, &g->max_tokens);
    if (!wrong)
        wrong = read_count(json_object_get(g->body, "min_tokens"), "min_tokens is a whole number",
                           0, &g->min_tokens);
    if (wrong) return wrong;
    g->finish = "length";
    if (!is_there(most)) {
        uint64_t usual = DEFAULT_TOKENS + (g->chat ? g->seed % DEFAULT_SPREAD : 0);
        if (from_ids && g->chat) usual = MAX_UNASKED_TOKENS;
        g->max_tokens = usual < room ? usual : room;
        if (g->chat && !from_ids && usual <= room) g->finish = "stop";
    } else if (g->min_tokens > g->max_tokens) {
        return "min_tokens is more than max_tokens";
    }
    return g->max_tokens > room ? "prompt and max_tokens are longer than max_model_len" : NULL;
}

// ---- What an answer by token ids depends on ------------------------------------------------------

static const char *read_stops(struct mock_generation *g) {
    const json_t *stop = json_object_get(g->body, "stop");
    bool many = json_is_array(stop);
    size_t n = many ? json_array_size(stop) : is_there(stop);
    if (n > MOCK_MAX_STOPS) return "at most 4 stop strings";
    for (size_t i = 0; i < n; i++) {
        const char *text = json_string_value(many ? json_array_get(stop, i) : stop);
        if (!text || !*text) return "a stop string is a text that isn't empty";
        g->stops.texts[g->stops.n++] = text;
    }
    if (!read_flag(g->body, "include_stop_str_in_output", &g->stops.included))
        return "include_stop_str_in_output is true or false";
    return NULL;
}

static void read_tools(struct mock_generation *g) {
    const json_t *choice = json_object_get(g->body, "tool_choice");
    const char *word = json_string_value(choice);
    bool none = word && strcmp(word, "none") == 0;
    g->parses_calls = g->chat && json_array_size(json_object_get(g->body, "tools")) > 0 && !none;
    g->how.calls = g->parses_calls;
    g->how.calls_at_once =
        g->parses_calls && (json_is_object(choice) || (word && strcmp(word, "required") == 0));
}

static void read_thoughts(struct mock_generation *g) {
    const json_t *kwargs = json_object_get(g->body, "chat_template_kwargs");
    g->parses_thoughts = g->chat && g->mock->options->reasoning;
    g->how.thinks =
        g->parses_thoughts && !json_is_false(json_object_get(kwargs, "enable_thinking"));
    g->hides_thoughts =
        g->parses_thoughts && json_is_false(json_object_get(g->body, "include_reasoning"));
    // The ids would tell what is hidden.
    if (g->hides_thoughts && g->stream) g->return_ids = false;
}

static const char *read_how(struct mock_generation *g) {
    const json_t *seed = json_object_get(g->body, "seed");
    const json_t *heat = json_object_get(g->body, "temperature");
    const json_t *logprobs = json_object_get(g->body, "logprobs");
    struct mock_tokens role = {0};
    mock_tokens_role(&role, "assistant");
    g->how.role = role.ids[0];
    mock_tokens_free(&role);
    if (is_there(seed) && !json_is_integer(seed)) return "seed is a whole number";
    g->how.seeded = is_there(seed) && (!is_there(heat) || json_number_value(heat) != 0);
    g->how.seed = (uint64_t)json_integer_value(seed);
    g->how.penalised =
        is_nonzero(g->body, "presence_penalty") || is_nonzero(g->body, "frequency_penalty");
    g->how.end_every = g->mock->options->end_every;
    g->logprobs = g->chat ? json_is_true(logprobs) : json_is_integer(logprobs);
    if (!read_flag(g->body, "ignore_eos", &g->ignore_eos)) return "ignore_eos is true or false";
    read_tools(g);
    read_thoughts(g);
    return read_stops(g);
}

static const char *read_choices(struct mock_generation *g) {
    const json_t *n = json_object_get(g->body, "n");
    bool many = g->mock->options->answers == MOCK_ANSWERS_IDS && !g->mock->options->kv;
    g->n_choices = 1;
    if (!is_there(n)) return NULL;
    if (!json_is_integer(n) || json_integer_value(n) < 1 ||
        json_integer_value(n) > (many ? MOCK_MAX_CHOICES : 1))
        return many ? "n is a number from 1 to 8" : "n is 1";
    g->n_choices = (size_t)json_integer_value(n);
    return NULL;
}

// ---- All of it -----------------------------------------------------------------------------------

static const char *read_stream(struct mock_generation *g) {
    const json_t *options = json_object_get(g->body, "stream_options");
    bool sglang = mock_is_sglang(g->mock);
    if (!read_flag(g->body, "stream", &g->stream)) return "stream is true or false";
    if (!read_flag(options, "include_usage", &g->usage)) return "include_usage is true or false";
    if (!read_flag(options, "continuous_usage_stats", &g->continuous))
        return "continuous_usage_stats is true or false";
    if (is_there(options) && !g->stream && !sglang)
        return "stream_options can only be set when stream is true";
    if (!read_flag(g->body, "return_token_ids", &g->return_ids))
        return "return_token_ids is true or false";
    if (sglang && g->chat && g->stream && g->return_ids)
        return "return_token_ids isn't supported by a chat's stream";
    return NULL;
}

static const char *read_salt(struct mock_generation *g) {
    const json_t *salt = json_object_get(g->body, "cache_salt");
    const char *text = json_string_value(salt);
    if (!is_there(salt)) return NULL;
    if (!text || !*text || strlen(text) != json_string_length(salt))
        return "cache_salt is a text that isn't empty";
    g->salt = mock_copy_text(text);
    return NULL;
}

// The caller's, if answers are by ids: then a request that goes on elsewhere keeps it. Else the prompt's, and
// each another one where it has to name what is kept.
static void read_id(struct mock_generation *g, struct h1_exchange *x) {
    const char *kind = g->api->id_kind;
    const char *wish = h1_find_header(&x->head, "X-Request-Id");
    size_t fit = wish ? strspn(wish, "0123456789abcdefghijklmnopqrstuvwxyz"
                                     "ABCDEFGHIJKLMNOPQRSTUVWXYZ-_.")
                      : 0;
    uint64_t words[] = {g->seed, mock_life_of(g->mock, 0), g->mock->n_requests};
    bool unique = g->api == &mock_api_responses && g->mock->options->keeps_responses;
    uint64_t number = unique ? XXH3_64bits(words, sizeof words) : g->seed;
    char id[160];
    if (wish && fit && !wish[fit] && !unique && g->mock->options->answers == MOCK_ANSWERS_IDS)
        snprintf(id, sizeof id, "%s%s", kind, wish);
    else
        snprintf(id, sizeof id, "%s%016" PRIx64, kind, number);
    g->id = mock_copy_text(id);
}

const char *mock_request_read(struct mock_generation *g, struct h1_exchange *x, int *rank,
                              int *status) {
    const char *wrong = mock_leg_read(&g->leg, g->mock, g->body, rank, status);
    if (wrong) return wrong;
    *status = 400;
    if (!(wrong = read_prompt(g)) && !(wrong = read_stream(g)) && !(wrong = read_choices(g)) &&
        !(wrong = read_salt(g))) {
        g->seed = mock_answer_seed(&g->prompt);
        wrong = read_length(g);
    }
    if (!wrong && g->mock->options->answers == MOCK_ANSWERS_IDS) wrong = read_how(g);
    if (wrong) {
        mock_leg_refuse(&g->leg, g->mock);
        return wrong;
    }
    // SGLang's prefilling engine and TensorRT-LLM's context make one token, whatever they are asked for.
    bool context = g->leg.side == MOCK_LEG_PREFILL && g->mock->options->kv == MOCK_KV_TRTLLM;
    if (context && g->max_tokens > 1) g->finish = "not_finished";
    if (context || g->leg.waits_for_peer) g->max_tokens = 1;
    read_id(g, x);
    return NULL;
}
