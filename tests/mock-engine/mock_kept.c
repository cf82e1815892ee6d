// SPDX-License-Identifier: Apache-2.0
// Responses that an engine keeps; see mock_kept.h.
#include "mock_kept.h"

#include <stdio.h>
#include <string.h>

#include "mock_reply.h"

enum { MAX_KEPT = 1000 };

void mock_kept_add(struct mock_engine *m, const char *id, json_t *response, json_t *messages) {
    if (!m->options->keeps_responses) return;
    if (!m->kept) m->kept = json_object();
    json_object_set_new(m->kept, id,
                        json_pack("{s:O,s:O?}", "response", response, "messages", messages));
    // An object of jansson's has its members in the order in which they came.
    while (json_object_size(m->kept) > MAX_KEPT)
        json_object_del(m->kept, json_object_iter_key(json_object_iter(m->kept)));
}

void mock_kept_set_status(struct mock_engine *m, const char *id, const char *status) {
    json_t *response = json_object_get(json_object_get(m->kept, id), "response");
    if (response) json_object_set_new(response, "status", json_string(status));
}

const json_t *mock_kept_messages(const struct mock_engine *m, const char *id) {
    json_t *all = id ? json_object_get(json_object_get(m->kept, id), "messages") : NULL;
    return json_is_array(all) ? all : NULL;
}

// What the path names, without `after`; NULL, and 404 has been answered.
static json_t *named(struct mock_engine *m, struct h1_exchange *x, const char *after) {
    const char *id = x->head.path + strlen("/v1/responses/");
    size_t n = strlen(id), end = strlen(after);
    char name[100] = "";
    if (n > end && n - end < sizeof name && strcmp(id + n - end, after) == 0)
        snprintf(name, sizeof name, "%.*s", (int)(n - end), id);
    json_t *response = json_object_get(json_object_get(m->kept, name), "response");
    if (!response) mock_reply_error(x, 404, "Response with id '%s' not found.", name);
    return response;
}

void mock_serve_kept(struct mock_engine *m, struct h1_exchange *x) {
    json_t *response = named(m, x, "");
    if (response) mock_reply_json(x, 200, json_incref(response));
}

static struct mock_background *find_background(struct mock_engine *m, const char *id) {
    for (struct kvr_list_item *i = m->background.next; i != &m->background; i = i->next) {
        struct mock_background *b = (struct mock_background *)i;
        if (strcmp(b->id, id) == 0) return b;
    }
    return NULL;
}

void mock_serve_cancel(struct mock_engine *m, struct h1_exchange *x) {
    json_t *response = named(m, x, "/cancel");
    const char *id = json_string_value(json_object_get(response, "id"));
    if (!response) return;
    struct mock_background *b = find_background(m, id);
    if (b) {
        b->drop(b);
        mock_kept_set_status(m, id, "cancelled");
    }
    if (json_is_true(json_object_get(response, "background")))
        mock_reply_json(x, 200, json_incref(response));
    else
        mock_reply_error(x, 400, "Cannot cancel a synchronous response.");
}
