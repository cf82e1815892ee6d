// SPDX-License-Identifier: Apache-2.0
// Many streams at a time through routers, while engines and routers come and go. Each is compared byte by byte
// with what an engine that nobody disturbs answers to the same request.
#ifndef HA_STREAM_H
#define HA_STREAM_H

#include "ha_http.h"

enum {
    HA_STREAM_MAX_ENGINES = 8,
    HA_STREAM_PROCESSES = 2,
    HA_STREAM_FOLLOWED = 32768, // times to the first token that are kept of each phase
};

enum ha_stream_phase { HA_STREAM_CALM, HA_STREAM_BROKEN, HA_STREAM_PHASES };

struct ha_stream_plan {
    size_t engines, streams; // streams at a time
    int tokens;              // of each
    const char *router_options;
    bool replaced; // routers will be
};

// What the clients have seen, in memory that they share.
struct ha_stream_seen {
    _Atomic bool stop;
    _Atomic int phase;
    _Atomic uint64_t streams, cut, different, refused, unprotected;
    _Atomic size_t n_first[HA_STREAM_PHASES];
    int32_t first_us[HA_STREAM_PHASES][HA_STREAM_FOLLOWED]; // from the request to the first token
    char first_error[160];
};

struct ha_stream_fleet {
    struct ha_server *server;
    struct ha_http_engine engines[HA_STREAM_MAX_ENGINES], undisturbed;
    struct ha_process *routers[HA_HTTP_ROUTERS], *clients[HA_STREAM_PROCESSES];
    int ports[HA_HTTP_ROUTERS];
    struct ha_stream_seen *seen;
    size_t n_engines, streams;
    int tokens;
};

// Starts all of it; streams are on their way when it returns.
void ha_stream_start(struct ha_stream_fleet *f, const struct ha_stream_plan *plan);
// What was broken until now counts for the next phase.
void ha_stream_begin(struct ha_stream_fleet *f, struct ha_result *v, const char *what);
// Streams end; then nothing may be booked any more. Fills in the result.
void ha_stream_finish(struct ha_stream_fleet *f, struct ha_result *v);
// The one quantile, ms; −1: there were none.
double ha_stream_first_ms(const struct ha_stream_seen *s, enum ha_stream_phase phase, double q);

#endif
