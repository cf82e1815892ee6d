// SPDX-License-Identifier: Apache-2.0
#include "router_convert.h"

#include <stdlib.h>
#include <string.h>

#include "router_prompt_text.h"

// ---- Both ----------------------------------------------------------------------------------------

static bool is_of_type(const json_t *value, const char *type) {
    const char *said = json_string_value(json_object_get(value, "type"));
    return said && !strcmp(said, type);
}

static bool is_text(const json_t *part) {
    return json_is_string(json_object_get(part, "text"));
}

// The texts of a list's parts behind each other; of a text itself. To be freed; NULL: there is none.
static json_t *joined(const json_t *content) {
    size_t i, n = 0;
    json_t *part;
    if (json_is_string(content)) return json_incref((json_t *)content);
    json_array_foreach(content, i, part) n += json_string_length(json_object_get(part, "text"));
    char *all = n ? malloc(n) : NULL;
    if (!all) return NULL;
    n = 0;
    json_array_foreach(content, i, part) {
        const json_t *text = json_object_get(part, "text");
        size_t size = router_prompt_is_billing(part) ? 0 : json_string_length(text);
        if (size) memcpy(all + n, json_string_value(text), size);
        n += size;
    }
    json_t *text = n ? json_stringn(all, n) : NULL;
    free(all);
    return text;
}

// Takes the content; NULL: the message has none, and isn't there.
static void add_message(json_t *messages, const char *role, json_t *content) {
    if (content)
        json_array_append_new(messages, json_pack("{s:s,s:o}", "role", role, "content", content));
}

// Takes the arguments, a text.
static json_t *call_of(const json_t *id, const json_t *name, json_t *arguments) {
    return json_pack("{s:O*,s:s,s:{s:O*,s:o*}}", "id", id, "type", "function", "function", "name",
                     name, "arguments", arguments);
}

static json_t *dumped(const json_t *value) {
    char *text = value ? json_dumps(value, JSON_ENCODE_ANY) : NULL;
    json_t *json = json_string(text ? text : "{}");
    free(text);
    return json;
}

static void add_answer(json_t *messages, const json_t *id, const json_t *content) {
    json_t *text = joined(content);
    json_array_append_new(messages, json_pack("{s:s,s:O*,s:o}", "role", "tool", "tool_call_id", id,
                                              "content", text ? text : json_string("")));
}

// The tools whose parameters have this name.
static json_t *tools_of(const json_t *body, const char *parameters) {
    json_t *tools = json_array(), *tool;
    size_t i;
    json_array_foreach(json_object_get(body, "tools"), i, tool) {
        const json_t *name = json_object_get(tool, "name");
        if (name)
            json_array_append_new(
                tools, json_pack("{s:s,s:{s:O,s:O*,s:O*}}", "type", "function", "function", "name",
                                 name, "description", json_object_get(tool, "description"),
                                 "parameters", json_object_get(tool, parameters)));
    }
    return tools;
}

// Takes both.
static json_t *chat_of(json_t *messages, json_t *tools) {
    json_t *chat = json_pack("{s:o}", "messages", messages);
    if (chat && json_array_size(tools)) json_object_set(chat, "tools", tools);
    json_decref(tools);
    return chat;
}

// ---- Anthropic's messages ------------------------------------------------------------------------

// A turn's texts and calls are one message; each answer of a tool is one before it.
static void add_turn(json_t *messages, const char *role, const json_t *content) {
    json_t *part, *calls = json_array(), *text = joined(content);
    size_t i;
    json_array_foreach(content, i, part) {
        if (is_of_type(part, "tool_result"))
            add_answer(messages, json_object_get(part, "tool_use_id"),
                       json_object_get(part, "content"));
        if (is_of_type(part, "tool_use"))
            json_array_append_new(calls, call_of(json_object_get(part, "id"),
                                                 json_object_get(part, "name"),
                                                 dumped(json_object_get(part, "input"))));
    }
    if (json_array_size(calls))
        json_array_append_new(messages, json_pack("{s:s,s:o*,s:O}", "role", role, "content", text,
                                                  "tool_calls", calls));
    else
        add_message(messages, role, text);
    json_decref(calls);
}

json_t *router_convert_messages(const json_t *body) {
    json_t *messages = json_array(), *turn;
    size_t i;
    if (!messages) return NULL;
    add_message(messages, "system", joined(json_object_get(body, "system")));
    json_array_foreach(json_object_get(body, "messages"), i, turn) {
        const char *role = json_string_value(json_object_get(turn, "role"));
        add_turn(messages, role ? role : "user", json_object_get(turn, "content"));
    }
    return chat_of(messages, tools_of(body, "input_schema"));
}

static bool is_plain_part(const json_t *part) {
    size_t i;
    json_t *one;
    if (is_text(part) || is_of_type(part, "tool_use") || is_of_type(part, "thinking")) return true;
    if (!is_of_type(part, "tool_result")) return false;
    json_array_foreach(json_object_get(part, "content"), i, one) if (!is_text(one)) return false;
    return true;
}

bool router_convert_messages_plain(const json_t *body) {
    size_t i, k;
    json_t *turn, *part;
    json_array_foreach(json_object_get(body, "messages"), i, turn) json_array_foreach(
        json_object_get(turn, "content"), k, part) if (!is_plain_part(part)) return false;
    return true;
}

// ---- OpenAI's responses --------------------------------------------------------------------------

static void add_item(json_t *messages, const json_t *item) {
    const char *role = json_string_value(json_object_get(item, "role"));
    if (role) {
        add_message(messages, role, joined(json_object_get(item, "content")));
    } else if (is_of_type(item, "function_call")) {
        json_t *call = call_of(json_object_get(item, "call_id"), json_object_get(item, "name"),
                               json_incref(json_object_get(item, "arguments")));
        json_array_append_new(messages,
                              json_pack("{s:s,s:[o]}", "role", "assistant", "tool_calls", call));
    } else if (is_of_type(item, "function_call_output")) {
        add_answer(messages, json_object_get(item, "call_id"), json_object_get(item, "output"));
    }
}

json_t *router_convert_responses(const json_t *body) {
    json_t *messages = json_array(), *item;
    const json_t *input = json_object_get(body, "input");
    size_t i;
    if (!messages) return NULL;
    add_message(messages, "system", joined(json_object_get(body, "instructions")));
    if (json_is_string(input)) add_message(messages, "user", json_incref((json_t *)input));
    json_array_foreach(input, i, item) add_item(messages, item);
    return chat_of(messages, tools_of(body, "parameters"));
}

bool router_convert_responses_plain(const json_t *body) {
    size_t i, k;
    json_t *item, *part;
    json_array_foreach(json_object_get(body, "input"), i, item) {
        const json_t *content = json_object_get(item, "content");
        if (!content) content = json_object_get(item, "output");
        json_array_foreach(content, k, part) if (!is_text(part)) return false;
    }
    return true;
}
