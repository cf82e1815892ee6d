// SPDX-License-Identifier: Apache-2.0
// Prompts out of the bodies of requests; see mock_prompt.h. And what only needs these.
#include "mock_prompt.h"

#include <string.h>

#include "mock_life.h"
#include "mock_reply.h"
#include "mock_text.h"

static const char *read_ids(struct mock_tokens *t, const json_t *ids) {
    size_t i;
    json_t *id;
    json_array_foreach(ids, i, id) {
        json_int_t n = json_is_integer(id) ? json_integer_value(id) : -1;
        if (n < 0 || n > UINT32_MAX) return "a token id is a whole number from 0 to 2^32-1";
        mock_tokens_add(t, (uint32_t)n);
    }
    return NULL;
}

const char *mock_prompt_read(struct mock_tokens *t, const json_t *prompt) {
    const json_t *first = json_array_get(prompt, 0);
    if (json_is_string(first) || json_is_array(first)) {
        if (json_array_size(prompt) != 1) return "one prompt at a time";
        prompt = first;
    }
    if (json_is_string(prompt)) {
        mock_tokens_text(t, json_string_value(prompt), json_string_length(prompt));
        return NULL;
    }
    if (json_is_array(prompt)) return read_ids(t, prompt);
    return "a prompt is a text or an array of token ids";
}

static const char *read_content(struct mock_tokens *t, const json_t *content) {
    size_t i;
    json_t *part;
    if (json_is_string(content)) {
        mock_tokens_text(t, json_string_value(content), json_string_length(content));
        return NULL;
    }
    if (!content || json_is_null(content)) return NULL;
    if (!json_is_array(content)) return "the content of a message is a text or an array";
    json_array_foreach(content, i, part) {
        const json_t *text = json_object_get(part, "text");
        if (!json_is_string(text)) return "a part of a message that isn't text";
        mock_tokens_text(t, json_string_value(text), json_string_length(text));
    }
    return NULL;
}

const char *mock_prompt_read_chat(struct mock_tokens *t, const json_t *body, bool marked) {
    const json_t *messages = json_object_get(body, "messages");
    const json_t *begin = json_object_get(body, "add_generation_prompt");
    bool goes_on = json_is_true(json_object_get(body, "continue_final_message"));
    size_t i;
    json_t *message;
    if (goes_on && json_is_true(begin))
        return "continue_final_message and add_generation_prompt can't both be true";
    if (!json_is_array(messages) || !json_array_size(messages))
        return "messages is no array, or empty";
    if (marked) mock_tokens_add(t, MOCK_BEGIN_OF_TEXT);
    json_array_foreach(messages, i, message) {
        const char *role = json_string_value(json_object_get(message, "role"));
        if (!role) return "a message without a role";
        mock_tokens_role(t, role);
        const char *wrong = read_content(t, json_object_get(message, "content"));
        if (wrong) return wrong;
        if (!goes_on || i + 1 < json_array_size(messages)) mock_tokens_add(t, MOCK_END_OF_MESSAGE);
    }
    if (!goes_on && !json_is_false(begin)) mock_tokens_role(t, "assistant");
    return NULL;
}

const char *mock_prompt_lora(const struct mock_engine *m, const json_t *model, int *id,
                             bool *known) {
    const struct mock_options *o = m->options;
    const char *name = json_string_value(model);
    *id = 0;
    *known = !model || (name && !strcmp(name, o->model));
    for (size_t i = 0; name && !*known && i < o->n_loras; i++) {
        if (strcmp(name, o->loras[i]) != 0) continue;
        *known = true;
        *id = (int)i + 1;
        return o->loras[i];
    }
    return NULL;
}

// ---- /tokenize -----------------------------------------------------------------------------------

void mock_serve_tokenize(struct mock_engine *m, struct h1_exchange *x) {
    json_t *body = mock_body_object(x);
    if (!body) return;
    struct mock_tokens t = {0};
    const json_t *messages = json_object_get(body, "messages");
    bool marked = json_is_true(json_object_get(body, "add_special_tokens")) && !mock_is_sglang(m);
    const char *wrong = messages ? mock_prompt_read_chat(&t, body, marked)
                                 : mock_prompt_read(&t, json_object_get(body, "prompt"));
    if (wrong) {
        mock_reply_error(x, 400, "%s", wrong);
    } else {
        json_t *ids = json_array();
        for (size_t i = 0; i < t.n; i++)
            json_array_append_new(ids, json_integer(t.ids[i]));
        mock_reply_json(x, 200,
                        json_pack("{s:I,s:I,s:o}", "count", (json_int_t)t.n, "max_model_len",
                                  (json_int_t)m->options->max_model_len, "tokens", ids));
    }
    mock_tokens_free(&t);
    json_decref(body);
}

// What is in the middle of a character is U+FFFD, as a decoder has it.
void mock_serve_detokenize(struct mock_engine *m, struct h1_exchange *x) {
    json_t *body = mock_body_object(x);
    if (!body) return;
    struct mock_tokens t = {0};
    const char *wrong = mock_prompt_read(&t, json_object_get(body, "tokens"));
    struct evbuffer *out = evbuffer_new();
    mock_text_decode(&t, out);
    evbuffer_add(out, "", 1);
    json_t *text = json_string((const char *)evbuffer_pullup(out, -1));
    if (wrong)
        mock_reply_error(x, 400, "%s", wrong);
    else
        mock_reply_json(x, 200, json_pack("{s:O?}", mock_is_sglang(m) ? "text" : "prompt", text));
    json_decref(text);
    evbuffer_free(out);
    mock_tokens_free(&t);
    json_decref(body);
}
