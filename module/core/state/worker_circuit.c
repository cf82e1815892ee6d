// SPDX-License-Identifier: Apache-2.0
#include "worker_circuit.h"

#include "queue_round.h"

const char *const kvr_circuit_names[] = {"closed", "open", "half-open"};

enum kvr_circuit core_circuit_of(const struct core_worker *w, int64_t now) {
    return !w->open_until ? KVR_CLOSED : now < w->open_until ? KVR_OPEN : KVR_HALF_OPEN;
}

void core_circuit_set(struct kvr_pool *p, struct core_worker *w, uint64_t failures,
                      int64_t open_until) {
    p->n_open += !!open_until;
    p->n_open -= !!w->open_until;
    w->failures = failures;
    w->open_until = open_until;
}

void core_circuit_booked(struct kvr_pool *p, struct core_worker *w, int64_t at) {
    if (core_circuit_of(w, at) != KVR_HALF_OPEN) return;
    core_circuit_set(p, w, w->failures, at + p->options.open_time);
    core_queue_gained_all(p); // perhaps nobody is left, so that circuits count for nothing
}
