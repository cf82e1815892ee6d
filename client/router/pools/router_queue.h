// SPDX-License-Identifier: Apache-2.0
// The pool's queue as last seen: who waits for room, by class, and who is next. Asked for with every look at the
// workers (router_pool_refresh), so any number of people and metrics may look at it.
#ifndef ROUTER_QUEUE_H
#define ROUTER_QUEUE_H

#include <jansson.h>
#include <kvroute/client.h>
#include <stdbool.h>

#include "router_scale.h"

enum { ROUTER_QUEUE_FIRST = 50 };

struct router_pool;

struct router_queue_class {
    char name[KVR_MAX_ID + 1];
    int64_t priority;
    double weight;
    int64_t waiting, tokens, oldest;
    int64_t admitted, refused;
    int64_t max_waiting; // 0: no limit; −1: not known
    int64_t room;        // percent; −1: not known
};

struct router_queue {
    int64_t waiting, tokens;            // requests, and what they say that they cost
    int64_t estimate;                   // ms for one of the default class; −1: not known
    int64_t admitted, refused, limited; // so far, by all routers
    int64_t wanted;                     // more instances (router_scale.h)
    int64_t since_us;                   // since when somebody waits; 0: nobody does
    struct router_queue_class *classes; // by name
    size_t n_classes;
    json_t *first; // of those who wait, in order; NULL: not known
    struct router_scale scale;
    int64_t ask_again_us; // not before then: the user may not ask
};

// What KVROUTE.INFO says of it.
void router_queue_info(struct router_pool *p, const struct kvr_result *info);
// Asks for the rest. Returns how many answers are to come, each of which ends in `done`.
unsigned router_queue_ask(struct router_pool *p, void (*done)(struct router_pool *p));
void router_queue_free(struct router_queue *q);

// NULL: there is none of that name, or it isn't known. Empty: `default`.
const struct router_queue_class *router_queue_class(const struct router_queue *q,
                                                    struct kvr_bytes name);
// {"waiting", "tokens", "estimate_ms", …}: docs/openapi.json has the form. max: of the first ones.
json_t *router_queue_json(const struct router_pool *p, size_t max);

#endif
