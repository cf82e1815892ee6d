// SPDX-License-Identifier: Apache-2.0
#include "router_event.h"

#include <string.h>

#include "client/router/prompt/router_json_walk.h"

enum { EVENT_MAX_DIGITS = 18 };

// How the value of a field is looked into.
enum event_inside { INSIDE_NOT, INSIDE_OBJECT, INSIDE_FIRST };

struct event_rule {
    enum router_event_field field;
    enum event_inside inside;
    const char *name;
    size_t size;
};

#define RULE(field, inside, name)                                                                  \
    { ROUTER_EVENT_##field, INSIDE_##inside, name, sizeof(name) - 1 }
static const struct event_rule of_root[] = {
    RULE(ID, NOT, "id"),
    RULE(OBJECT, NOT, "object"),
    RULE(CREATED, NOT, "created"),
    RULE(MODEL, NOT, "model"),
    RULE(FINGERPRINT, NOT, "system_fingerprint"),
    RULE(CHOICES, FIRST, "choices"),
    RULE(USAGE, OBJECT, "usage"),
    RULE(ERROR, OBJECT, "error"),
    RULE(PROMPT_IDS, NOT, "prompt_token_ids"),
    RULE(PROMPT_TEXT, NOT, "prompt_text"),
};
static const struct event_rule of_choice[] = {
    RULE(INDEX, NOT, "index"),
    RULE(TEXT, NOT, "text"),
    RULE(DELTA, OBJECT, "delta"),
    RULE(LOGPROBS, OBJECT, "logprobs"),
    RULE(FINISH, NOT, "finish_reason"),
    RULE(IDS, NOT, "token_ids"),
    RULE(CHOICE_PROMPT_IDS, NOT, "prompt_token_ids"),
    RULE(CHOICE_PROMPT_TEXT, NOT, "prompt_text"),
};
static const struct event_rule of_delta[] = {
    RULE(ROLE, NOT, "role"),
    RULE(CONTENT, NOT, "content"),
    RULE(REASONING, NOT, "reasoning"),
    RULE(REASONING_CONTENT, NOT, "reasoning_content"),
    RULE(TOOL_CALLS, NOT, "tool_calls"),
};
static const struct event_rule of_logprobs[] = {
    RULE(TEXT_OFFSET, NOT, "text_offset"),
    RULE(TOKENS, NOT, "tokens"),
};
static const struct event_rule of_usage[] = {
    RULE(PROMPT_TOKENS, NOT, "prompt_tokens"),
    RULE(COMPLETION_TOKENS, NOT, "completion_tokens"),
    RULE(TOTAL_TOKENS, NOT, "total_tokens"),
    RULE(PROMPT_DETAILS, OBJECT, "prompt_tokens_details"),
    RULE(COMPLETION_DETAILS, NOT, "completion_tokens_details"),
};
static const struct event_rule of_prompt_details[] = {
    RULE(CACHED_TOKENS, NOT, "cached_tokens"),
};
static const struct event_rule of_error[] = {
    RULE(ERROR_CODE, NOT, "code"),
};
#undef RULE

// By the field whose value has these.
static const struct event_level {
    const struct event_rule *rules;
    size_t n;
} levels[ROUTER_EVENT_FIELDS] = {
#define LEVEL(field, rules) [ROUTER_EVENT_##field] = {rules, sizeof(rules) / sizeof *(rules)}
    LEVEL(ROOT, of_root),
    LEVEL(CHOICES, of_choice),
    LEVEL(DELTA, of_delta),
    LEVEL(LOGPROBS, of_logprobs),
    LEVEL(USAGE, of_usage),
    LEVEL(ERROR, of_error),
    LEVEL(PROMPT_DETAILS, of_prompt_details),
#undef LEVEL
};

struct event_reader {
    struct router_event *e;
    struct router_json_walk w;
};

static const struct event_rule *find_rule(enum router_event_field within, const char *name,
                                          size_t size) {
    const struct event_level *level = &levels[within];
    for (size_t i = 0; i < level->n; i++)
        if (level->rules[i].size == size && !memcmp(level->rules[i].name, name, size))
            return &level->rules[i];
    return NULL;
}

// The fields that objects have whose value is looked into are fewer than four deep.
static bool read_object(struct event_reader *r, enum router_event_field within);

static bool read_first(struct event_reader *r, enum router_event_field field) {
    if (!router_json_take(&r->w, '[')) return false;
    if (router_json_take(&r->w, ']')) return true;
    do {
        bool first = !r->e->n_choices++;
        if (first && router_json_next(&r->w) == '{' ? !read_object(r, field)
                                                    : !router_json_skip_value(&r->w))
            return false;
    } while (router_json_take(&r->w, ','));
    return router_json_take(&r->w, ']');
}

static bool read_value(struct event_reader *r, const struct event_rule *rule) {
    char c = router_json_next(&r->w);
    if (rule && rule->inside == INSIDE_OBJECT && c == '{') return read_object(r, rule->field);
    if (rule && rule->inside == INSIDE_FIRST && c == '[') {
        r->e->n_choices = 0;
        return read_first(r, rule->field);
    }
    return router_json_skip_value(&r->w);
}

static bool read_object(struct event_reader *r, enum router_event_field within) {
    if (!router_json_take(&r->w, '{')) return false;
    if (router_json_take(&r->w, '}')) return true;
    do {
        if (router_json_next(&r->w) != '"') return false;
        const char *name = r->w.at;
        if (!router_json_skip_text(&r->w)) return false;
        const struct event_rule *rule = find_rule(within, name + 1, (size_t)(r->w.at - name) - 2);
        if (!router_json_take(&r->w, ':')) return false;
        router_json_next(&r->w);
        const char *value = r->w.at;
        if (!read_value(r, rule)) return false;
        if (rule)
            r->e->at[rule->field] = (struct router_event_span){(size_t)(name - r->e->text),
                                                               (size_t)(value - r->e->text),
                                                               (size_t)(r->w.at - r->e->text)};
    } while (router_json_take(&r->w, ','));
    return router_json_take(&r->w, '}');
}

bool router_event_read(struct router_event *e, const char *text, size_t n) {
    struct event_reader r = {e, {text, text + n}};
    memset(e, 0, sizeof *e);
    e->text = text;
    return read_object(&r, ROUTER_EVENT_ROOT) && !router_json_next(&r.w) && r.w.at == r.w.end;
}

// ---- Values --------------------------------------------------------------------------------------

static bool is_null(const char *text, size_t n) {
    return n == 4 && !memcmp(text, "null", 4);
}

bool router_event_has(const struct router_event *e, enum router_event_field f) {
    const struct router_event_span *s = &e->at[f];
    return s->end && !is_null(e->text + s->value, s->end - s->value);
}

bool router_event_says(const struct router_event *e, enum router_event_field f) {
    const struct router_event_span *s = &e->at[f];
    return s->end > s->value + 2 && e->text[s->value] == '"';
}

bool router_event_is(const struct router_event *e, enum router_event_field f, const char *text) {
    const struct router_event_span *s = &e->at[f];
    size_t n = strlen(text);
    return s->end == s->value + n + 2 && e->text[s->value] == '"' &&
           !memcmp(e->text + s->value + 1, text, n);
}

static bool take_number(const char *text, size_t *at, size_t end, uint64_t *number) {
    size_t from = *at;
    uint64_t x = 0;
    while (*at < end && text[*at] >= '0' && text[*at] <= '9' && *at - from < EVENT_MAX_DIGITS)
        x = 10 * x + (uint64_t)(text[(*at)++] - '0');
    *number = x;
    return *at > from && (*at == end || text[*at] < '0' || text[*at] > '9');
}

int64_t router_event_number(const struct router_event *e, enum router_event_field f) {
    const struct router_event_span *s = &e->at[f];
    size_t at = s->value;
    uint64_t x;
    return take_number(e->text, &at, s->end, &x) && at == s->end ? (int64_t)x : -1;
}

static void pass_blanks(const char *text, size_t *at, size_t end) {
    while (*at < end && router_json_blank(text[*at]))
        ++*at;
}

bool router_event_next(const struct router_event *e, enum router_event_field f, size_t *at,
                       uint64_t *number) {
    size_t end = e->at[f].end - 1;
    pass_blanks(e->text, at, end);
    if (!take_number(e->text, at, end, number)) return false;
    pass_blanks(e->text, at, end);
    if (*at < end && e->text[*at] == ',') ++*at;
    return true;
}

bool router_event_numbers(const struct router_event *e, enum router_event_field f, size_t *count) {
    const struct router_event_span *s = &e->at[f];
    *count = 0;
    if (s->end < s->value + 2 || e->text[s->value] != '[' || e->text[s->end - 1] != ']')
        return false;
    size_t at = s->value + 1, end = s->end - 1;
    uint64_t x;
    pass_blanks(e->text, &at, end);
    while (at < end) {
        bool comma = *count > 0;
        if (comma && e->text[at++] != ',') return false;
        pass_blanks(e->text, &at, end);
        if (!take_number(e->text, &at, end, &x) || x > UINT32_MAX) return false;
        ++*count;
        pass_blanks(e->text, &at, end);
    }
    return true;
}
