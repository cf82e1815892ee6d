// SPDX-License-Identifier: Apache-2.0
// What is to happen, in order of virtual time: a binary heap. What is due at the same time happens in
// the order in which it was planned, so a run depends on nothing but its input.
#ifndef SIM_QUEUE_H
#define SIM_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct sim_event {
    double at; // seconds of virtual time
    uint64_t order;
    uint32_t kind, a, b; // the planner's own
    void *p;
};

struct sim_queue {
    struct sim_event *heap; // least first
    size_t n, room;
    uint64_t planned;
};

void sim_queue_put(struct sim_queue *q, double at, uint32_t kind, uint32_t a, uint32_t b, void *p);
bool sim_queue_take(struct sim_queue *q, struct sim_event *out); // false: nothing is left
void sim_queue_free(struct sim_queue *q);

#endif
