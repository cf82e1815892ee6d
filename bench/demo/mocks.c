// SPDX-License-Identifier: Apache-2.0
// Mock engines and bridges; see mocks.h.
#include "mocks.h"

#include <signal.h>
#include <stdio.h>

#include "bench/common/clock.h"
#include "bench/common/process.h"
#include "bench/common/stop.h"
#include "fleet.h"
#include "link.h"
#include "pool.h"

enum { PATIENCE_S = 20 };

#ifndef KVROUTE_MOCK
#define KVROUTE_MOCK "kvroute-mock-engine"
#define KVROUTE_BRIDGE "kvroute-bridge"
#endif

bool mocks_start(struct mocks *m, const struct options *o, size_t capacity) {
    *m = (struct mocks){0};
    for (; m->n < o->workers; m->n++) {
        struct engine_process *e = &m->engines[m->n];
        e->ranks = 1;
        worker_name((unsigned)m->n, e->name);
        snprintf(e->options, sizeof e->options,
                 "--block-size=%u --blocks=%zu --prefill-speed=%.0f --decode-speed=%.1f "
                 "--time-scale=%.0f",
                 o->block_size, capacity, PREFILL_RATE, 1 / DECODE_PACE, o->scale);
        snprintf(e->bridge, sizeof e->bridge, "audit=1000 capacity=%zu", capacity);
        if (!engine_start(e, KVROUTE_MOCK)) return false;
    }
    return true;
}

bool mocks_bridge(struct mocks *m, const struct server *s) {
    snprintf(m->url, sizeof m->url, "redis://127.0.0.1:%d", s->port);
    snprintf(m->log, sizeof m->log, "%s/bridge.log", s->dir);
    m->n_bridges = m->n > 1 ? 2 : 1;
    for (size_t i = 0; i < m->n_bridges; i++) {
        size_t first = m->n * i / m->n_bridges, end = m->n * (i + 1) / m->n_bridges;
        m->bridges[i] = (struct bridge_process){.program = KVROUTE_BRIDGE,
                                                .url = m->url,
                                                .pool = POOL_KEY,
                                                .log = m->log,
                                                .listen = process_ports(1)};
        bridge_start(&m->bridges[i], m->engines + first, end - first);
    }
    int64_t deadline = clock_ns() + PATIENCE_S * INT64_C(1000000000);
    for (size_t i = 0; i < m->n_bridges && !stop_asked();) {
        if (bridge_settled(&m->bridges[i])) {
            i++;
        } else if (clock_ns() > deadline) {
            fputs("kvroute-demo: a bridge doesn't settle\n", stderr);
            return false;
        } else {
            clock_sleep_ms(10);
        }
    }
    return !stop_asked();
}

bool mocks_compare(const struct mocks *m, struct server *s, long *blocks) {
    struct engines_difference d = {0};
    bool read = false;
    for (int64_t deadline = clock_ns() + PATIENCE_S * INT64_C(1000000000);
         clock_ns() < deadline && !stop_asked(); clock_sleep_ms(20)) {
        read = engines_compare(s->control, POOL_KEY, m->engines, m->n, &d);
        if (read && !d.blocks) break;
    }
    *blocks = d.blocks;
    if (read && d.blocks) fprintf(stderr, "kvroute-demo: %s\n", d.first);
    return read;
}

void mocks_end(struct mocks *m) {
    for (size_t i = 0; i < m->n_bridges; i++)
        process_end(&m->bridges[i].pid, SIGKILL);
    for (size_t i = 0; i < m->n; i++)
        process_end(&m->engines[i].pid, SIGKILL);
}
