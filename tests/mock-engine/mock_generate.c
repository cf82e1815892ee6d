// SPDX-License-Identifier: Apache-2.0
// /v1/completions and /v1/chat/completions, as one JSON object or as a stream of server-sent events.
//
// Everything in an answer is a function of the prompt, the ids and times of it too, so that two
// answers to one prompt are the same bytes; only usage tells how much was cached. The headers of a
// stream leave with the first token.
#include "mock_generate.h"

#include <inttypes.h>
#include <string.h>

#include "mock_memory.h"
#include "mock_prompt.h"
#include "mock_reply.h"

enum { CREATED_AT = 1700000000, DEFAULT_TOKENS = 16, DEFAULT_SPREAD = 48 };

struct generation {
    struct mock_engine *mock;
    struct h1_exchange *x;
    struct mock_scheduler *engine;
    struct mock_job *job; // NULL once the engine is done with it
    bool chat, stream, usage;
    uint64_t seed, n, max_tokens;
    size_t n_prompt;
    const char *finish;
    char *model; // as a JSON string
    char *salt;
    struct evbuffer *text; // of an answer that isn't a stream
    uint64_t cut_after;    // tokens; 0: it isn't cut
    bool gently;
};

static void free_answer(struct generation *a) {
    free(a->model);
    free(a->salt);
    evbuffer_free(a->text);
    free(a);
}

static void on_gone(struct h1_exchange *x) {
    struct generation *a = x->arg;
    if (a->job) mock_scheduler_cancel(a->engine, a->job);
    free_answer(a);
}

// ---- Writing -------------------------------------------------------------------------------------

static void put_usage(struct evbuffer *out, const struct generation *a, size_t cached) {
    evbuffer_add_printf(out,
                        "\"usage\":{\"prompt_tokens\":%zu,\"completion_tokens\":%" PRIu64
                        ",\"total_tokens\":%" PRIu64
                        ",\"prompt_tokens_details\":{\"cached_tokens\":%zu}}",
                        a->n_prompt, a->n, a->n_prompt + a->n, cached);
}

static void put_head(struct evbuffer *out, const struct generation *a) {
    static const char *const objects[2][2] = {{"text_completion", "text_completion"},
                                              {"chat.completion", "chat.completion.chunk"}};
    evbuffer_add_printf(
        out,
        "{\"id\":\"%s-%016" PRIx64 "\",\"object\":\"%s\",\"created\":%d,\"model\":%s,\"choices\":[",
        a->chat ? "chatcmpl" : "cmpl", a->seed, objects[a->chat][a->stream], CREATED_AT, a->model);
}

// A chunk with a choice. delta: what is in it, complete JSON.
static void put_chunk(struct evbuffer *out, const struct generation *a, const char *key,
                      const char *delta, bool last) {
    evbuffer_add_printf(out, "data: ");
    put_head(out, a);
    evbuffer_add_printf(out, "{\"index\":0,\"%s\":%s,\"logprobs\":null,\"finish_reason\":", key,
                        delta);
    evbuffer_add_printf(out, last ? "\"%s\"}]}\n\n" : "null}]}\n\n", a->finish);
}

static void stream_word(struct generation *a, const char *word, bool last) {
    struct evbuffer *out = evbuffer_new();
    char delta[64];
    if (!a->x->started) {
        h1_exchange_start(a->x, 200, "text/event-stream; charset=utf-8", -1);
        if (a->chat) put_chunk(out, a, "delta", "{\"role\":\"assistant\",\"content\":\"\"}", false);
    }
    snprintf(delta, sizeof delta, a->chat ? "{\"content\":\"%s\"}" : "\"%s\"", word);
    put_chunk(out, a, a->chat ? "delta" : "text", delta, last);
    if (last && a->usage) {
        evbuffer_add_printf(out, "data: ");
        put_head(out, a);
        evbuffer_add_printf(out, "],");
        const char *fingerprint = a->mock->options->fingerprint;
        if (fingerprint) evbuffer_add_printf(out, "\"system_fingerprint\":\"%s\",", fingerprint);
        put_usage(out, a, mock_job_cached(a->job));
        evbuffer_add_printf(out, "}\n\n");
    }
    if (last) evbuffer_add_printf(out, "data: [DONE]\n\n");
    h1_exchange_data(a->x, out);
    evbuffer_free(out);
}

