// SPDX-License-Identifier: Apache-2.0
#include "router_served.h"

#include <stdlib.h>
#include <string.h>

#include "client/common/config.h"

static const char label_of_model[] = "model=", label_of_adapter[] = "adapter=";

// ---- One engine ----------------------------------------------------------------------------------

// Whether a label of this key has this value; *any: whether there is one of the key at all.
static bool is_labelled(const struct router_worker *w, const char *key, const char *value,
                        bool *any) {
    size_t i, n = strlen(key);
    json_t *label;
    bool found = false;
    json_array_foreach(w->labels, i, label) {
        const char *text = json_string_value(label);
        if (!text || strncmp(text, key, n) != 0) continue;
        *any = true;
        found |= !strcmp(text + n, value);
    }
    return found;
}

static bool is_adapter(const json_t *entry) {
    return json_string_length(json_object_get(entry, "parent")) > 0;
}

// The part of base:adapter behind the colon, where engines serve the one and the other; NULL: it is no such
// name.
static const char *behind_base(const json_t *serves, const char *model) {
    const char *colon = strrchr(model, ':');
    if (!colon || !is_adapter(json_object_get(serves, colon + 1))) return NULL;
    return json_object_getn(serves, model, (size_t)(colon - model)) ? colon + 1 : NULL;
}

static enum router_served served_by(const struct router_worker *w, const char *model) {
    bool any = false; // each look adds to it
    bool model_is = w->labels && is_labelled(w, label_of_model, model, &any);
    bool adapter_is = w->labels && is_labelled(w, label_of_adapter, model, &any);
    if (model_is || adapter_is) return ROUTER_SERVED_YES;
    const json_t *serves = w->here.serves;
    if (!serves) return any ? ROUTER_SERVED_NOT : ROUTER_SERVED_UNKNOWN;
    bool is = json_object_get(serves, model) || behind_base(serves, model);
    return is ? ROUTER_SERVED_YES : ROUTER_SERVED_NOT;
}

// ---- All of a pool -------------------------------------------------------------------------------

// Engines of a role that serve the same share one list, so most often one look is enough.
static bool is_as_before(const struct router_pool *p, size_t i) {
    const struct router_worker *w = &p->workers[i];
    return i && !w->labels && !w[-1].labels && w->here.serves == w[-1].here.serves &&
           w->role == w[-1].role;
}

enum router_served router_served_in(const struct router_pool *p, const char *model) {
    enum router_served level = p->n_workers ? ROUTER_SERVED_NOT : ROUTER_SERVED_UNKNOWN;
    for (size_t i = 0; i < p->n_workers && level != ROUTER_SERVED_YES; i++) {
        if (is_as_before(p, i)) continue;
        enum router_served is = served_by(&p->workers[i], model);
        if (is > level) level = is;
    }
    return level;
}

static bool answers(const struct router_worker *w) {
    return w->role != KVR_ROLE_PREFILL;
}

static bool prefills(const struct router_worker *w) {
    return w->role != KVR_ROLE_DECODE;
}

static enum router_served served_by_those(const struct router_pool *p, const char *model,
                                          bool (*are)(const struct router_worker *)) {
    enum router_served level = ROUTER_SERVED_NOT;
    for (size_t i = 0; i < p->n_workers && level != ROUTER_SERVED_YES; i++) {
        if (is_as_before(p, i) || !are(&p->workers[i])) continue;
        enum router_served is = served_by(&p->workers[i], model);
        if (is > level) level = is;
    }
    return level;
}

struct router_served_levels router_served_levels(const struct router_pool *p, const char *model) {
    struct router_served_levels of = {ROUTER_SERVED_NOT, ROUTER_SERVED_NOT};
    if (!model || router_served_in(p, model) == ROUTER_SERVED_NOT) return of;
    of.answer = served_by_those(p, model, answers);
    of.prefill = served_by_those(p, model, prefills);
    // Where some may serve it, those that don't are none for it.
    if (of.answer == ROUTER_SERVED_NOT) of.answer = ROUTER_SERVED_UNKNOWN;
    if (of.prefill == ROUTER_SERVED_NOT) of.prefill = ROUTER_SERVED_UNKNOWN;
    return of;
}

bool router_served_fits(const struct router_worker *w, const char *model,
                        struct router_served_levels levels) {
    if (!model) return true;
    enum router_served is = served_by(w, model);
    return (answers(w) && is >= levels.answer) || (prefills(w) && is >= levels.prefill);
}

bool router_served_among(const struct router_pool *p, const char *model, struct kvr_bytes **names,
                         size_t *n) {
    struct router_served_levels levels = router_served_levels(p, model);
    bool fits = true;
    *names = NULL;
    *n = 0;
    if (levels.answer == ROUTER_SERVED_NOT) return true;
    struct kvr_bytes *all = malloc((p->n_workers + 1) * sizeof *all);
    if (!all) return false;
    for (size_t i = 0; i < p->n_workers; i++) {
        if (!is_as_before(p, i)) fits = router_served_fits(&p->workers[i], model, levels);
        if (fits) all[(*n)++] = kvr_text(p->workers[i].name);
    }
    if (*n < p->n_workers) {
        *names = all;
        return true;
    }
    free(all);
    *n = 0;
    return true;
}

struct kvr_bytes router_served_adapter(const struct router_pool *p, const char *model) {
    bool any = false;
    if (kvr_config_lists(p->options.adapters, model)) return kvr_text(model);
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct router_worker *w = &p->workers[i];
        if (is_as_before(p, i)) continue;
        if (is_labelled(w, label_of_adapter, model, &any)) return kvr_text(model);
        const json_t *entry = json_object_get(w->here.serves, model);
        if (entry && is_adapter(entry)) return kvr_text(model);
        const char *name = entry ? NULL : behind_base(w->here.serves, model);
        if (name) return kvr_text(name);
    }
    return (struct kvr_bytes){NULL, 0};
}

// ---- What an engine says -------------------------------------------------------------------------

// Whether two lists name the same models, and the same of them as adapters.
static bool is_same_list(json_t *a, json_t *b) {
    const char *id;
    json_t *entry;
    if (!a || json_object_size(a) != json_object_size(b)) return false;
    json_object_foreach(a, id, entry) {
        const json_t *other = json_object_get(b, id);
        if (!other || is_adapter(other) != is_adapter(entry)) return false;
    }
    return true;
}

bool router_served_take(const struct router_pool *p, struct router_worker *w, json_t *models) {
    if (!json_object_size(models)) {
        json_decref(models);
        return false;
    }
    for (size_t i = 0; i < p->n_workers; i++) {
        if (!is_same_list(p->workers[i].here.serves, models)) continue;
        json_decref(models);
        models = json_incref(p->workers[i].here.serves);
        break;
    }
    json_decref(w->here.serves);
    w->here.serves = models;
    return true;
}
