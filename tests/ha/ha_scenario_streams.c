// SPDX-License-Identifier: Apache-2.0
// Engines and routers that end under streams: what clients see of it, which is nothing.
#include "ha_steps.h"
#include "ha_stream.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"

enum {
    STREAMS_EVERY_MS = 2000,   // an engine is killed so often
    STREAMS_LONG_MS = 60000,   // for so long
    STREAMS_SHORT_MS = 4000,   // or so, where few streams are asked for
    STREAMS_FEW = 100,         // that many, or fewer
    STREAMS_WAITING_EACH = 5,  // of the scenarios' common measure, ha_result.waiting
    STREAMS_SHORT_TOKENS = 80, // 0.8 s of an engine: nobody meets two kills
    STREAMS_LONG_TOKENS = 800, // 8 s: four. Of few streams a half
    STREAMS_DRAIN_MS = 300,    // what an engine that is to be restarted has left then moves
};

static size_t streams_of(const struct ha_result *v) {
    return v->waiting / STREAMS_WAITING_EACH;
}

static int long_tokens(const struct ha_result *v) {
    return streams_of(v) > STREAMS_FEW ? STREAMS_LONG_TOKENS : STREAMS_LONG_TOKENS / 2;
}

static int64_t time_of(const struct ha_result *v) {
    return streams_of(v) > STREAMS_FEW ? STREAMS_LONG_MS : STREAMS_SHORT_MS;
}

static void kill_engines(struct ha_stream_fleet *f, struct ha_result *v) {
    unsigned seed = (unsigned)ha_seed();
    support_sleep_ms((int)time_of(v));
    ha_stream_begin(f, v, "an engine every 2 s");
    for (int64_t end = kvr_clock_ms() + time_of(v), at = kvr_clock_ms(); at < end;
         at += STREAMS_EVERY_MS) {
        struct ha_http_engine *e = &f->engines[(size_t)rand_r(&seed) % f->n_engines];
        ha_process_kill(e->process);
        ha_http_engine_start(e);
        int64_t left = at + STREAMS_EVERY_MS - kvr_clock_ms();
        if (left > 0) support_sleep_ms((int)left);
    }
}

void ha_stream_engines(struct ha_result *v) {
    static struct ha_stream_fleet f;
    ha_stream_start(&f, &(struct ha_stream_plan){.engines = HA_STREAM_MAX_ENGINES,
                                                 .streams = streams_of(v),
                                                 .tokens = STREAMS_SHORT_TOKENS});
    kill_engines(&f, v);
    ha_stream_finish(&f, v);
}

// They lose their engines again and again.
void ha_stream_long(struct ha_result *v) {
    static struct ha_stream_fleet f;
    ha_stream_start(&f, &(struct ha_stream_plan){.engines = HA_STREAM_MAX_ENGINES,
                                                 .streams = streams_of(v),
                                                 .tokens = long_tokens(v),
                                                 .router_options = "--migrate 8"});
    kill_engines(&f, v);
    ha_stream_finish(&f, v);
}

// ---- Restarts ------------------------------------------------------------------------------------

struct streams_engine {
    struct ha_server *server;
    int port;
};

static bool has_nothing(void *ctx) {
    const struct streams_engine *e = ctx;
    redisReply *r = ha_call(e->server, "KVROUTE.WORKER GET kvroute 127.0.0.1:%d", e->port);
    const redisReply *ranks = ha_field(r, "ranks");
    bool nothing = ranks && ranks->elements && ha_field_int(ranks->element[0], "requests") == 0;
    freeReplyObject(r);
    return nothing;
}

static void restart_engine(struct ha_stream_fleet *f, struct ha_http_engine *e) {
    struct streams_engine look = {f->server, e->port};
    ha_call_ok(f->server, "KVROUTE.WORKER SET kvroute 127.0.0.1:%d STATE draining DRAIN %d",
               e->port, STREAMS_DRAIN_MS);
    ha_wait(has_nothing, &look, "a draining engine has nothing left");
    ha_process_kill(e->process);
    ha_http_engine_start(e);
    ha_call_ok(f->server, "KVROUTE.WORKER SET kvroute 127.0.0.1:%d STATE ready", e->port);
}

void ha_stream_rolling(struct ha_result *v) {
    static struct ha_stream_fleet f;
    ha_stream_start(&f, &(struct ha_stream_plan){.engines = HA_STREAM_MAX_ENGINES,
                                                 .streams = streams_of(v),
                                                 .tokens = long_tokens(v),
                                                 .router_options = "--migrate 8",
                                                 .replaced = true});
    support_sleep_ms((int)time_of(v) / 4);
    ha_stream_begin(&f, v, "all engines and routers, in turn");
    for (size_t i = 0; i < HA_HTTP_ROUTERS; i++) {
        for (size_t k = i; k < f.n_engines; k += HA_HTTP_ROUTERS)
            restart_engine(&f, &f.engines[k]);
        ha_http_router_replace(f.routers[i], i);
    }
    support_sleep_ms((int)time_of(v) / 4);
    ha_stream_finish(&f, v);
}
