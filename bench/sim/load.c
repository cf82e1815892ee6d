// SPDX-License-Identifier: Apache-2.0
// The table of loads; see load.h.
#include "load.h"

#include <stdio.h>
#include <string.h>

const struct load loads[] = {
    {"chat", "chats of several turns over shared system prompts", {8, 3.3, 7, 2.4}, {0}, load_chat},
    {"agents",
     "agents: long shared prefixes, many short steps",
     {4, 2.4, 6, 1.2},
     {0},
     load_agents},
    {"alone", "nothing shared", {8.5, 3.2, 6, 2}, {0}, load_alone},
    {"hot", "one prefix for everybody", {9, 7, 20, 6}, {0}, load_hot},
    {"bursts", "short chats that come in bursts", {12.5, 5.2, 11.5, 4}, {0}, load_bursts},
    {"sessions", "coding agents with long prompts", {0}, {4, 4, 28, 2}, load_sessions},
};
const size_t load_count = sizeof loads / sizeof *loads;

const struct load *load_find(const char *name) {
    for (size_t i = 0; i < load_count; i++)
        if (!strcmp(loads[i].name, name)) return &loads[i];
    return NULL;
}

void load_make(const struct load *l, struct workload *w, const struct load_plan *plan) {
    l->make(w, plan);
    snprintf(w->what, sizeof w->what, "%s (seed %llu)", l->what, (unsigned long long)plan->seed);
}