static void finish_whole(struct generation *a) {
    struct evbuffer *out = evbuffer_new();
    put_head(out, a);
    evbuffer_add_printf(out, a->chat
                                 ? "{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\""
                                 : "{\"index\":0,\"text\":\"");
    evbuffer_add_buffer(out, a->text);
    evbuffer_add_printf(out, "\"%s,\"logprobs\":null,\"finish_reason\":\"%s\"}],",
                        a->chat ? "}" : "", a->finish);
    put_usage(out, a, mock_job_cached(a->job));
    evbuffer_add_printf(out, "}");
    mock_reply_buffer(a->x, "application/json", out);
    evbuffer_free(out);
}

// ---- Tokens --------------------------------------------------------------------------------------

static void on_token(void *ctx, uint64_t i, bool last) {
    struct generation *a = ctx;
    char word[MOCK_WORD_SIZE];
    size_t len = mock_answer_word(a->seed, i, word);
    bool cut = a->cut_after && i + 1 >= a->cut_after;
    a->n = i + 1;
    if (a->stream)
        stream_word(a, word, last && !cut);
    else
        evbuffer_add(a->text, word, len);
    if (cut) {
        if (!last) mock_scheduler_cancel(a->engine, a->job);
        a->job = NULL;
        (a->gently ? h1_exchange_abort : h1_exchange_reset)(a->x);
        free_answer(a);
        return;
    }
    if (!last) return;
    a->mock->in_step = true;
    if (a->stream)
        h1_exchange_end(a->x);
    else
        finish_whole(a);
    a->mock->in_step = false;
    mock_engine_resume(a->mock);
    free_answer(a);
}

// ---- Beginning -----------------------------------------------------------------------------------

// The rank the header names, else the one with the fewest requests. -1: there is no such rank.
static int choose_rank(const struct mock_engine *m, struct h1_exchange *x) {
    const char *wish = h1_find_header(&x->head, "X-data-parallel-rank");
    if (wish) {
        char *end;
        long rank = strtol(wish, &end, 10);
        return *wish && !*end && rank >= 0 && (size_t)rank < m->options->ranks ? (int)rank : -1;
    }
    size_t best = 0, fewest = SIZE_MAX;
    for (size_t i = 0; i < m->options->ranks; i++) {
        struct mock_scheduler_count c = mock_scheduler_counts(m->engines[i]);
        if (c.running + c.waiting >= fewest) continue;
        fewest = c.running + c.waiting;
        best = i;
    }
    return (int)best;
}

static bool read_flag(const json_t *object, const char *name, bool *out) {
    const json_t *value = json_object_get(object, name);
    *out = json_is_true(value);
    return !value || json_is_boolean(value) || json_is_null(value);
}

// How long the answer is to be. Returns what is wrong, or NULL.
static const char *read_length(struct generation *a, const json_t *body, size_t max_model_len) {
    const json_t *most = json_object_get(body, "max_completion_tokens");
    if (!a->chat || !most || json_is_null(most)) most = json_object_get(body, "max_tokens");
    if (a->n_prompt >= max_model_len) return "the prompt is longer than max_model_len";
    size_t room = max_model_len - a->n_prompt;
    if (!most || json_is_null(most)) {
        uint64_t usual = DEFAULT_TOKENS + (a->chat ? a->seed % DEFAULT_SPREAD : 0);
        a->max_tokens = usual < room ? usual : room;
        a->finish = a->chat && usual <= room ? "stop" : "length";
        return NULL;
    }
    if (!json_is_integer(most) || json_integer_value(most) < 1)
        return "max_tokens is a whole number of at least 1";
    a->max_tokens = (uint64_t)json_integer_value(most);
    a->finish = "length";
    return a->max_tokens > room ? "prompt and max_tokens are longer than max_model_len" : NULL;
}

