// SPDX-License-Identifier: Apache-2.0
#include "router_connector.h"

#include <stdlib.h>
#include <string.h>

const struct router_connector *router_connector_of(enum router_connector_kind kind) {
    static const struct router_connector *const all[] = {
        [ROUTER_CONNECTOR_NONE] = NULL,
        [ROUTER_CONNECTOR_NIXL] = &router_connector_nixl,
        [ROUTER_CONNECTOR_MOONCAKE] = &router_connector_mooncake,
        [ROUTER_CONNECTOR_SHARED] = &router_connector_shared,
        [ROUTER_CONNECTOR_SGLANG] = &router_connector_sglang,
        [ROUTER_CONNECTOR_TRTLLM] = &router_connector_trtllm,
    };
    return all[kind];
}

static bool is_said(const json_t *body, const char *name) {
    const json_t *value = json_object_get(body, name);
    return value && !json_is_null(value) && !json_is_false(value);
}

static bool is_more_than_one(const json_t *body, const char *name) {
    const json_t *n = json_object_get(body, name);
    return n && !json_is_null(n) && !(json_is_number(n) && json_number_value(n) == 1);
}

static bool has_one_prompt(const json_t *body) {
    const json_t *prompt = json_object_get(body, "prompt"), *first = json_array_get(prompt, 0);
    return json_is_string(prompt) || json_is_integer(first);
}

bool router_connector_fits(enum router_prompt_kind kind, const json_t *body) {
    static const char *const own[] = {
        "kv_transfer_params", "disaggregated_params", "bootstrap_host", "bootstrap_room",
        "prompt_logprobs",    "use_beam_search",      "prompt_embeds"};
    if (!router_prompt_traits[kind].goes_on) return false;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (is_said(body, own[i])) return false;
    if (is_more_than_one(body, "n") || is_more_than_one(body, "best_of")) return false;
    if (is_said(body, "echo") && is_said(body, "logprobs")) return false;
    return kind == ROUTER_PROMPT_CHAT || has_one_prompt(body);
}

void router_handover_free(struct router_handover *h) {
    free(h->params);
    free(h->ids);
    free(h->answer);
    *h = (struct router_handover){.cached = -1};
}
