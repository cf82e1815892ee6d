// SPDX-License-Identifier: Apache-2.0
// An answer as it comes; see completion.h.
#include "completion.h"

#include <jansson.h>
#include <stdio.h>
#include <string.h>

void bench_completion_begin(struct bench_completion *c) {
    *c = (struct bench_completion){.cached = -1};
}

void bench_completion_fail(struct bench_completion *c, const char *why) {
    if (!*c->why) snprintf(c->why, sizeof c->why, "%.*s", (int)sizeof c->why - 1, why);
}

static void read_event(struct bench_completion *c, const char *data) {
    json_t *j = json_loads(data, 0, NULL);
    const json_t *choice = json_array_get(json_object_get(j, "choices"), 0);
    const char *text = json_string_value(json_object_get(choice, "text"));
    const char *engine = json_string_value(json_object_get(j, "system_fingerprint"));
    const json_t *details = json_object_get(json_object_get(j, "usage"), "prompt_tokens_details");
    const json_t *cached = json_object_get(details, "cached_tokens");
    if (text && *text) c->tokens++;
    if (cached) c->cached = json_integer_value(cached);
    if (engine) snprintf(c->engine, sizeof c->engine, "%.*s", (int)sizeof c->engine - 1, engine);
    if (json_is_object(json_object_get(j, "error"))) bench_completion_fail(c, data);
    json_decref(j);
}

static void read_line(struct bench_completion *c) {
    static const char mark[] = "data:";
    c->event[c->n_event] = 0;
    c->event[strcspn(c->event, "\r\n")] = 0;
    c->n_event = 0;
    if (strncmp(c->event, mark, sizeof mark - 1) != 0) return;
    const char *data = c->event + sizeof mark - 1;
    data += strspn(data, " ");
    if (strcmp(data, "[DONE]") == 0)
        c->ended = true;
    else
        read_event(c, data);
}

void bench_completion_read(struct bench_completion *c, const char *bytes, size_t n) {
    for (size_t i = 0; i < n && !*c->why; i++) {
        if (c->n_event + 1 == sizeof c->event) {
            bench_completion_fail(c, "an event without an end");
            return;
        }
        c->event[c->n_event++] = bytes[i];
        if (bytes[i] == '\n') read_line(c);
    }
}