static const char *read_request(struct generation *a, struct mock_tokens *prompt,
                                const json_t *body, const struct mock_options *o) {
    const json_t *salt = json_object_get(body, "cache_salt"), *n = json_object_get(body, "n");
    const char *wrong = a->chat ? mock_prompt_read_chat(prompt, json_object_get(body, "messages"))
                                : mock_prompt_read(prompt, json_object_get(body, "prompt"));
    if (wrong) return wrong;
    if (!prompt->n) return "the prompt is empty";
    if (!read_flag(body, "stream", &a->stream)) return "stream is true or false";
    if (!read_flag(json_object_get(body, "stream_options"), "include_usage", &a->usage))
        return "include_usage is true or false";
    if (n && !json_is_null(n) && (!json_is_integer(n) || json_integer_value(n) != 1))
        return "n is 1";
    if (salt && !json_is_null(salt)) {
        const char *text = json_string_value(salt);
        if (!text || !*text || strlen(text) != json_string_length(salt))
            return "cache_salt is a text that isn't empty";
        a->salt = mock_copy_text(text);
    }
    a->n_prompt = prompt->n;
    a->seed = mock_answer_seed(prompt);
    return read_length(a, body, o->max_model_len);
}

static void submit(struct mock_engine *m, struct generation *a, struct h1_exchange *x,
                   const struct mock_tokens *prompt, struct mock_events_names names) {
    struct mock_request r = {
        .prompt = prompt, .max_tokens = a->max_tokens, .names = names, .token = on_token, .ctx = a};
    if (m->faults.cut) {
        m->faults.cut--;
        a->cut_after = m->faults.cut_after;
        a->gently = m->faults.gently;
    }
    a->mock = m;
    a->x = x;
    x->arg = a;
    x->on_gone = on_gone;
    mock_engine_answering(m, x);
    a->job = mock_scheduler_submit(a->engine, &r);
}

static void serve(struct mock_engine *m, struct h1_exchange *x, bool chat) {
    json_t *body = mock_body_object(x);
    if (!body) return;
    struct generation *a = mock_take(1, sizeof *a);
    struct mock_tokens prompt = {0};
    const json_t *model = json_object_get(body, "model");
    bool known;
    struct mock_events_names names = {0};
    names.lora = mock_prompt_lora(m, model, &names.lora_id, &known);
    int rank = choose_rank(m, x);
    a->chat = chat;
    a->text = evbuffer_new();
    const char *wrong = read_request(a, &prompt, body, m->options);
    if (!wrong && rank < 0) wrong = "no such rank";
    if (!wrong && !mock_scheduler_fits(m->engines[rank], prompt.n, a->max_tokens))
        wrong = "prompt and answer need more blocks than there are";
    if (!known) {
        mock_reply_error(x, 404, "no such model");
    } else if (wrong) {
        mock_reply_error(x, 400, "%s", wrong);
    } else {
        json_t *name = json_string(names.lora ? names.lora : m->options->model);
        char *text = name ? json_dumps(name, JSON_ENCODE_ANY) : NULL;
        a->model = text ? text : mock_copy_text("\"\"");
        json_decref(name);
        names.salt = a->salt;
        a->engine = m->engines[rank];
        submit(m, a, x, &prompt, names);
        a = NULL;
    }
    if (a) free_answer(a);
    mock_tokens_free(&prompt);
    json_decref(body);
}

void mock_serve_completion(struct mock_engine *m, struct h1_exchange *x) {
    serve(m, x, false);
}

void mock_serve_chat(struct mock_engine *m, struct h1_exchange *x) {
    serve(m, x, true);
}
