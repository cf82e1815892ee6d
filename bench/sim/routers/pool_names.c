// SPDX-License-Identifier: Apache-2.0
// How pools know engines, requests and time; see pool_names.h.
#include "pool_names.h"

#include <stdio.h>

// When a run begins, ms since the epoch. As large as in life, so that sums of times are rounded alike.
static const int64_t start = INT64_C(1700000000000);

struct kvr_bytes sim_worker_name(uint32_t worker, char room[SIM_WORKER_NAME]) {
    return (struct kvr_bytes){room,
                              (size_t)snprintf(room, SIM_WORKER_NAME, "w%03u", worker % 1000)};
}

uint32_t sim_worker_number(const char *name, size_t n) {
    if (n != 4 || name[0] != 'w') return SIM_NOBODY;
    uint32_t v = 0;
    for (size_t i = 1; i < n; i++) {
        if (name[i] < '0' || name[i] > '9') return SIM_NOBODY;
        v = v * 10 + (uint32_t)(name[i] - '0');
    }
    return v;
}

struct kvr_bytes sim_link_name(const struct sim_plan *plan, uint32_t worker,
                               char room[SIM_LINK_NAME]) {
    if (!plan->pairs || plan->network.racks < 2) return (struct kvr_bytes){"", 0};
    int n = snprintf(room, SIM_LINK_NAME, "link=%u", (worker % plan->network.racks) % 1000);
    return (struct kvr_bytes){room, (size_t)n};
}

struct kvr_bytes sim_request_id(const uint32_t *request) {
    return (struct kvr_bytes){(const char *)request, sizeof *request};
}

struct kvr_bytes sim_session_name(const struct sim_world *w, uint32_t request,
                                  char room[SIM_SESSION_NAME]) {
    if (!w->plan->named) return (struct kvr_bytes){"", 0};
    int n = snprintf(room, SIM_SESSION_NAME, "%u", w->load->requests[request].session);
    return (struct kvr_bytes){room, (size_t)n};
}

int64_t sim_epoch_ms(double seconds) {
    return start + (int64_t)(seconds * 1000);
}
