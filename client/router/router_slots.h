// SPDX-License-Identifier: Apache-2.0
// What the processes of one router tell each other, in memory that they share: one slot for each, and one for all
// that have ended. It is made before they are, and a slot outlives its process: whoever comes in the place of one
// that died goes on in it.
//
// Each slot has two pages of metrics, as text. Its process writes the one that isn't shown, then shows it: so one
// that is killed in the middle leaves the last whole page. All that is ever told of others is what they have shown,
// and what a dead process has shown is added to what those that ended said before: so counters never go back.
//
// Processes of one slot are its lives, one after the other. The first slot's page says which lives of each it has
// in it. So moving a dead process' figures there is one step for whoever reads, in whatever order: a page of a life
// that is in it doesn't count any more; one of a life beyond the next says that what was read of it is old.
//
// One process writes a slot at a time; the first slot is the parent's (front/router_parent.h).
#ifndef ROUTER_SLOTS_H
#define ROUTER_SLOTS_H

#include <event2/buffer.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "client/common/prometheus_sum.h"
#include "router_config.h"
#include "router_minutes.h"

enum {
    ROUTER_SLOT_ROOM = 4 << 20, // bytes of a page; memory only as far as it is used
    ROUTER_SLOT_SLACK = 8,      // connections
};

// Of /kvroute/status.
struct router_figures {
    uint64_t connections, open; // now; open: requests
    uint64_t requests, selects, degraded, retries;
};

struct router_shown {
    struct router_figures figures;
    // Which of its slot's lives wrote it; in the first slot, so many lives of each slot are in it.
    unsigned lives[ROUTER_MAX_PROCESSES + 1];
    size_t n;
    char text[ROUTER_SLOT_ROOM];
};

struct router_slot {
    atomic_bool serves;        // accepts connections
    atomic_size_t connections; // that it has
    unsigned life;             // set before its process is there
    struct router_minutes minutes;
    atomic_uint turn; // the page shown is pages[turn % 2]
    struct router_shown pages[2];
};

struct router_slots {
    size_t n; // processes
    int64_t began_us, began_s;
    atomic_uint restarts;     // of processes that died
    struct router_slot all[]; // all[0]: those that have ended
};

extern const struct kvr_prom_rule router_slots_rules[];

// For n processes; NULL: no memory. Never freed but by its process' end.
struct router_slots *router_slots_new(size_t n);
void router_slots_free(struct router_slots *s);

// Shows a page of process i (from 1 on) and its figures. What doesn't fit is left out, as whole lines.
void router_slots_show(struct router_slots *s, size_t i, const struct router_figures *f,
                       struct evbuffer *page);
// Adds the pages that all have shown. False: no memory.
bool router_slots_pages(const struct router_slots *s, struct kvr_prom_sum *to);
// Adds the figures of all but process i. False: no memory.
bool router_slots_figures(const struct router_slots *s, size_t i, struct router_figures *to);
// The last minutes of all of them.
void router_slots_add_minutes(const struct router_slots *s, struct router_minutes *to);
size_t router_slots_serving(const struct router_slots *s);

// Process i has so many connections. True: another one that accepts has fewer, by more than the slack.
bool router_slots_yields(struct router_slots *s, size_t i, size_t connections);

// Of the parent: process i has ended. What it has shown is moved to the first slot, but gauges. False: no memory,
// and it isn't counted any more.
bool router_slots_end(struct router_slots *s, size_t i);

#endif
