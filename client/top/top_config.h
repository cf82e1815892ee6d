// SPDX-License-Identifier: Apache-2.0
// What kvroute-top is told on its command line, or in a file.
#ifndef TOP_CONFIG_H
#define TOP_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// By what the workers are sorted; the names are those of the setting `sort`.
enum top_order {
    TOP_BY_WORKER,
    TOP_BY_STATE,
    TOP_BY_CIRCUIT,
    TOP_BY_ROLE,
    TOP_BY_REQUESTS,
    TOP_BY_PREFILL,
    TOP_BY_DECODE,
    TOP_BY_BLOCKS,
    TOP_BY_HOST,
    TOP_BY_DISK,
    TOP_BY_TTFT,
    TOP_BY_TPOT,
    TOP_BY_FAILURES,
    TOP_BY_TTL,
    TOP_BY_LABELS,
    TOP_ORDERS,
};

enum { TOP_MAX_POOLS = 64, TOP_MAX_KEY = 256, TOP_MAX_FILTER = 64 };

struct top_config {
    char redis[1024];
    char pools[TOP_MAX_POOLS][TOP_MAX_KEY]; // keys; none: all that are found
    size_t n_pools;
    int64_t refresh; // ms
    enum top_order sort;
    bool reverse;
    char filter[TOP_MAX_FILTER];
    bool once, json; // print and leave; json: as JSON, which means once
    bool color, ascii;
};

extern const char top_config_usage[];

// Reads it. *help: nothing was read, since help was asked for. False, with a reason in `error`: it is wrong.
bool top_config_read(struct top_config *c, int argc, char **argv, bool *help, char *error,
                     size_t error_size);

#endif
