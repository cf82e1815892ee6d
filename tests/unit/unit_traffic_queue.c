// SPDX-License-Identifier: Apache-2.0
// The queue in random traffic: limits, classes, flows, waiting; see unit_traffic.h.
#include "unit_traffic.h"

#include <string.h>

static const struct kvr_bytes nothing = {"", 0};

// Few, so that they meet; one as long as may be, one that is the start of another.
static struct kvr_bytes draw_class(struct unit_traffic *t) {
    static const char longest[KVR_MAX_ID] = "c";
    static const struct kvr_bytes classes[] = {{"default", 7}, {"batch", 5}, {"vip", 3},
                                               {"vi", 2},      {"\0", 1},    {longest, KVR_MAX_ID}};
    return classes[unit_source_below(&t->source, sizeof classes / sizeof *classes)];
}

static struct kvr_bytes draw_flow(struct unit_traffic *t) {
    static const char longest[KVR_MAX_ID] = "f";
    static const struct kvr_bytes flows[] = {
        {"f", 1}, {"f1", 2}, {"a tenant", 8}, {"\0", 1}, {longest, KVR_MAX_ID}, {"default", 7}};
    return flows[unit_source_below(&t->source, sizeof flows / sizeof *flows)];
}

// One that is known, where any class will do that is; rarely one that isn't.
static struct kvr_bytes known_class(struct unit_traffic *t) {
    struct kvr_bytes name = draw_class(t);
    if (unit_source_chance(&t->source, 40)) return nothing;
    if (unit_source_chance(&t->source, 3)) return name;
    return unit_model_find_class(&t->pair->model, name) ? name : nothing;
}

void unit_traffic_draw_owner(struct unit_traffic *t, struct kvr_bytes *service_class,
                             struct kvr_bytes *flow) {
    *service_class = t->profile->queue ? known_class(t) : nothing;
    *flow = nothing;
    if (t->profile->queue && unit_source_chance(&t->source, 60)) *flow = draw_flow(t);
}

void unit_traffic_draw_wait(struct unit_traffic *t, struct kvr_query *q) {
    struct unit_source *s = &t->source;
    q->wait = 0;
    unit_traffic_draw_owner(t, &q->service_class, &q->flow);
    q->notify = nothing;
    if (!t->profile->queue) return;
    if (unit_source_chance(s, 80)) q->wait = 1 + unit_source_below(s, 10000);
    if (unit_source_chance(s, 30))
        q->notify = (struct kvr_bytes){"router-1", unit_source_chance(s, 50) ? 7 : 8};
}

void unit_traffic_draw_limits(struct unit_traffic *t, struct kvr_options *o) {
    struct unit_source *s = &t->source;
    if (!t->profile->queue) return;
    o->max_requests = unit_source_chance(s, 60) ? 1 + unit_source_below(s, 4) : 0;
    o->max_prefill = unit_source_chance(s, 40) ? 1 + unit_source_below(s, 6000) : 0;
    o->max_blocks = unit_source_chance(s, 50) ? 1 + unit_source_below(s, 300) : 0;
    o->max_waiting = unit_source_chance(s, 80) ? 10000 : unit_source_below(s, 20);
    o->accept = 1 + unit_source_below(s, 3000);
}

static void class_op(struct unit_traffic *t) {
    struct unit_source *s = &t->source;
    struct kvr_class_info c = {0};
    if (unit_source_chance(s, 15)) {
        unit_pair_class_del(t->pair, draw_class(t));
        return;
    }
    c.priority = (int)unit_source_below(s, 3) - 1;
    c.weight = (double)(1 << unit_source_below(s, 6)) / 4;
    c.max_waiting = unit_source_chance(s, 30) ? 1 + unit_source_below(s, 8) : 0;
    c.room = unit_source_chance(s, 60) ? 100 : unit_source_below(s, 101);
    if (unit_source_chance(s, 2)) c.weight = 0;
    if (unit_source_chance(s, 2)) c.priority = 101;
    if (unit_source_chance(s, 2)) c.room = 101;
    unit_pair_class_set(t->pair, draw_class(t), unit_source_below(s, 16), &c);
}

static void flow_op(struct unit_traffic *t) {
    struct unit_source *s = &t->source;
    struct kvr_flow_info f = {0};
    if (unit_source_chance(s, 15)) {
        unit_pair_flow_del(t->pair, draw_flow(t));
        return;
    }
    f.weight = (double)(1 << unit_source_below(s, 6)) / 4;
    f.max_requests = unit_source_chance(s, 30) ? 1 + unit_source_below(s, 4) : 0;
    f.rate = unit_source_chance(s, 40) ? 1 + unit_source_below(s, 20000) : 0;
    f.burst = unit_source_chance(s, 40) ? 1 + unit_source_below(s, 20000) : 0;
    if (unit_source_chance(s, 2)) f.weight = -1;
    unit_pair_flow_set(t->pair, draw_flow(t), unit_source_below(s, 16), &f);
}

void unit_traffic_admit(struct unit_traffic *t) {
    struct unit_source *s = &t->source;
    if (!t->profile->queue) return;
    size_t looks = unit_source_chance(s, 70) ? 64 : unit_source_below(s, 4);
    double random = unit_source_below(s, 1 << 16) / 65536.0;
    while (unit_pair_admit(t->pair, &looks, random)) {
    }
}

void unit_traffic_queue_op(struct unit_traffic *t) {
    struct unit_source *s = &t->source;
    char room[KVR_MAX_ID];
    switch (unit_source_below(s, 8)) {
    case 0 ... 1:
        class_op(t);
        break;
    case 2 ... 3:
        flow_op(t);
        break;
    case 4 ... 5:
        unit_pair_come(t->pair, unit_traffic_id(t, room));
        break;
    case 6:
        unit_pair_end_waiting(t->pair, unit_source_below(s, 9));
        break;
    default:
        if (!t->pair->copy)
            unit_pair_follow(t->pair);
        else if (unit_source_chance(s, 20))
            unit_pair_promote(t->pair);
    }
}
