// SPDX-License-Identifier: Apache-2.0
#include "router_engine_kind.h"

#include <string.h>

#include "router_labels.h"

static const struct {
    enum router_engine_kind kind;
    const char *label, *owner;
    enum engine_kind asked; // as an engine says it that is asked what it is; ANY: none says that
} kinds[] = {
    {ROUTER_KIND_VLLM, "engine=vllm", "vllm", ENGINE_KIND_VLLM},
    {ROUTER_KIND_SGLANG, "engine=sglang", "sglang", ENGINE_KIND_SGLANG},
    {ROUTER_KIND_TRTLLM, "engine=trtllm", "tensorrt_llm", ENGINE_KIND_ANY},
    {ROUTER_KIND_OTHER, "engine=other", NULL, ENGINE_KIND_ANY},
};

const char *router_engine_kind_label(enum engine_kind asked) {
    for (size_t i = 0; asked != ENGINE_KIND_ANY && i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].asked == asked) return kinds[i].label;
    return NULL;
}

const char *router_engine_kind_name(enum router_engine_kind kind) {
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].kind == kind && kinds[i].owner) return kinds[i].owner;
    return "other";
}

static const char *owner_of(const struct router_worker *w) {
    json_t *serves = w->here.serves;
    const json_t *entry = json_object_iter_value(json_object_iter(serves));
    return json_string_value(json_object_get(entry, "owned_by"));
}

// A connector that only one kind of engine speaks says which it is, too.
static enum router_engine_kind settings_say(const struct router_pool *p) {
    if (p->options.engine != ROUTER_KIND_AUTO) return p->options.engine;
    static const enum router_engine_kind speakers[] = {
        [ROUTER_CONNECTOR_NIXL] = ROUTER_KIND_VLLM,
        [ROUTER_CONNECTOR_MOONCAKE] = ROUTER_KIND_VLLM,
        [ROUTER_CONNECTOR_SGLANG] = ROUTER_KIND_SGLANG,
        [ROUTER_CONNECTOR_TRTLLM] = ROUTER_KIND_TRTLLM,
    };
    return speakers[p->options.connector]; // of the others AUTO
}

enum router_engine_kind router_engine_kind_of(const struct router_pool *p,
                                              const struct router_worker *w) {
    enum router_engine_kind said = settings_say(p);
    if (said != ROUTER_KIND_AUTO) return said;
    if (!w) return ROUTER_KIND_OTHER;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (router_label_is(w, kinds[i].label)) return kinds[i].kind;
    const char *owner = owner_of(w);
    for (size_t i = 0; owner && i < sizeof kinds / sizeof *kinds; i++)
        if (kinds[i].owner && !strcmp(owner, kinds[i].owner)) return kinds[i].kind;
    return ROUTER_KIND_OTHER;
}
