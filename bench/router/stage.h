// SPDX-License-Identifier: Apache-2.0
// The processes that are measured: a redis-server, mock engines, a router, haproxy.
#ifndef BENCH_ROUTER_STAGE_H
#define BENCH_ROUTER_STAGE_H

#include <stdbool.h>
#include <sys/types.h>

#include "bench/common/engines.h"
#include "bench/common/server.h"

enum { ENGINES = 4 };

struct stage {
    struct server server;
    struct engine_process engines[ENGINES];
    pid_t router, haproxy;
    int router_port, haproxy_port; // haproxy_port 0: there is none
};

// Engines' options besides the port and the model. False with a message.
bool stage_engines(struct stage *s, const char *time_scale, const char *decode_speed);
// A router of its own process in front of the engines, and of the pool "advise".
bool stage_router(struct stage *s);
bool stage_haproxy(struct stage *s);     // true also where haproxy isn't installed
void stage_end_engines(struct stage *s); // engines, router and haproxy
void stage_end(struct stage *s);

#endif
