// SPDX-License-Identifier: Apache-2.0
// The table of loads; see loads.h.
#include "loads.h"

#include <stdio.h>
#include <string.h>

const struct sim_load sim_loads[] = {
    {"chat",
     "chats of several turns over shared system prompts",
     {8, 3.3, 7, 2.4},
     {0},
     sim_load_chat},
    {"agents",
     "agents: long shared prefixes, many short steps",
     {4, 2.4, 6, 1.2},
     {0},
     sim_load_agents},
    {"alone", "nothing shared", {8.5, 3.2, 6, 2}, {0}, sim_load_alone},
    {"hot", "one prefix for everybody", {9, 7, 20, 6}, {0}, sim_load_hot},
    {"bursts", "short chats that come in bursts", {12.5, 5.2, 11.5, 4}, {0}, sim_load_bursts},
    {"sessions", "coding agents with long prompts", {0}, {4, 4, 28, 2}, sim_load_sessions},
};
const size_t sim_load_count = sizeof sim_loads / sizeof *sim_loads;

const struct sim_load *sim_load_find(const char *name) {
    for (size_t i = 0; i < sim_load_count; i++)
        if (!strcmp(sim_loads[i].name, name)) return &sim_loads[i];
    return NULL;
}

void sim_load_make(const struct sim_load *l, struct bench_workload *w,
                   const struct sim_load_plan *plan) {
    l->make(w, plan);
    snprintf(w->what, sizeof w->what, "%s (seed %llu)", l->what, (unsigned long long)plan->seed);
}
