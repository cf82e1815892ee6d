// SPDX-License-Identifier: Apache-2.0
#include "service_class.h"

#include <string.h>

static const struct kvr_bytes DEFAULT = {"default", 7};

static int compare(struct kvr_bytes a, struct kvr_bytes b) {
    int order = memcmp(a.p, b.p, a.n < b.n ? a.n : b.n);
    return order ? order : (a.n > b.n) - (a.n < b.n);
}

struct kvr_bytes core_class_name(const struct core_class *c) {
    return (struct kvr_bytes){c->name, c->name_len};
}

// Where it is in the array, or would be.
static size_t place_of(const struct core_queue *q, struct kvr_bytes name) {
    size_t low = 0, high = q->n_classes;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare(core_class_name(q->classes[middle]), name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct core_class *known(const struct core_queue *q, struct kvr_bytes name, size_t *place) {
    *place = place_of(q, name);
    if (*place == q->n_classes || compare(core_class_name(q->classes[*place]), name)) return NULL;
    return q->classes[*place];
}

struct core_class *core_class_find(const struct kvr_pool *p, struct kvr_bytes name) {
    if (!name.n) return p->queue.default_class;
    size_t place;
    struct core_class *c = known(&p->queue, name, &place);
    return c && c->registered ? c : NULL;
}

enum kvr_err core_class_take(struct kvr_pool *p, struct kvr_bytes name, struct core_class **out) {
    struct core_queue *q = &p->queue;
    if (!name.n && q->default_class) {
        *out = q->default_class;
        return KVR_OK;
    }
    if (!name.n) name = DEFAULT;
    size_t place;
    if ((*out = known(q, name, &place))) return KVR_OK;
    if (q->n_classes == KVR_MAX_CLASSES) return KVR_LIMIT;
    if (core_mem_grow(&p->mem, &q->classes, &q->cap_classes, q->n_classes + 1, sizeof *q->classes))
        return KVR_NOMEM;
    struct core_class *c = core_mem_calloc(&p->mem, sizeof *c + name.n);
    if (!c) return KVR_NOMEM;
    c->weight = 1;
    c->room = 100;
    c->ready.mem = c->owing.mem = &p->mem;
    c->name_len = (uint16_t)name.n;
    memcpy(c->name, name.p, name.n);
    memmove(&q->classes[place + 1], &q->classes[place],
            (q->n_classes - place) * sizeof *q->classes);
    q->classes[place] = c;
    q->n_classes++;
    if (!compare(name, DEFAULT)) q->default_class = c;
    *out = c;
    return KVR_OK;
}

void core_class_register(struct kvr_pool *p, struct core_class *c) {
    p->queue.n_registered += !c->registered;
    c->registered = true;
}

static void class_free(struct kvr_pool *p, struct core_class *c) {
    core_deadlines_free(&c->ready);
    core_deadlines_free(&c->owing);
    core_mem_free(&p->mem, c, sizeof *c + c->name_len);
}

void core_class_drop(struct kvr_pool *p, struct core_class *c) {
    struct core_queue *q = &p->queue;
    if (c->registered || c->live) return;
    size_t place = place_of(q, core_class_name(c));
    q->n_classes--;
    memmove(&q->classes[place], &q->classes[place + 1],
            (q->n_classes - place) * sizeof *q->classes);
    class_free(p, c);
}

void core_class_unregister(struct kvr_pool *p, struct core_class *c) {
    p->queue.n_registered -= c->registered;
    c->registered = false;
    c->priority = 0; // whoever comes by that name again is a new one
    c->weight = 1;
    c->max_waiting = c->admitted = c->refused = 0;
    c->room = 100;
    c->tag = c->v = 0;
    core_class_drop(p, c);
}

struct core_level *core_class_level(struct kvr_pool *p, const struct core_class *c) {
    return &p->queue.levels[c->priority + KVR_MAX_PRIORITY];
}

double core_class_room(const struct core_class *c) {
    return (double)c->room;
}

void core_classes_free(struct kvr_pool *p) {
    struct core_queue *q = &p->queue;
    for (size_t i = 0; i < q->n_classes; i++)
        class_free(p, q->classes[i]);
    core_mem_free(&p->mem, q->classes, q->cap_classes * sizeof *q->classes);
}
