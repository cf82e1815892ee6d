// SPDX-License-Identifier: Apache-2.0
// What is to happen, in order of virtual time: a binary heap. What is due at the same time happens in
// the order in which it was planned, so a run depends on nothing but its input.
#ifndef FLEET_QUEUE_H
#define FLEET_QUEUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct due {
    double at; // seconds of virtual time
    uint64_t order;
    uint32_t kind, a, b; // the planner's own
    void *p;
};

struct queue {
    struct due *heap; // least first
    size_t n, room;
    uint64_t planned;
};

void queue_put(struct queue *q, double at, uint32_t kind, uint32_t a, uint32_t b, void *p);
bool queue_take(struct queue *q, struct due *out); // false: nothing is left
void queue_free(struct queue *q);

#endif
