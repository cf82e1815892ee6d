// SPDX-License-Identifier: Apache-2.0
// SGLang's own API: /generate, whose streams say all of the text and the ids again in each chunk.
#include <string.h>

#include "mock_dialect.h"
#include "mock_generation.h"

static const char *read(struct mock_generation *g, int *status) {
    const char *wrong;
    *status = 400;
    g->body = mock_dialect_generate(g->asked, &wrong);
    return wrong;
}

static json_t *finish_of(const struct mock_choice *c) {
    if (strcmp(c->finish, "length") == 0)
        return json_pack("{s:s,s:I}", "type", "length", "length", (json_int_t)c->n);
    if (strcmp(c->finish, "abort") == 0)
        return json_pack("{s:s,s:s}", "type", "abort", "message", "Aborted");
    if (c->stop_reason) return json_pack("{s:s,s:s}", "type", "stop", "matched", c->stop_reason);
    return json_pack("{s:s,s:i}", "type", "stop", "matched", MOCK_END_OF_MESSAGE);
}

static json_t *ids_of(const struct mock_choice *c) {
    struct evbuffer *list = evbuffer_new();
    size_t n = evbuffer_get_length(c->ids);
    evbuffer_add_printf(list, "[%.*s]", (int)n, n ? (char *)evbuffer_pullup(c->ids, -1) : "");
    n = evbuffer_get_length(list);
    json_t *ids = json_loadb((const char *)evbuffer_pullup(list, -1), n, 0, NULL);
    evbuffer_free(list);
    return ids ? ids : json_array();
}

static json_t *answer_of(const struct mock_choice *c, bool last) {
    const struct mock_generation *g = c->of;
    const char *rid = json_string_value(json_object_get(g->asked, "rid"));
    return json_pack("{s:o,s:o,s:{s:s,s:o,s:I,s:I,s:I,s:s}}", "text", mock_text_json(c->content),
                     "output_ids", ids_of(c), "meta_info", "id", rid ? rid : g->id, "finish_reason",
                     last ? finish_of(c) : json_null(), "prompt_tokens", (json_int_t)g->prompt.n,
                     "completion_tokens", (json_int_t)c->n, "cached_tokens",
                     (json_int_t)mock_cached_tokens(g), "weight_version", "default");
}

static void put_chunk(struct mock_choice *c, bool last) {
    struct evbuffer *out = c->of->out;
    c->begun = true;
    c->n_pending = 0;
    evbuffer_add_printf(out, "data: ");
    json_t *answer = answer_of(c, last);
    if (c->of->n_choices > 1)
        json_object_set_new(answer, "index", json_integer((json_int_t)c->index));
    mock_put_json(out, answer);
    evbuffer_add_printf(out, "\n\n");
}

static void put_whole(struct mock_generation *g) {
    json_t *all = json_array();
    for (size_t i = 0; i < g->n_choices; i++)
        json_array_append_new(all, answer_of(&g->choices[i], true));
    mock_put_json(g->out, json_incref(g->n_choices > 1 ? all : json_array_get(all, 0)));
    json_decref(all);
}

const struct mock_api mock_api_native = {.id_kind = "",
                                         .read = read,
                                         .chunk = put_chunk,
                                         .end = mock_put_done,
                                         .whole = put_whole,
                                         .error = mock_put_error,
                                         .refuse = mock_refuse};
