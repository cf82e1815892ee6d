// SPDX-License-Identifier: Apache-2.0
// What the mock engine is told on its command line.
#ifndef MOCK_OPTIONS_H
#define MOCK_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mock_publish.h"
#include "mock_scheduler.h"

enum { MOCK_MAX_LORAS = 8, MOCK_MAX_RANKS = 64 };

struct mock_options {
    const char *host, *model, *loras[MOCK_MAX_LORAS];
    size_t n_loras;
    const char *fingerprint; // letters and digits, or NULL
    const char *connect;     // where the event sockets connect to instead of binding, or NULL
    int http_port, events_port, replay_port; // 0: chosen
    bool no_events, no_replay;
    size_t ranks, max_model_len, publish_at_start;
    uint64_t seed;
    struct mock_scheduler_config engine;
    struct mock_publish_config publish;
};

// Returns -1 to go on, or the status to exit with.
int mock_options_read(struct mock_options *o, int argc, char **argv);

#endif
