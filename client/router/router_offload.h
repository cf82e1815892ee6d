// SPDX-License-Identifier: Apache-2.0
// A thread beside the loop, for what would hold up everybody else: one job after the other, and what came of
// each is told in the loop.
//
//   add ──> waiting ──> run, in the thread ──> done, in the loop
//              └── cancel: it is the caller's again
//
// What one of a large body makes of it takes many times the body's memory. So none begins while the loop hasn't dealt with
// what is finished: a loop that is late would find all of them parsed.
//
// `run` touches nothing but the job's own: no exchange, no settings, no pool. Once it runs there is no stopping
// it, so what it works on must be the job's until `done`.
#ifndef ROUTER_OFFLOAD_H
#define ROUTER_OFFLOAD_H

#include <event2/event.h>
#include <stdbool.h>

#include "client/common/list.h"

struct router_offload;

struct router_job {
    struct kvr_list_item link; // first
    void (*run)(struct router_job *j);
    void (*done)(struct router_job *j); // may free it, or add it again
    bool large;                         // set before it is added; an urgent one isn't held up by it
    bool waiting;                       // guarded by the offload's lock
};

// NULL: no memory or no descriptor. The thread begins with the first job.
struct router_offload *router_offload_new(struct event_base *base);
// Waits for the job that runs; what still waits is run here. `done` is called for all of them.
void router_offload_free(struct router_offload *o);

// urgent: before all that wait.
void router_offload_add(struct router_offload *o, struct router_job *j, bool urgent);
// A short one: `run` is called at once, `done` later, as ever.
void router_offload_here(struct router_offload *o, struct router_job *j);
// True: it hadn't begun, and won't. False: `done` is still to come.
bool router_offload_cancel(struct router_offload *o, struct router_job *j);

#endif
