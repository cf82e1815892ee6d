// SPDX-License-Identifier: Apache-2.0
// What is to happen, in order of virtual time: a binary heap. What is planned for the same time happens in
// the order in which it was planned, so a run depends on nothing but its input.
#ifndef SIM_EVENT_QUEUE_H
#define SIM_EVENT_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef void sim_event_call(void *self, uint32_t a, uint32_t b);

struct sim_event {
    double at; // seconds of virtual time
    uint64_t order;
    sim_event_call *call; // to be called with:
    void *self;
    uint32_t a, b;
};

struct sim_queue {
    struct sim_event *heap; // least first
    size_t n, room;
    uint64_t planned;
};

void sim_queue_put(struct sim_queue *q, double at, sim_event_call *call, void *self, uint32_t a,
                   uint32_t b);
bool sim_queue_take(struct sim_queue *q, struct sim_event *out); // false: nothing is left
void sim_queue_free(struct sim_queue *q);

#endif
