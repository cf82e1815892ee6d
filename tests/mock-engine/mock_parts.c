// SPDX-License-Identifier: Apache-2.0
// An answer in parts; see mock_parts.h.
#include "mock_parts.h"

#include <string.h>

#include "mock_generation.h"
#include "mock_memory.h"

json_t *mock_text_json(struct evbuffer *text) {
    size_t n = evbuffer_get_length(text);
    json_t *s = n ? json_stringn((const char *)evbuffer_pullup(text, -1), n) : json_string("");
    return s ? s : json_string("\xef\xbf\xbd");
}

json_t *mock_part_text(const struct mock_part *p) {
    return mock_text_json(p->text);
}

void mock_put_json(struct evbuffer *out, json_t *value) {
    char *text = json_dumps(value, JSON_COMPACT | JSON_ENCODE_ANY);
    evbuffer_add_printf(out, "%s", text ? text : "null");
    free(text);
    json_decref(value);
}

void mock_put_event(struct evbuffer *out, const char *type, json_t *data) {
    json_t *event = json_pack("{s:s}", "type", type);
    json_object_update(event, data);
    json_decref(data);
    evbuffer_add_printf(out, "event: %s\ndata: ", type);
    mock_put_json(out, event);
    evbuffer_add_printf(out, "\n\n");
}

static void begin_part(struct mock_choice *c, enum mock_part_kind kind,
                       const struct mock_part_events *events) {
    struct mock_parts *p = &c->parts;
    mock_parts_end(c, events);
    p->all = mock_grow(p->all, &p->room, p->n + 1, sizeof *p->all);
    struct mock_part *part = &p->all[p->n++];
    *part = (struct mock_part){.kind = kind, .text = evbuffer_new()};
    if (kind == MOCK_PART_CALL) memcpy(part->call_id, c->call_id, sizeof part->call_id);
    p->open = true;
    if (events) events->begin(c, p->n - 1);
}

static void take(struct mock_choice *c, enum mock_part_kind kind, struct evbuffer *text,
                 const struct mock_part_events *events) {
    struct mock_parts *p = &c->parts;
    bool call = kind == MOCK_PART_CALL && c->call_id[0];
    if (!evbuffer_get_length(text) && !call) return;
    if (call || !p->open || p->all[p->n - 1].kind != kind) begin_part(c, kind, events);
    if (call) c->call_id[0] = 0;
    json_t *delta = events && evbuffer_get_length(text) ? mock_text_json(text) : NULL;
    evbuffer_add_buffer(p->all[p->n - 1].text, text);
    if (delta) events->more(c, p->n - 1, delta);
}

void mock_parts_take(struct mock_choice *c, const struct mock_part_events *events) {
    take(c, MOCK_PART_THOUGHT, c->reasoning, events);
    take(c, MOCK_PART_TEXT, c->content, events);
    take(c, MOCK_PART_CALL, c->call, events);
    c->n_pending = 0;
}

void mock_parts_end(struct mock_choice *c, const struct mock_part_events *events) {
    if (!c->parts.open) return;
    c->parts.open = false;
    if (events) events->end(c, c->parts.n - 1);
}

void mock_parts_free(struct mock_parts *p) {
    for (size_t i = 0; i < p->n; i++)
        evbuffer_free(p->all[i].text);
    free(p->all);
    *p = (struct mock_parts){0};
}
