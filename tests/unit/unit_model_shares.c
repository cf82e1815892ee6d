// SPDX-License-Identifier: Apache-2.0
// The model's classes, and what they and their flows have had; see unit_model_queue.h.
//
// Start-time fair queueing (Goyal, Vin, Cheng 1996) at two levels: classes in the virtual time of their priority,
// flows in that of their class. Where nobody waits any more, time begins anew at 0.
#include "unit_model.h"

#include <stdlib.h>
#include <string.h>

enum { UNIT_MODEL_MAX_OWING = 1024 }; // idle flows of a class that are remembered

static struct unit_model_level *level_of(struct unit_model *m, int priority) {
    struct unit_model_queue *q = &m->queue;
    for (size_t i = 0; i < q->n_levels; i++)
        if (q->levels[i].priority == priority) return &q->levels[i];
    q->levels = unit_must_resize(q->levels, (q->n_levels + 1) * sizeof *q->levels);
    q->levels[q->n_levels] = (struct unit_model_level){.priority = priority};
    return &q->levels[q->n_levels++];
}

struct unit_model_class *unit_model_find_class(const struct unit_model *m, struct kvr_bytes name) {
    struct kvr_bytes wanted = name.n ? name : text("default");
    for (size_t i = 0; i < m->queue.n_classes; i++)
        if (unit_bytes_compare(model_bytes(&m->queue.classes[i].name), wanted) == 0)
            return &m->queue.classes[i];
    return NULL;
}

static struct unit_model_class *add_class(struct unit_model *m, struct kvr_bytes name) {
    struct unit_model_queue *q = &m->queue;
    q->classes = unit_must_resize(q->classes, (q->n_classes + 1) * sizeof *q->classes);
    struct unit_model_class *c = &q->classes[q->n_classes++];
    *c = (struct unit_model_class){.weight = 1, .room = 100, .name.n = name.n};
    memcpy(c->name.bytes, name.p, name.n);
    return c;
}

void unit_model_queue_init(struct unit_model *m) {
    add_class(m, text("default"));
}

static bool waits_in(const struct unit_model_waiting *w, const struct unit_model_class *c) {
    struct kvr_bytes name = w->q.service_class.n ? w->q.service_class : text("default");
    return unit_bytes_compare(model_bytes(&c->name), name) == 0;
}

uint64_t unit_model_class_waiting(const struct unit_model *m, const struct unit_model_class *c) {
    uint64_t n = 0;
    for (size_t i = 0; i < m->queue.n_waiting; i++)
        n += waits_in(&m->queue.waiting[i], c);
    return n;
}

struct unit_model_turn *unit_model_find_turn(const struct unit_model_class *c,
                                             struct kvr_bytes flow) {
    for (size_t i = 0; i < c->n_turns; i++)
        if (unit_bytes_compare(model_bytes(&c->turns[i].flow), flow) == 0) return &c->turns[i];
    return NULL;
}

static uint64_t waiting_in_turn(const struct unit_model *m, const struct unit_model_class *c,
                                struct kvr_bytes flow) {
    uint64_t n = 0;
    for (size_t i = 0; i < m->queue.n_waiting; i++)
        n += waits_in(&m->queue.waiting[i], c) &&
             unit_bytes_compare(m->queue.waiting[i].q.flow, flow) == 0;
    return n;
}

static uint64_t level_waiting(const struct unit_model *m, int priority) {
    uint64_t n = 0;
    for (size_t i = 0; i < m->queue.n_classes; i++)
        if (m->queue.classes[i].priority == priority)
            n += unit_model_class_waiting(m, &m->queue.classes[i]);
    return n;
}

static double later(double a, double b) {
    return a > b ? a : b;
}

// Flows that are idle and owe nothing are forgotten, and of those that owe the least, if they are too many.
static void forget_turns(const struct unit_model *m, struct unit_model_class *c) {
    for (;;) {
        size_t owing = 0, least = 0;
        for (size_t i = 0; i < c->n_turns;) {
            struct unit_model_turn *t = &c->turns[i];
            if (waiting_in_turn(m, c, model_bytes(&t->flow))) {
                i++;
                continue;
            }
            if (t->share.finish <= c->v) {
                *t = c->turns[--c->n_turns];
                continue;
            }
            const struct unit_model_share *a = &t->share, *b = &c->turns[least].share;
            if (!owing++ || a->finish < b->finish || (a->finish == b->finish && a->idle < b->idle))
                least = i;
            i++;
        }
        if (owing <= UNIT_MODEL_MAX_OWING) return;
        c->turns[least] = c->turns[--c->n_turns];
    }
}

