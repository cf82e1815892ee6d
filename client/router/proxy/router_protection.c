// SPDX-License-Identifier: Apache-2.0
#include "router_protection.h"

#include <stdio.h>
#include <string.h>

#include "router_joint.h"

const char *router_because_word(enum router_because why) {
    static const char *const words[ROUTER_BECAUSES] = {
        [ROUTER_BECAUSE_NOTHING] = "",
        [ROUTER_BECAUSE_CHOICES] = "choices",
        [ROUTER_BECAUSE_GUIDED] = "guided",
        [ROUTER_BECAUSE_PICTURES] = "pictures",
        [ROUTER_BECAUSE_ECHO] = "echo",
        [ROUTER_BECAUSE_TRANSFER] = "transfer",
        [ROUTER_BECAUSE_REASONING] = "reasoning",
        [ROUTER_BECAUSE_TRUNCATED] = "truncated",
        [ROUTER_BECAUSE_LIMITS] = "limits",
        [ROUTER_BECAUSE_STOP] = "stop",
        [ROUTER_BECAUSE_OFF] = "off",
        [ROUTER_BECAUSE_BODY] = "body",
        [ROUTER_BECAUSE_ENGINE] = "engine",
        [ROUTER_BECAUSE_IDS] = "ids",
        [ROUTER_BECAUSE_TEXT] = "text",
        [ROUTER_BECAUSE_TOOLS] = "tools",
        [ROUTER_BECAUSE_EVENT] = "event",
        [ROUTER_BECAUSE_MEMORY] = "memory",
        [ROUTER_BECAUSE_AGAIN] = "again",
        [ROUTER_BECAUSE_ALONE] = "alone",
        [ROUTER_BECAUSE_REFUSED] = "refused",
    };
    return words[why] ? words[why] : "";
}

// ---- What is asked for ---------------------------------------------------------------------------

static bool is_there(const json_t *v) {
    return v && !json_is_null(v);
}

static bool is_true(const json_t *v) {
    return is_there(v) && !json_is_false(v);
}

static bool is_several(const json_t *v) {
    return is_there(v) && !(json_is_integer(v) && json_integer_value(v) == 1);
}

static bool is_must(const json_t *v) {
    return json_is_object(v) || (json_is_string(v) && !strcmp(json_string_value(v), "required"));
}

static bool is_form(const json_t *v) {
    const char *type = json_string_value(json_object_get(v, "type"));
    return is_there(v) && !(type && !strcmp(type, "text"));
}

static bool is_hidden(const json_t *v) {
    return json_is_false(v);
}

static bool is_odd_limit(const json_t *v) {
    return is_there(v) && !(json_is_integer(v) && json_integer_value(v) >= 0);
}

// Of texts, of lists, or of vectors.
static bool is_odd_prompt(const json_t *v) {
    size_t i;
    json_t *one;
    json_array_foreach(v, i, one) if (!json_is_integer(one)) return true;
    return is_there(v) && !json_is_string(v) && !json_array_size(v);
}

static const struct {
    const char *name;
    bool (*holds)(const json_t *value);
    enum router_because because;
} refusals[] = {
    {"n", is_several, ROUTER_BECAUSE_CHOICES},
    {"best_of", is_several, ROUTER_BECAUSE_CHOICES},
    {"use_beam_search", is_true, ROUTER_BECAUSE_CHOICES},
    {"prompt", is_odd_prompt, ROUTER_BECAUSE_CHOICES},
    {"prompt_embeds", is_there, ROUTER_BECAUSE_PICTURES},
    {"structured_outputs", is_there, ROUTER_BECAUSE_GUIDED},
    {"guided_json", is_there, ROUTER_BECAUSE_GUIDED},
    {"guided_regex", is_there, ROUTER_BECAUSE_GUIDED},
    {"guided_choice", is_there, ROUTER_BECAUSE_GUIDED},
    {"guided_grammar", is_there, ROUTER_BECAUSE_GUIDED},
    {"regex", is_there, ROUTER_BECAUSE_GUIDED},
    {"ebnf", is_there, ROUTER_BECAUSE_GUIDED},
    {"json_schema", is_there, ROUTER_BECAUSE_GUIDED},
    {"response_format", is_form, ROUTER_BECAUSE_GUIDED},
    {"tool_choice", is_must, ROUTER_BECAUSE_GUIDED},
    {"echo", is_true, ROUTER_BECAUSE_ECHO},
    {"prompt_logprobs", is_there, ROUTER_BECAUSE_ECHO},
    {"suffix", is_there, ROUTER_BECAUSE_ECHO},
    {"kv_transfer_params", is_there, ROUTER_BECAUSE_TRANSFER},
    {"include_reasoning", is_hidden, ROUTER_BECAUSE_REASONING},
    {"truncate_prompt_tokens", is_there, ROUTER_BECAUSE_TRUNCATED},
    {"max_tokens", is_odd_limit, ROUTER_BECAUSE_LIMITS},
    {"max_completion_tokens", is_odd_limit, ROUTER_BECAUSE_LIMITS},
    {"min_tokens", is_odd_limit, ROUTER_BECAUSE_LIMITS},
};

