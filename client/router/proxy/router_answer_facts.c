// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // memmem
#include "router_answer_facts.h"

#include <stdlib.h>
#include <string.h>

#include "client/router/trace/router_trace_text.h"
#include "router_event.h"

enum {
    ANSWER_LINE_MAX = 65536, // bytes of a piece, beyond which it isn't looked at
    ANSWER_FIRST_EVENTS = 4,
};

void router_answer_begin(struct router_answer_facts *f) {
    *f = (struct router_answer_facts){.n = 0};
}

void router_answer_free(struct router_answer_facts *f) {
    free(f->whole);
    f->whole = NULL;
    f->n = f->room = 0;
}

// A text as it stands between its quotes; one that has something escaped in it isn't a name.
static void take_text(char *out, size_t size, const struct router_event *e,
                      enum router_event_field field) {
    const struct router_event_span *s = &e->at[field];
    if (!router_event_says(e, field)) return;
    size_t n = s->end - s->value - 2;
    if (n >= size || memchr(e->text + s->value + 1, '\\', n)) return;
    memcpy(out, e->text + s->value + 1, n);
    out[n] = 0;
}

static void read_object(struct router_answer_facts *f, const char *text, size_t n) {
    struct router_event e;
    if (!router_event_read(&e, text, n)) return;
    if (!*f->id) take_text(f->id, sizeof f->id, &e, ROUTER_EVENT_ID);
    if (!*f->model) take_text(f->model, sizeof f->model, &e, ROUTER_EVENT_MODEL);
    take_text(f->finish, sizeof f->finish, &e, ROUTER_EVENT_FINISH);
}

static bool has(const char *line, size_t n, const char *word) {
    return memmem(line, n, word, strlen(word)) != NULL;
}

// Most events are a token and nothing else. Not every API says who answers in each.
static void read_line(struct router_answer_facts *f, const char *line, size_t n) {
    if (n < 7 || memcmp(line, "data:", 5) != 0) return;
    size_t blanks = 5 + (line[5] == ' ');
    bool unknown = !*f->id && f->looked < ANSWER_FIRST_EVENTS;
    f->looked += unknown;
    if (unknown || has(line, n, "\"finish_reason\":\"") || has(line, n, "\"finish_reason\": \""))
        read_object(f, line + blanks, n - blanks);
}

static void read_lines(struct router_answer_facts *f, struct evbuffer *bytes) {
    size_t n = evbuffer_get_length(bytes);
    const char *at = n <= ANSWER_LINE_MAX ? (const char *)evbuffer_pullup(bytes, -1) : NULL;
    for (const char *end = at + n; at && at < end;) {
        const char *lf = memchr(at, '\n', (size_t)(end - at));
        size_t line = (size_t)((lf ? lf : end) - at);
        read_line(f, at, line && at[line - 1] == '\r' ? line - 1 : line);
        at += line + 1;
    }
}

static void give_up(struct router_answer_facts *f) {
    router_answer_free(f);
    f->too_large = true;
}

static size_t keep(struct router_answer_facts *f, struct evbuffer *bytes) {
    size_t n = evbuffer_get_length(bytes), before = f->room;
    if (f->n + n > ROUTER_ANSWER_WHOLE_MAX) {
        give_up(f);
        return 0;
    }
    if (f->n + n > f->room) {
        size_t room = f->room ? 2 * f->room : 2048;
        while (room < f->n + n)
            room *= 2;
        char *more = realloc(f->whole, room);
        if (!more) {
            give_up(f);
            return 0;
        }
        f->whole = more;
        f->room = room;
    }
    ev_ssize_t got = evbuffer_copyout(bytes, f->whole + f->n, n);
    if (got > 0) f->n += (size_t)got;
    return f->room - before;
}

size_t router_answer_look(struct router_answer_facts *f, struct evbuffer *bytes, bool events) {
    if (events)
        read_lines(f, bytes);
    else if (!f->too_large)
        return keep(f, bytes);
    return 0;
}

void router_answer_end(struct router_answer_facts *f) {
    if (f->n) read_object(f, f->whole, f->n);
}

void router_answer_say(const struct router_answer_facts *f, struct router_trace_text *out) {
    router_attribute_text(out, "gen_ai.response.id", f->id);
    router_attribute_text(out, "gen_ai.response.model", f->model);
    router_attribute_list(out, "gen_ai.response.finish_reasons", f->finish);
}
