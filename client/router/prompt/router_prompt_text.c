// SPDX-License-Identifier: Apache-2.0
#include "router_prompt_text.h"

#include <string.h>

static bool is_there(const json_t *value) {
    return value && !json_is_null(value);
}

// ---- Turns ---------------------------------------------------------------------------------------

// Without the members of these names, which come and go.
static void put_without(struct router_text_pieces *t, const json_t *value, const char *const *names,
                        size_t n) {
    bool any = false;
    for (size_t i = 0; i < n; i++)
        any |= json_object_get(value, names[i]) != NULL;
    json_t *less = any ? json_copy((json_t *)value) : NULL;
    t->failed |= any && !less;
    for (size_t i = 0; less && i < n; i++)
        json_object_del(less, names[i]);
    router_pieces_json(t, less ? less : value);
    json_decref(less);
}

static void put_part(struct router_text_pieces *t, const json_t *part) {
    static const char *const marks[] = {"cache_control"};
    const json_t *text = json_object_get(part, "text");
    if (json_is_string(text))
        router_pieces_json(t, text);
    else
        put_without(t, part, marks, 1);
}

static void put_content(struct router_text_pieces *t, const json_t *content) {
    size_t i;
    json_t *part;
    if (!json_is_array(content)) {
        router_pieces_json(t, content);
        return;
    }
    json_array_foreach(content, i, part) put_part(t, part);
}

// What a template makes text of; of what else there is, ids and the like, it doesn't.
static void put_message(struct router_text_pieces *t, const json_t *message) {
    static const char *const others[] = {"name", "reasoning_content", "tool_calls", "tool_call_id"};
    const json_t *role = json_object_get(message, "role");
    const json_t *content = json_object_get(message, "content");
    router_pieces_put(t, "\xfe", 1);
    if (role) router_pieces_json(t, role);
    if (is_there(content)) put_content(t, content);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        const json_t *value = json_object_get(message, others[i]);
        if (is_there(value)) router_pieces_json(t, value);
    }
}

static void put_messages(struct router_text_pieces *t, const json_t *messages) {
    size_t i;
    json_t *message;
    json_array_foreach(messages, i, message) put_message(t, message);
}

static void put_tools(struct router_text_pieces *t, const json_t *body) {
    const json_t *tools = json_object_get(body, "tools");
    size_t i;
    json_t *tool;
    bool marked = false;
    json_array_foreach(tools, i, tool) marked |= json_object_get(tool, "cache_control") != NULL;
    if (marked)
        put_content(t, tools);
    else if (is_there(tools))
        router_pieces_json(t, tools);
}

// ---- Anthropic's messages ------------------------------------------------------------------------

bool router_prompt_is_billing(const json_t *block) {
    static const char header[] = "x-anthropic-billing-header";
    const char *text = json_string_value(json_object_get(block, "text"));
    return text && !strncmp(text, header, sizeof header - 1);
}

static void put_system(struct router_text_pieces *t, const json_t *system) {
    size_t i;
    json_t *block;
    if (json_is_string(system)) router_pieces_json(t, system);
    json_array_foreach(system, i, block) if (!router_prompt_is_billing(block)) put_part(t, block);
}

// ---- OpenAI's responses --------------------------------------------------------------------------

static void put_item(struct router_text_pieces *t, const json_t *item) {
    static const char *const marks[] = {"id", "status"};
    if (json_object_get(item, "role")) {
        put_message(t, item);
        return;
    }
    router_pieces_put(t, "\xfe", 1);
    put_without(t, item, marks, 2);
}

// A text stands for one message of the user's.
static void put_input(struct router_text_pieces *t, const json_t *input) {
    size_t i;
    json_t *item;
    if (json_is_string(input)) {
        router_pieces_put(t, "\xfeuser\xff", 6);
        router_pieces_json(t, input);
    }
    json_array_foreach(input, i, item) put_item(t, item);
}

// ---- Pairs ---------------------------------------------------------------------------------------

// What stands before the others.
static const json_t *first_of_pairs(const json_t *body) {
    static const char *const names[] = {"query", "queries", "text_1", "data_1"};
    if (json_is_true(json_object_get(body, "item_first"))) return NULL;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *one = json_object_get(body, names[i]);
        if (is_there(one)) return one;
    }
    return NULL;
}

static int64_t bytes_of(const json_t *text) {
    const json_t *inside = json_object_get(text, "text");
    return (int64_t)json_string_length(inside ? inside : text);
}

static int64_t bytes_of_all(const json_t *list) {
    size_t i;
    json_t *one;
    int64_t bytes = json_is_array(list) ? 0 : bytes_of(list);
    json_array_foreach(list, i, one) bytes += bytes_of(one);
    return bytes;
}

static int64_t bytes_of_pairs(const json_t *body) {
    static const char *const names[] = {"documents", "items", "text_2", "data_2"};
    const json_t *first = first_of_pairs(body);
    int64_t bytes = json_is_array(first) ? bytes_of_all(first) - bytes_of(json_array_get(first, 0))
                                         : -bytes_of(first);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const json_t *others = json_object_get(body, names[i]);
        size_t n = json_is_array(others) ? json_array_size(others) : is_there(others);
        bytes += bytes_of_all(others);
        if (!json_is_array(first)) bytes += (int64_t)n * bytes_of(first);
    }
    return bytes > 0 ? bytes : 0;
}

// ---- All of it -----------------------------------------------------------------------------------

void router_prompt_text(struct router_text_pieces *t, enum router_prompt_kind kind,
                        const json_t *body) {
    const json_t *messages = json_object_get(body, "messages");
    const json_t *instructions = json_object_get(body, "instructions"), *first;
    switch (kind) {
    case ROUTER_PROMPT_CHAT:
    case ROUTER_PROMPT_POOLING:
        put_tools(t, body);
        put_messages(t, messages);
        break;
    case ROUTER_PROMPT_BATCH:
        put_tools(t, body);
        put_messages(t, json_array_get(messages, 0));
        break;
    case ROUTER_PROMPT_MESSAGES:
        put_tools(t, body);
        put_system(t, json_object_get(body, "system"));
        put_messages(t, messages);
        break;
    case ROUTER_PROMPT_RESPONSES:
        put_tools(t, body);
        if (is_there(instructions)) router_pieces_json(t, instructions);
        put_input(t, json_object_get(body, "input"));
        break;
    case ROUTER_PROMPT_RERANK:
    case ROUTER_PROMPT_SCORE:
        first = first_of_pairs(body);
        if (json_is_array(first)) first = json_array_get(first, 0);
        if (json_is_string(first))
            router_pieces_put(t, json_string_value(first), json_string_length(first));
        break;
    default:
        break;
    }
}

int64_t router_prompt_other_bytes(enum router_prompt_kind kind, const json_t *body) {
    struct router_text_pieces count = {.state = NULL};
    const json_t *messages = json_object_get(body, "messages");
    if (kind == ROUTER_PROMPT_RERANK || kind == ROUTER_PROMPT_SCORE) return bytes_of_pairs(body);
    for (size_t i = 1; kind == ROUTER_PROMPT_BATCH && i < json_array_size(messages); i++)
        put_messages(&count, json_array_get(messages, i));
    return count.bytes;
}