// Who waited has just left the queue.
void unit_model_share_left(struct unit_model *m, struct unit_model_class *c, struct kvr_bytes flow,
                           uint64_t number) {
    if (!waiting_in_turn(m, c, flow)) unit_model_find_turn(c, flow)->share.idle = number;
    if (!unit_model_class_waiting(m, c)) {
        c->v = 0;
        c->n_turns = 0;
    }
    forget_turns(m, c);
    if (level_waiting(m, c->priority)) return;
    level_of(m, c->priority)->v = 0;
    for (size_t i = 0; i < m->queue.n_classes; i++)
        if (m->queue.classes[i].priority == c->priority) m->queue.classes[i].share.finish = 0;
}

// Who is going to wait has not been added yet.
void unit_model_share_came(struct unit_model *m, struct unit_model_class *c,
                           struct kvr_bytes flow) {
    if (!unit_model_class_waiting(m, c))
        c->share.start = later(level_of(m, c->priority)->v, c->share.finish);
    struct unit_model_turn *t = unit_model_find_turn(c, flow);
    if (!t) {
        c->turns = unit_must_resize(c->turns, (c->n_turns + 1) * sizeof *c->turns);
        t = &c->turns[c->n_turns++];
        *t = (struct unit_model_turn){.flow.n = flow.n};
        if (flow.n) memcpy(t->flow.bytes, flow.p, flow.n);
    }
    if (!waiting_in_turn(m, c, flow)) t->share.start = later(c->v, t->share.finish);
}

// Weights next to nothing count as if they were a little more.
static double step(double charge, double weight) {
    return charge / weight < 0x1p44 ? charge / weight : 0x1p44;
}

// One of those who wait is admitted, and still among them.
void unit_model_charge(struct unit_model *m, const struct unit_model_waiting *w, int64_t cached) {
    struct unit_model_class *c = unit_model_find_class(m, w->q.service_class);
    struct unit_model_turn *t = unit_model_find_turn(c, w->q.flow);
    const struct unit_model_flow *f = unit_model_find_flow(m, w->q.flow);
    int64_t tokens = w->q.isl - cached + w->q.osl;
    double charge = tokens > 1 ? (double)tokens : 1;
    // Those that begin earlier may have been passed over: time doesn't go back.
    struct unit_model_level *level = level_of(m, c->priority);
    level->v = later(level->v, c->share.start);
    c->share.finish = c->share.start + step(charge, c->weight);
    c->share.start = c->share.finish;
    c->v = later(c->v, t->share.start);
    t->share.finish = t->share.start + step(charge, f ? f->weight : 1);
    t->share.start = t->share.finish;
}

enum kvr_err unit_model_class_set(struct unit_model *m, struct kvr_bytes name, unsigned set,
                                  const struct kvr_class_info *c, int *created) {
    *created = 0;
    if (name.n < 1 || name.n > KVR_MAX_ID) return KVR_RANGE;
    if (set & KVR_CLASS_PRIORITY &&
        (c->priority < -KVR_MAX_PRIORITY || c->priority > KVR_MAX_PRIORITY))
        return KVR_RANGE;
    if (set & KVR_CLASS_WEIGHT && !(c->weight > 0 && c->weight <= KVR_MAX_SHARE)) return KVR_RANGE;
    if (set & KVR_CLASS_WAITING && c->max_waiting > KVR_MAX_WAITING) return KVR_RANGE;
    if (set & KVR_CLASS_ROOM && c->room > 100) return KVR_RANGE;
    struct unit_model_class *at = unit_model_find_class(m, name);
    if (!at && m->queue.n_classes >= KVR_MAX_CLASSES) return KVR_LIMIT;
    if (!at) {
        *created = 1;
        at = add_class(m, name);
    }
    if (set & KVR_CLASS_WEIGHT) at->weight = c->weight;
    if (set & KVR_CLASS_WAITING) at->max_waiting = c->max_waiting;
    if (set & KVR_CLASS_ROOM) at->room = c->room;
    if (set & KVR_CLASS_PRIORITY && at->priority != c->priority) {
        // What it has had counts in its level alone: elsewhere it comes as one that has had nothing.
        int from = at->priority;
        at->priority = c->priority;
        at->share.finish = 0;
        at->share.start = level_of(m, c->priority)->v;
        if (!level_waiting(m, from)) {
            level_of(m, from)->v = 0;
            for (size_t i = 0; i < m->queue.n_classes; i++)
                if (m->queue.classes[i].priority == from) m->queue.classes[i].share.finish = 0;
        }
    }
    m->stats.version++;
    return KVR_OK;
}

enum kvr_err unit_model_class_del(struct unit_model *m, struct kvr_bytes name, int *deleted) {
    struct unit_model_class *c = name.n ? unit_model_find_class(m, name) : NULL;
    *deleted = 0;
    if (c == m->queue.classes) return KVR_RANGE;
    if (!c) return KVR_OK;
    if (unit_model_class_waiting(m, c)) return KVR_WAITED;
    free(c->turns);
    *c = m->queue.classes[--m->queue.n_classes];
    *deleted = 1;
    m->stats.version++;
    return KVR_OK;
}