static enum router_because refusal_of(const json_t *body, bool chat) {
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++)
        if (refusals[i].holds(json_object_get(body, refusals[i].name))) return refusals[i].because;
    if (chat && !router_prompt_is_plain(ROUTER_PROMPT_CHAT, body)) return ROUTER_BECAUSE_PICTURES;
    return ROUTER_BECAUSE_NOTHING;
}

// ---- What changes --------------------------------------------------------------------------------

static const struct {
    const char *name;
    unsigned bit;
} changes[] = {
    {"seed", ROUTER_CHANGES_SEED},
    {"presence_penalty", ROUTER_CHANGES_PRESENCE},
    {"frequency_penalty", ROUTER_CHANGES_FREQUENCY},
    {"thinking_token_budget", ROUTER_CHANGES_BUDGET},
};

// A penalty of 0 is none, and a seed of 0 is one; but nothing is drawn at a temperature of 0.
static bool is_change(const json_t *body, unsigned bit, const json_t *value) {
    const json_t *heat = json_object_get(body, "temperature");
    bool cold = json_is_number(heat) && json_number_value(heat) <= 0;
    if (!is_there(value)) return false;
    if (bit == ROUTER_CHANGES_SEED) return !cold;
    return bit == ROUTER_CHANGES_BUDGET || !json_is_number(value) || json_number_value(value) < 0 ||
           json_number_value(value) > 0;
}

static unsigned changes_of(const json_t *body) {
    unsigned all = 0;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        if (is_change(body, changes[i].bit, json_object_get(body, changes[i].name)))
            all |= changes[i].bit;
    return all;
}

void router_protection_changes(const struct router_protection *p, char *out, size_t size) {
    size_t n = 0;
    *out = 0;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++)
        if (p->changes & changes[i].bit && n < size)
            n += (size_t)snprintf(out + n, size - n, "%s%s", n ? "," : "", changes[i].name);
}

// ---- All of it -----------------------------------------------------------------------------------

static int64_t limit_of(const json_t *body, const char *name) {
    const json_t *v = json_object_get(body, name);
    return json_is_integer(v) ? json_integer_value(v) : -1;
}

// One text stands for a list of one.
static bool read_stops(struct router_protection *p, const json_t *body) {
    json_t *given = json_object_get(body, "stop");
    if (!is_there(given) || (json_is_array(given) && !json_array_size(given)) ||
        (json_is_string(given) && !json_string_length(given)))
        return true;
    p->stops_included = json_is_true(json_object_get(body, "include_stop_str_in_output"));
    p->stops =
        json_is_string(given) ? json_pack("[o]", json_deep_copy(given)) : json_deep_copy(given);
    size_t i;
    json_t *one;
    json_array_foreach(p->stops, i, one) if (!json_string_length(one)) return false;
    return json_is_array(p->stops) && router_joint_can(p->stops);
}

void router_protection_read(struct router_protection *p, enum router_prompt_kind kind,
                            const json_t *body, const struct router_prompt_config *how) {
    const json_t *options = json_object_get(body, "stream_options");
    *p = (struct router_protection){
        .chat = kind == ROUTER_PROMPT_CHAT,
        .because = refusal_of(body, kind == ROUTER_PROMPT_CHAT),
        .changes = changes_of(body),
        .asks_ids = json_is_true(json_object_get(body, "return_token_ids")),
        .asks_usage = json_is_true(json_object_get(options, "include_usage")),
        .max_tokens = limit_of(body, "max_tokens"),
        .max_answer = limit_of(body, "max_completion_tokens"),
        .min_tokens = limit_of(body, "min_tokens"),
        .prompt_seed = router_prompt_seed(body, how),
    };
    if (!p->because && !read_stops(p, body)) p->because = ROUTER_BECAUSE_STOP;
}

void router_protection_free(struct router_protection *p) {
    json_decref(p->stops);
    p->stops = NULL;
}
