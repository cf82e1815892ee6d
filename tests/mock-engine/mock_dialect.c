// SPDX-License-Identifier: Apache-2.0
// The bodies of other APIs as those of a chat or a completion; see mock_dialect.h.
#include "mock_dialect.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { DEFAULT_NEW_TOKENS = 128 }; // SGLang's

static bool is_there(const json_t *v) {
    return v && !json_is_null(v);
}

static const char *text_of(const json_t *object, const char *name) {
    return json_string_value(json_object_get(object, name));
}

static bool is_kind(const json_t *object, const char *type) {
    const char *is = text_of(object, "type");
    return is && strcmp(is, type) == 0;
}

static void move(json_t *to, const char *name, const json_t *from, const char *under) {
    json_t *value = json_object_get(from, under);
    if (is_there(value)) json_object_set(to, name, value);
}

static void drop_all(json_t *body, const char *const *names) {
    for (; *names; names++)
        json_object_del(body, *names);
}

static json_t *new_message(const char *role, json_t *content) {
    return json_pack("{s:s,s:o}", "role", role, "content", content);
}

static void add_text(json_t *parts, const json_t *text) {
    json_array_append_new(parts, json_pack("{s:s,s:O}", "type", "text", "text", text));
}

// What a model said in a call of a tool is in its own words again.
static void add_call(json_t *parts, const char *name, const char *arguments) {
    json_t *text = json_sprintf("{\"name\":\"%s\",\"arguments\":%s}", name ? name : "",
                                arguments ? arguments : "{}");
    if (text) add_text(parts, text);
    json_decref(text);
}

// ---- Anthropic -----------------------------------------------------------------------------------

static bool is_billing(const json_t *text) {
    static const char billing[] = "x-anthropic-billing-header";
    return strncmp(json_string_value(text), billing, sizeof billing - 1) == 0;
}

static const char *read_system(json_t *messages, const json_t *system) {
    json_t *parts, *block;
    size_t i;
    if (!is_there(system)) return NULL;
    if (!json_is_string(system) && !json_is_array(system)) return "system is a text or blocks";
    parts = json_array();
    if (json_is_string(system)) add_text(parts, system);
    json_array_foreach(system, i, block) {
        const json_t *text = json_object_get(block, "text");
        if (json_is_string(text) && !is_billing(text)) add_text(parts, text);
    }
    if (json_array_size(parts))
        json_array_append_new(messages, new_message("system", parts));
    else
        json_decref(parts);
    return NULL;
}

// Its result is a message of its own, before the one it came in.
static void read_result(json_t *messages, const json_t *block) {
    json_t *content = json_object_get(block, "content");
    if (json_is_string(content) || json_is_array(content))
        json_array_append_new(messages, new_message("tool", json_incref(content)));
}

static const char *read_block(json_t *messages, json_t *parts, const json_t *block) {
    const json_t *text = json_object_get(block, "text");
    if (is_kind(block, "text") && json_is_string(text)) {
        add_text(parts, text);
    } else if (is_kind(block, "tool_use")) {
        char *input = json_dumps(json_object_get(block, "input"), JSON_COMPACT);
        add_call(parts, text_of(block, "name"), input);
        free(input);
    } else if (is_kind(block, "tool_result")) {
        read_result(messages, block);
    } else if (!is_kind(block, "thinking") && !is_kind(block, "redacted_thinking")) {
        return "a block of a message that isn't text";
    }
    return NULL;
}

static const char *read_blocks(json_t *messages, const char *role, const json_t *blocks) {
    json_t *parts = json_array(), *block;
    const char *wrong = NULL;
    size_t i;
    json_array_foreach(blocks, i, block) if (!wrong) wrong = read_block(messages, parts, block);
    if (!wrong && json_array_size(parts))
        json_array_append_new(messages, new_message(role, json_incref(parts)));
    json_decref(parts);
    return wrong;
}

static const char *read_messages(json_t *messages, const json_t *body) {
    const json_t *all = json_object_get(body, "messages");
    json_t *message;
    size_t i;
    const char *wrong = read_system(messages, json_object_get(body, "system"));
    if (!json_is_array(all) || !json_array_size(all)) return "messages is no array, or empty";
    json_array_foreach(all, i, message) {
        const char *role = text_of(message, "role");
        json_t *content = json_object_get(message, "content");
        if (wrong) return wrong;
        if (!role) return "a message without a role";
        if (json_is_string(content))
            json_array_append_new(messages, new_message(role, json_incref(content)));
        else if (json_is_array(content))
            wrong = read_blocks(messages, role, content);
        else
            return "the content of a message is a text or an array";
    }
    return wrong;
}

static void read_choice(json_t *chat, const json_t *choice) {
    json_object_del(chat, "tool_choice");
    if (is_kind(choice, "any")) json_object_set_new(chat, "tool_choice", json_string("required"));
    if (is_kind(choice, "none")) json_object_set_new(chat, "tool_choice", json_string("none"));
    if (is_kind(choice, "tool"))
        json_object_set_new(chat, "tool_choice", json_pack("{s:s}", "type", "function"));
}

