// SPDX-License-Identifier: Apache-2.0
#include "router_degraded.h"

#include <string.h>

#include "client/common/clock.h"
#include "router_circuit.h"
#include "router_pools.h"
#include "router_served.h"

bool router_degraded_applies(const struct router_pool *p, enum kvr_code code) {
    switch (code) {
    case KVR_CODE_NOPOOL:
    case KVR_CODE_WRONGTYPE:
    case KVR_CODE_OOM:
    case KVR_CODE_DENIED:
    case KVR_CODE_REFUSED: // MISCONF and the like: what the router asks is in order
    case KVR_CODE_TIMEOUT:
    case KVR_CODE_PROTOCOL:
        return true;
    case KVR_CODE_NOWORKER: // so far it only has the settings to go by
        return !p->seen_us;
    default:
        return false;
    }
}

static bool is_open(const struct router_pool *p, const struct router_circuits *c,
                    const struct router_worker *w) {
    return w->circuit == KVR_OPEN || router_circuit_is_open(c, p, kvr_text(w->name));
}

bool router_degraded_is_better(const struct router_pool *p, const struct router_circuits *c,
                               const struct router_worker *a, const struct router_worker *b) {
    if (!b) return true;
    bool open = is_open(p, c, a);
    if (open != is_open(p, c, b)) return !open;
    if (a->here.live != b->here.live) return a->here.live < b->here.live;
    return a->here.chosen_us < b->here.chosen_us;
}

bool router_degraded_choose(struct router_pool *p, const struct router_circuits *c,
                            const char *model, const struct kvr_bytes *exclude, size_t n,
                            struct kvr_result *out) {
    struct router_served_levels levels = router_served_levels(p, model);
    struct router_worker *best = NULL;
    for (size_t i = 0; i < p->n_workers; i++) {
        struct router_worker *w = &p->workers[i];
        if (w->role == KVR_ROLE_PREFILL) continue; // there are no pairs without a pool
        if (w->state != KVR_READY || !*w->addr || router_worker_is_among(w, exclude, n)) continue;
        if (!router_served_fits(w, model, levels)) continue;
        if (router_degraded_is_better(p, c, w, best)) best = w;
    }
    if (!best) return false;
    best->here.chosen_us = kvr_clock_us();
    *out = (struct kvr_result){.code = KVR_CODE_OK, .message = "", .degraded = true};
    out->choice = (struct kvr_choice){.worker = kvr_text(best->name),
                                      .addr = kvr_text(best->addr),
                                      .rank = best->ranks ? best->here.turn++ % best->ranks : 0,
                                      .version = -1,
                                      .ttft = -1,
                                      .tpot = -1};
    return true;
}
