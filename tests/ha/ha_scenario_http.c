// SPDX-License-Identifier: Apache-2.0
// Engines and Redis behind routers: what clients of HTTP see of it, which is nothing.
#include "ha_http.h"
#include "ha_steps.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_http.h"

// HA_FEW_FILES leave a router 18 connections of clients; so many idle ones want more than there are.
enum { HA_OUTAGE_MS = 3000, HA_DEADLY_MS = 30000, HA_FEW_FILES = 64, HA_IDLE = 40 };

#define DEADLY_WORD "deadly-nightshade"

// It accepts, and says nothing any more. What waits there for an answer is taken elsewhere.
void ha_http_engine_frozen(struct ha_result *v) {
    struct ha_http h;
    ha_http_start(&h, &(struct ha_http_plan){.engines = 3, .clients = 6, .streams = true});
    support_sleep_ms(HA_BEFORE_MS);
    ha_http_note_fault(v, &h, "nothing: an engine of three is frozen");
    ha_process_stop(h.engines[0].process);
    ha_http_wait_circuits(&h, 1);
    support_sleep_ms(HA_AFTER_MS);
    ha_process_continue(h.engines[0].process);
    ha_http_wait_circuits(&h, 0);
    support_sleep_ms(HA_AFTER_MS);
    ha_http_finish(v, &h);
}

// A 404 where the health is asked for is a sign of life, and the only one there is when the engine is back.
void ha_http_no_health(struct ha_result *v) {
    struct ha_http h;
    ha_http_start(&h, &(struct ha_http_plan){
                          .engines = 3, .clients = 6, .router_options = "--health /nothing-here"});
    // Long enough for checks to have asked all of them.
    support_sleep_ms(6 * HA_BEFORE_MS);
    if (ha_http_count(&h, "pool_open_circuits"))
        ha_http_note_wrong(v, "an engine without the path is taken for dead");
    ha_http_note_fault(v, &h, "an engine of three, without /health");
    ha_process_kill(h.engines[0].process);
    ha_http_wait_circuits(&h, 1);
    ha_http_engine_start(&h.engines[0]);
    ha_http_wait_circuits(&h, 0);
    support_sleep_ms(HA_AFTER_MS);
    ha_http_finish(v, &h);
}

static size_t count_dead(struct ha_http *h) {
    size_t dead = 0;
    int status;
    for (size_t i = 0; i < h->n_engines; i++)
        dead += !h->engines[i].process->pid || ha_process_ended(h->engines[i].process, &status);
    return dead;
}

// There are more engines than clients, so the request meets nobody else where it goes.
void ha_http_deadly(struct ha_result *v) {
    struct ha_http h;
    ha_http_start(&h, &(struct ha_http_plan){
                          .engines = 6, .clients = 2, .engine_options = "--deadly " DEADLY_WORD});
    support_sleep_ms(HA_BEFORE_MS);
    ha_http_note_fault(v, &h, "two engines of six, by one request");
    struct support_response r = support_http(
        h.ports[0], "POST", "/v1/chat/completions", "Content-Type: application/json\r\n",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"" DEADLY_WORD "\"}]}", HA_DEADLY_MS);
    if (r.status != 502) ha_http_note_wrong(v, "the deadly request isn't refused");
    support_response_free(&r);
    support_sleep_ms(HA_OUTAGE_MS);
    if (count_dead(&h) != 2) ha_http_note_wrong(v, "not two engines are dead");
    ha_http_finish(v, &h);
}

static void expect_degraded(struct ha_result *v) {
    if (!v->degraded) ha_http_note_wrong(v, "nothing was chosen without the pool");
}

// Redis answers, and refuses what it would have to remember.
void ha_http_redis_full(struct ha_result *v) {
    struct ha_http h;
    ha_http_start(&h, &(struct ha_http_plan){.engines = 3, .clients = 6, .streams = true});
    support_sleep_ms(HA_BEFORE_MS);
    ha_http_note_fault(v, &h, "nothing: Redis is full for 3 s");
    ha_call_ok(h.server, "CONFIG SET maxmemory 1");
    support_sleep_ms(HA_OUTAGE_MS);
    if (ha_call_try(h.server, "KVROUTE.CLAIM kvroute full 127.0.0.1:%d 0 IDS 0", h.engines[0].port))
        ha_http_note_wrong(v, "Redis isn't full");
    ha_call_ok(h.server, "CONFIG SET maxmemory 0");
    ha_http_wait_booked(&h);
    support_sleep_ms(HA_AFTER_MS);
    ha_http_finish(v, &h);
    expect_degraded(v);
}

void ha_http_redis_absent(struct ha_result *v) {
    struct ha_http h;
    ha_http_start(&h, &(struct ha_http_plan){
                          .engines = 3, .clients = 6, .streams = true, .without_redis = true});
    ha_http_note_fault(v, &h, "the server, before routers started");
    support_sleep_ms(HA_OUTAGE_MS);
    ha_server_restart(h.server);
    ha_http_wait_booked(&h);
    support_sleep_ms(HA_AFTER_MS);
    ha_http_finish(v, &h);
    expect_degraded(v);
}

// Clients that say nothing; who is sent away comes again.
static void hold(int port, int idle[HA_IDLE]) {
    for (size_t i = 0; i < HA_IDLE; i++) {
        struct pollfd p = {.fd = idle[i], .events = POLLIN};
        if (idle[i] >= 0 && poll(&p, 1, 0) == 0) continue;
        if (idle[i] >= 0) close(idle[i]);
        idle[i] = support_http_connect(port);
    }
}

// It refuses whom it can't serve, and takes nothing of what it lacks for its engines' fault.
void ha_http_descriptors(struct ha_result *v) {
    struct ha_http h;
    int idle[HA_IDLE];
    int64_t open = 0;
    ha_http_start(&h, &(struct ha_http_plan){
                          .engines = 3, .clients = 6, .streams = true, .few_files = HA_FEW_FILES});
    support_sleep_ms(HA_BEFORE_MS);
    ha_http_note_fault(v, &h, "nothing: a router has no descriptors");
    ha_http_may_refuse(&h, true);
    memset(idle, -1, sizeof idle);
    for (int64_t end = kvr_clock_ms() + HA_OUTAGE_MS; kvr_clock_ms() < end; support_sleep_ms(50)) {
        hold(h.ports[0], idle);
        open |= ha_http_open_circuits(&h);
    }
    for (size_t i = 0; i < HA_IDLE; i++)
        if (idle[i] >= 0) close(idle[i]);
    ha_http_wait_ready(&h);
    support_sleep_ms(HA_AFTER_MS);
    ha_http_may_refuse(&h, false);
    support_sleep_ms(HA_BEFORE_MS);
    if (open || ha_http_open_circuits(&h)) ha_http_note_wrong(v, "an engine is blamed for it");
    if (!ha_http_refusals(&h)) ha_http_note_wrong(v, "nobody was refused, so nothing is shown");
    ha_http_finish(v, &h);
}
