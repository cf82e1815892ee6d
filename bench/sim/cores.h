// SPDX-License-Identifier: Apache-2.0
// Routers that each have the module's core in their own process. What all kinds of them have in common: who
// hears what, and when.
//
// A kind's state begins with a struct cores, so these serve as its functions as they are.
#ifndef FLEET_CORES_H
#define FLEET_CORES_H

#include "core.h"

struct cores {
    struct world world;
    struct core core[MAX_ROUTERS];
    uint64_t rng[MAX_ROUTERS];
    uint32_t *cached; // tokens, by request, as its router thought
    int64_t predict;  // see core_open
    bool talk;        // the others hear of a decision, and how it goes on, world.sync later
};

void cores_open(struct cores *c, const struct world *w, int64_t predict, bool talk);
void cores_close(void *self);
// The router books a choice that was made otherwise than by its core.
void cores_book(struct cores *c, unsigned router, uint32_t request, uint32_t worker);
// It tells the others of a choice that it has booked. cached: tokens that the engine need not compute.
void cores_chosen(struct cores *c, unsigned router, uint32_t request, uint32_t worker,
                  int64_t cached);
void cores_news(void *self, unsigned router, uint32_t request, uint32_t worker, enum news what);
void cores_changed(void *self, const struct change *x);
void cores_worker(void *self, uint32_t worker, bool there);
void cores_lost(void *self, unsigned router);

#endif