static void forbid_thoughts(json_t *chat) {
    json_t *kwargs = json_copy(json_object_get(chat, "chat_template_kwargs"));
    if (!json_is_object(kwargs)) {
        json_decref(kwargs);
        kwargs = json_object();
    }
    if (!json_object_get(kwargs, "enable_thinking"))
        json_object_set_new(kwargs, "enable_thinking", json_false());
    json_object_set_new(chat, "chat_template_kwargs", kwargs);
}

// What these APIs don't have, though a chat does.
static const char *const unknown_here[] = {
    "n",          "logprobs", "return_token_ids", "stream_options",         "include_reasoning",
    "max_tokens", "messages", "prompt",           "continue_final_message", "add_generation_prompt",
    NULL};

json_t *mock_dialect_messages(const json_t *body, const char **wrong) {
    json_t *chat = json_copy((json_t *)(uintptr_t)body), *messages = json_array();
    drop_all(chat, unknown_here);
    json_object_set(chat, "messages", messages);
    move(chat, "max_tokens", body, "max_tokens");
    move(chat, "stop", body, "stop_sequences");
    read_choice(chat, json_object_get(body, "tool_choice"));
    if (is_kind(json_object_get(body, "thinking"), "disabled")) forbid_thoughts(chat);
    *wrong = read_messages(messages, body);
    json_decref(messages);
    if (!*wrong) return chat;
    json_decref(chat);
    return NULL;
}

// ---- OpenAI's responses --------------------------------------------------------------------------

static const char *read_item_content(json_t *parts, const json_t *content) {
    json_t *part;
    size_t i;
    if (json_is_string(content)) add_text(parts, content);
    json_array_foreach(content, i, part) {
        const json_t *text = json_object_get(part, "text");
        if (!json_is_string(text)) return "a part of a message that isn't text";
        add_text(parts, text);
    }
    return NULL;
}

static const char *read_item(json_t *messages, const json_t *item) {
    const char *role = text_of(item, "role"), *wrong = NULL;
    json_t *parts = json_array();
    if (is_kind(item, "function_call")) {
        role = "assistant";
        add_call(parts, text_of(item, "name"), text_of(item, "arguments"));
    } else if (is_kind(item, "function_call_output")) {
        role = "tool";
        wrong = read_item_content(parts, json_object_get(item, "output"));
    } else if (role) {
        wrong = read_item_content(parts, json_object_get(item, "content"));
    } else if (!is_kind(item, "reasoning")) {
        wrong = "an item of the input that is no message";
    }
    if (!wrong && role) json_array_append_new(messages, new_message(role, json_incref(parts)));
    json_decref(parts);
    return wrong;
}

static const char *read_input(json_t *messages, json_t *input) {
    json_t *item;
    size_t i;
    const char *wrong = NULL;
    if (json_is_string(input))
        json_array_append_new(messages, new_message("user", json_incref(input)));
    else if (!json_is_array(input) || !json_array_size(input))
        return "input is a text or an array of items";
    json_array_foreach(input, i, item) if (!wrong) wrong = read_item(messages, item);
    return wrong;
}

json_t *mock_dialect_responses(const json_t *body, const json_t *earlier, const char **wrong) {
    json_t *chat = json_copy((json_t *)(uintptr_t)body), *messages = json_array();
    json_t *instructions = json_object_get(body, "instructions");
    const char *effort = text_of(json_object_get(body, "reasoning"), "effort");
    drop_all(chat, unknown_here);
    json_object_set(chat, "messages", messages);
    move(chat, "max_tokens", body, "max_output_tokens");
    if (effort && strcmp(effort, "none") == 0) forbid_thoughts(chat);
    if (json_is_string(instructions))
        json_array_append_new(messages, new_message("system", json_incref(instructions)));
    if (earlier) json_array_extend(messages, (json_t *)(uintptr_t)earlier);
    *wrong = read_input(messages, json_object_get(body, "input"));
    json_decref(messages);
    if (!*wrong) return chat;
    json_decref(chat);
    return NULL;
}

// ---- SGLang's generate ---------------------------------------------------------------------------

json_t *mock_dialect_generate(const json_t *body, const char **wrong) {
    static const char *const same[] = {
        "stop", "ignore_eos", "temperature", "n", "presence_penalty", "frequency_penalty", NULL};
    const json_t *params = json_object_get(body, "sampling_params");
    bool text = is_there(json_object_get(body, "text"));
    if (text == is_there(json_object_get(body, "input_ids"))) {
        *wrong = "either text or input_ids";
        return NULL;
    }
    *wrong = NULL;
    json_t *to = json_copy((json_t *)(uintptr_t)body);
    drop_all(to, unknown_here);
    json_object_set(to, "prompt", json_object_get(body, text ? "text" : "input_ids"));
    json_object_set_new(to, "max_tokens", json_integer(DEFAULT_NEW_TOKENS));
    move(to, "max_tokens", params, "max_new_tokens");
    move(to, "min_tokens", params, "min_new_tokens");
    move(to, "seed", params, "sampling_seed");
    move(to, "model", body, "lora_path");
    for (size_t i = 0; same[i]; i++)
        move(to, same[i], params, same[i]);
    json_object_set_new(to, "return_token_ids", json_true());
    return to;
}
