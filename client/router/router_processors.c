// SPDX-License-Identifier: Apache-2.0
#define _GNU_SOURCE // sched_getaffinity
#include "router_processors.h"

#include <sched.h>
#include <stdio.h>

// 0: there is none.
static size_t limit_of(const char *path) {
    unsigned long long time = 0, period = 0;
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    if (fscanf(f, "%llu %llu", &time, &period) != 2) period = 0;
    fclose(f);
    return period ? (size_t)((time + period - 1) / period) : 0;
}

size_t router_processors(const char *limit) {
    cpu_set_t set;
    size_t n = sched_getaffinity(0, sizeof set, &set) == 0 ? (size_t)CPU_COUNT(&set) : 1;
    size_t most = limit_of(limit);
    if (most && most < n) n = most;
    return n ? n : 1;
}
