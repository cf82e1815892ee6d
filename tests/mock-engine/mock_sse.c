// SPDX-License-Identifier: Apache-2.0
// A stream of server-sent events, taken apart for tests; see mock_sse.h.
#include "mock_sse.h"

#include <criterion/criterion.h>
#include <stdlib.h>
#include <string.h>

#include "mock_memory.h"

static void keep(json_t **to, json_t *value) {
    if (value && !*to) *to = json_incref(value);
}

static void add(struct mock_sse *s, json_t *chunk) {
    json_t *choice = json_array_get(json_object_get(chunk, "choices"), 0);
    keep(&s->error, json_object_get(chunk, "error"));
    keep(&s->prompt, json_object_get(chunk, "prompt_token_ids"));
    keep(&s->prompt, json_object_get(choice, "prompt_token_ids"));
    if (choice) json_object_del(choice, "prompt_token_ids");
    if (!choice) keep(&s->usage, json_object_get(chunk, "usage"));
    if (choice && !json_object_get(json_object_get(choice, "delta"), "role"))
        json_array_append(s->chunks, chunk);
    json_decref(chunk);
}

struct mock_sse mock_sse_post(const struct mock_process *p, const char *path, const char *body) {
    struct support_response r = mock_http_post(p, path, body);
    struct mock_sse s = {.chunks = json_array()};
    cr_assert(r.status == 200 && r.complete, "%d %s", r.status, r.body);
    for (char *line = r.body, *end; (end = strstr(line, "\n\n")); line = end + 2) {
        *end = 0;
        cr_assert(strncmp(line, "data: ", 6) == 0 && !s.done, "%s", line);
        s.done = strcmp(line, "data: [DONE]") == 0;
        json_t *chunk = s.done ? NULL : json_loads(line + 6, 0, NULL);
        cr_assert(s.done || chunk, "%s", line);
        if (chunk) add(&s, chunk);
    }
    support_response_free(&r);
    return s;
}

void mock_sse_free(struct mock_sse *s) {
    json_decref(s->chunks);
    json_decref(s->prompt);
    json_decref(s->usage);
    json_decref(s->error);
    *s = (struct mock_sse){0};
}

const json_t *mock_sse_choice(const struct mock_sse *s, size_t chunk) {
    const json_t *choices = json_object_get(json_array_get(s->chunks, chunk), "choices");
    cr_assert(json_array_size(choices) == 1);
    return json_array_get(choices, 0);
}

static const char *text_under(const json_t *choice, const char *key) {
    const json_t *delta = json_object_get(choice, "delta");
    const char *text = json_string_value(json_object_get(delta ? delta : choice, key));
    return text ? text : "";
}

const char *mock_sse_text(const struct mock_sse *s, size_t chunk) {
    static const char *const keys[] = {"text", "content", "reasoning"};
    const json_t *choice = mock_sse_choice(s, chunk);
    const json_t *calls = json_object_get(json_object_get(choice, "delta"), "tool_calls");
    for (size_t i = 0; i < 3; i++)
        if (*text_under(choice, keys[i])) return text_under(choice, keys[i]);
    return calls ? "a call" : "";
}

char *mock_sse_join(const struct mock_sse *s, const char *key) {
    size_t n = 1, at = 0;
    for (size_t i = 0; i < json_array_size(s->chunks); i++)
        n += strlen(text_under(mock_sse_choice(s, i), key));
    char *out = mock_take(n, 1);
    for (size_t i = 0; i < json_array_size(s->chunks); i++) {
        const char *text = text_under(mock_sse_choice(s, i), key);
        memcpy(out + at, text, strlen(text));
        at += strlen(text);
    }
    return out;
}

const char *mock_sse_finish(const struct mock_sse *s) {
    const json_t *last = mock_sse_choice(s, json_array_size(s->chunks) - 1);
    return json_string_value(json_object_get(last, "finish_reason"));
}

json_t *mock_sse_ids(const struct mock_sse *s, size_t chunk) {
    json_t *ids = json_copy(s->prompt);
    for (size_t i = 0; i <= chunk; i++)
        json_array_extend(ids, json_object_get(mock_sse_choice(s, i), "token_ids"));
    return ids;
}
