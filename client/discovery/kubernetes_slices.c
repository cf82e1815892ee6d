// SPDX-License-Identifier: Apache-2.0
#include "kubernetes_slices.h"

#include <kvroute/client.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    SLICES_MAX = 4096,
    SLICE_MAX_ENDPOINTS = 1000,
    SLICE_LABELS = 3
}; // 1,000: the API's own limit

struct slice_endpoint {
    char host[254];
    bool leaving;
    char labels[SLICE_LABELS][KVR_MAX_LABEL + 1];
    size_t n_labels;
};

struct kubernetes_slice {
    struct kvr_list_item link;
    unsigned listing;
    char name[254];
    uint16_t port; // 0: it has none that is wanted
    size_t n;
    struct slice_endpoint endpoints[];
};

void kubernetes_slices_init(struct kubernetes_slices *s) {
    *s = (struct kubernetes_slices){.n = 0};
    kvr_list_init(&s->all);
}

static void remove_slice(struct kubernetes_slices *s, struct kubernetes_slice *one) {
    kvr_list_remove(&one->link);
    s->n--;
    free(one);
}

void kubernetes_slices_free(struct kubernetes_slices *s) {
    while (!kvr_list_empty(&s->all))
        remove_slice(s, (struct kubernetes_slice *)(void *)s->all.next);
}

void kubernetes_slices_begin(struct kubernetes_slices *s) {
    s->listing++;
}

void kubernetes_slices_end(struct kubernetes_slices *s) {
    for (struct kvr_list_item *i = s->all.next, *next; i != &s->all; i = next) {
        struct kubernetes_slice *one = (struct kubernetes_slice *)(void *)i;
        next = i->next;
        if (one->listing != s->listing) remove_slice(s, one);
    }
}

// ---- Reading -------------------------------------------------------------------------------------

static const char *name_of(const json_t *slice) {
    return json_string_value(json_object_get(json_object_get(slice, "metadata"), "name"));
}

static struct kubernetes_slice *slice_named(struct kubernetes_slices *s, const char *name) {
    for (struct kvr_list_item *i = s->all.next; i != &s->all; i = i->next)
        if (strcmp(((struct kubernetes_slice *)(void *)i)->name, name) == 0)
            return (struct kubernetes_slice *)(void *)i;
    return NULL;
}

static uint16_t port_of(const json_t *slice, const char *wanted) {
    const json_t *ports = json_object_get(slice, "ports");
    char *end;
    long number = strtol(wanted, &end, 10);
    if (*wanted && !*end) return number > 0 && number < 65536 ? (uint16_t)number : 0;
    for (size_t i = 0; i < json_array_size(ports); i++) {
        const json_t *p = json_array_get(ports, i);
        const char *name = json_string_value(json_object_get(p, "name"));
        json_int_t port = json_integer_value(json_object_get(p, "port"));
        if (port > 0 && port < 65536 && (!*wanted || (name && strcmp(name, wanted) == 0)))
            return (uint16_t)port;
    }
    return 0;
}

static void add_label(struct slice_endpoint *e, const char *key, const json_t *value) {
    const char *text = json_string_value(value);
    if (!text || !*text || strlen(key) + 1 + strlen(text) > KVR_MAX_LABEL) return;
    snprintf(e->labels[e->n_labels++], sizeof e->labels[0], "%s=%s", key, text);
}

static bool read_endpoint(struct slice_endpoint *e, const json_t *o) {
    const json_t *conditions = json_object_get(o, "conditions");
    const char *host = json_string_value(json_array_get(json_object_get(o, "addresses"), 0));
    if (!host || !*host || strlen(host) >= sizeof e->host) return false;
    *e = (struct slice_endpoint){.leaving =
                                     json_is_false(json_object_get(conditions, "ready")) ||
                                     json_is_true(json_object_get(conditions, "terminating"))};
    memcpy(e->host, host, strlen(host) + 1);
    add_label(e, "zone", json_object_get(o, "zone"));
    add_label(e, "node", json_object_get(o, "nodeName"));
    add_label(e, "pod", json_object_get(json_object_get(o, "targetRef"), "name"));
    return true;
}

bool kubernetes_slices_put(struct kubernetes_slices *s, const json_t *slice, const char *port) {
    const char *name = name_of(slice);
    const json_t *endpoints = json_object_get(slice, "endpoints"); // null: none
    size_t n = json_array_size(endpoints);
    struct kubernetes_slice *old = name ? slice_named(s, name) : NULL, *one;
    if (!name || strlen(name) >= sizeof one->name || n > SLICE_MAX_ENDPOINTS ||
        (!old && s->n == SLICES_MAX))
        return false;
    one = calloc(1, sizeof *one + n * sizeof one->endpoints[0]);
    if (!one) return false;
    memcpy(one->name, name, strlen(name) + 1);
    one->port = port_of(slice, port);
    one->listing = s->listing;
    for (size_t i = 0; i < n; i++)
        one->n += read_endpoint(&one->endpoints[one->n], json_array_get(endpoints, i));
    if (old) remove_slice(s, old);
    kvr_list_push(&s->all, &one->link);
    s->n++;
    return true;
}

void kubernetes_slices_remove(struct kubernetes_slices *s, const json_t *slice) {
    const char *name = name_of(slice);
    struct kubernetes_slice *one = name ? slice_named(s, name) : NULL;
    if (one) remove_slice(s, one);
}

// ---- Telling -------------------------------------------------------------------------------------

static void tell_slice(const struct kubernetes_slice *one, struct discovery_known *k,
                       bool leaving) {
    struct kvr_bytes labels[SLICE_LABELS];
    for (size_t i = 0; i < one->n; i++) {
        const struct slice_endpoint *e = &one->endpoints[i];
        if (e->leaving != leaving) continue;
        for (size_t j = 0; j < e->n_labels; j++)
            labels[j] = kvr_text(e->labels[j]);
        discovery_known_see_at(k, e->host, one->port, labels, e->n_labels, leaving);
    }
}

// One that moves from slice to slice may be in both for a moment: who is ready anywhere is ready.
void kubernetes_slices_tell(const struct kubernetes_slices *s, struct discovery_known *k) {
    discovery_known_begin(k);
    for (int leaving = 0; leaving < 2; leaving++)
        for (const struct kvr_list_item *i = s->all.next; i != &s->all; i = i->next) {
            const struct kubernetes_slice *one = (const struct kubernetes_slice *)(const void *)i;
            if (one->port) tell_slice(one, k, leaving);
        }
    discovery_known_end(k, true);
}
