// SPDX-License-Identifier: Apache-2.0
// An answer as the parts that some APIs tell one by one: a thought, a text, a call of a tool.
#ifndef MOCK_PARTS_H
#define MOCK_PARTS_H

#include <event2/buffer.h>
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

enum { MOCK_CALL_ID_SIZE = 32 };
enum mock_part_kind { MOCK_PART_THOUGHT, MOCK_PART_TEXT, MOCK_PART_CALL };

struct mock_part {
    enum mock_part_kind kind;
    char call_id[MOCK_CALL_ID_SIZE];
    struct evbuffer *text; // a call's: its arguments
};

struct mock_parts {
    struct mock_part *all;
    size_t n, room;
    bool open; // the last one goes on
};

struct mock_choice;

// What a stream tells of part i. delta is taken over.
struct mock_part_events {
    void (*begin)(struct mock_choice *c, size_t i);
    void (*more)(struct mock_choice *c, size_t i, json_t *delta);
    void (*end)(struct mock_choice *c, size_t i);
};

// Takes what the choice has for its next chunk. events: NULL, if nobody is told.
void mock_parts_take(struct mock_choice *c, const struct mock_part_events *events);
void mock_parts_end(struct mock_choice *c, const struct mock_part_events *events);
void mock_parts_free(struct mock_parts *p);

json_t *mock_part_text(const struct mock_part *p); // all of it, a new reference
// Bytes as a text of JSON, also if they are no whole characters; they stay in `text`.
json_t *mock_text_json(struct evbuffer *text);
// event: …, data: …; the data are taken over, and told with their type first.
void mock_put_event(struct evbuffer *out, const char *type, json_t *data);
void mock_put_json(struct evbuffer *out, json_t *value); // taken over

#endif
