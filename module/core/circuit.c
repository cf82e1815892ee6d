// SPDX-License-Identifier: Apache-2.0
// Circuits: who keeps failing isn't asked for a while. See pool.h.
//
// A worker's circuit is two numbers, so that every state follows from them and the time, and nothing
// has to be done when time passes:
//
//   barred == 0     closed
//   now < barred    open, or half-open with the probe under way
//   now >= barred   half-open: the next booking is the probe, and moves barred on
#include "pool_impl.h"

const char *const kvr_circuit_names[] = {"closed", "open", "half-open"};

enum kvr_circuit circuit_of(const struct worker *w, int64_t now) {
    return !w->barred ? KVR_CLOSED : now < w->barred ? KVR_OPEN : KVR_HALF_OPEN;
}

void circuit_set(struct kvr_pool *p, struct worker *w, uint64_t failures, int64_t barred) {
    p->n_barred += !!barred;
    p->n_barred -= !!w->barred;
    w->failures = failures;
    w->barred = barred;
}

void circuit_booked(struct kvr_pool *p, struct worker *w, int64_t at) {
    if (circuit_of(w, at) == KVR_HALF_OPEN)
        circuit_set(p, w, w->failures, at + p->options.open_time);
}

enum kvr_err kvr_report(struct kvr_pool *p, int64_t at, struct kvr_bytes name, bool ok,
                        enum kvr_circuit *circuit, bool *changed) {
    if (at < 0 || at > KVR_MAX_MS) return KVR_RANGE;
    long i = worker_find(p, name, NULL);
    if (i < 0) return KVR_NOWORKER;
    struct worker *w = p->workers[i];
    uint64_t failures = w->failures, most = p->options.failures;
    int64_t barred = w->barred;
    if (ok) {
        failures = 0;
        barred = 0;
    } else if (most) {
        failures += failures < KVR_MAX_FAILURES;
        if (barred || failures >= most) barred = at + p->options.open_time;
    }
    *changed = failures != w->failures || barred != w->barred;
    if (*changed) {
        // Whoever answers again may be a new process, with nothing in its cache.
        for (uint32_t r = 0; barred && r < w->ranks; r++)
            predictions_drop(p, w->instances[r]);
        circuit_set(p, w, failures, barred);
        p->version++;
    }
    *circuit = circuit_of(w, at);
    return KVR_OK;
}
