// SPDX-License-Identifier: Apache-2.0
// What breaks while pairs are booked; see ha_pair.h for who books.
#include <stdio.h>

#include "ha_pair_check.h"
#include "ha_pair_client.h"
#include "ha_pair_engine.h"
#include "ha_pair_load.h"
#include "ha_pair_watch.h"
#include "ha_steps.h"

enum {
    HA_PAIR_QUIETS = 4,      // while at work
    HA_PAIR_BETWEEN = 60,    // bookings between two faults
    HA_PAIR_SHORT_MS = 3000, // a lease, and a worker's time, that end while the scenario plays
    HA_PAIR_BRIEF_MS = 500,  // and a worker's grace
    HA_PAIR_DYING = 2,       // clients at a time
    HA_PAIR_UNHEARD = 150,   // bookings that a frozen replica doesn't hear of
    HA_PAIR_DOWN_MS = 3000,  // Sentinels promote no replica that has been frozen for ten times that
};

// One fault and its end; `turn` counts them.
typedef void ha_pair_step(struct ha_pair *p, struct ha_fleet *f, size_t turn);

struct ha_pair_scene {
    const char *killed;
    ha_pair_step *step;
    size_t steps;  // at least
    uint64_t each; // so many bookings ask for one step, too; 0: none
    struct ha_fleet_plan fleet;
    struct ha_pair_plan pairs;
};

static void play(struct ha_result *v, const struct ha_pair_scene *scene) {
    struct ha_fleet f;
    struct ha_fleet_plan fleet = scene->fleet;
    fleet.settings = "auto-aof-rewrite-percentage 0\n"; // so that the file has all that was done
    ha_fleet_start(&f, &fleet);
    struct ha_pair *p = ha_pair_start(&scene->pairs, &f);
    ha_pair_watch_start(p);
    snprintf(v->killed, sizeof v->killed, "%s", scene->killed);
    v->in_flight = ha_pair_count(p, HA_PAIR_LIVE);
    uint64_t quiet_at = v->bookings / HA_PAIR_QUIETS;
    uint64_t steps = scene->each ? v->bookings / scene->each : 0;
    if (steps < scene->steps) steps = scene->steps;
    for (size_t turn = 0; turn < steps || ha_pair_booked(p) < v->bookings; turn++) {
        scene->step(p, &f, turn);
        ha_pair_wait_booked(p, HA_PAIR_BETWEEN);
        if (ha_pair_booked(p) < quiet_at) continue;
        if (!ha_pair_quiet(v, p, &f)) break; // nothing gets better by going on
        quiet_at += v->bookings / HA_PAIR_QUIETS;
    }
    ha_pair_finish(v, p, &f);
}

// ---- Engines -------------------------------------------------------------------------------------

// Killed and deleted, or deleted while it is at work.
static void replace(struct ha_pair *p, struct ha_fleet *f, size_t engine, bool alive) {
    struct ha_server *primary = ha_fleet_settle(f);
    if (alive) {
        ha_pair_engine_delete_alive(p, engine, primary);
        return;
    }
    ha_pair_engine_kill(p, engine);
    ha_pair_engine_delete(p, engine, primary);
    ha_pair_wait_booked(p, HA_PAIR_BETWEEN); // the others do without
    ha_pair_engine_start(p, engine);
    ha_pair_engine_wait(p, engine);
}

static size_t prefiller(size_t turn) {
    return turn % HA_PAIR_PREFILLERS;
}

static size_t decoder(size_t turn) {
    return HA_PAIR_PREFILLERS + turn % HA_PAIR_DECODERS;
}

static void replace_prefiller(struct ha_pair *p, struct ha_fleet *f, size_t turn) {
    replace(p, f, prefiller(turn), turn % 2);
}

static void replace_decoder(struct ha_pair *p, struct ha_fleet *f, size_t turn) {
    replace(p, f, decoder(turn), turn / HA_PAIR_DECODERS % 2 != turn % 2);
}

void ha_pair_prefill_killed(struct ha_result *v) {
    play(v, &(struct ha_pair_scene){.killed = "engines of prompts",
                                    .step = replace_prefiller,
                                    .steps = 6,
                                    .fleet = {.replicas = 1}});
}

void ha_pair_decode_killed(struct ha_result *v) {
    play(v, &(struct ha_pair_scene){.killed = "engines that decode",
                                    .step = replace_decoder,
                                    .steps = 8,
                                    .fleet = {.replicas = 1}});
}

// Every second time they come back before anybody has missed them: the same worker, another epoch.
static void silence(struct ha_pair *p, struct ha_fleet *f, size_t turn) {
    const size_t engines[] = {prefiller(turn), decoder(turn)};
    for (size_t i = 0; i < 2; i++)
        ha_pair_engine_kill(p, engines[i]);
    for (size_t i = 0; i < 2 && turn % 2 == 0; i++)
        ha_pair_engine_wait_gone(engines[i], f->primary);
    for (size_t i = 0; i < 2; i++)
        ha_pair_engine_start(p, engines[i]);
    for (size_t i = 0; i < 2; i++)
        ha_pair_engine_wait(p, engines[i]);
}

void ha_pair_engines_silent(struct ha_result *v) {
    play(v, &(struct ha_pair_scene){.killed = "engines, and nobody deletes them",
                                    .step = silence,
                                    .steps = 2,
                                    .each = 1000,
                                    .fleet = {.replicas = 1},
                                    .pairs = {.ttl = HA_PAIR_SHORT_MS, .grace = HA_PAIR_BRIEF_MS}});
}

// ---- Clients -------------------------------------------------------------------------------------

static void kill_clients(struct ha_pair *p, struct ha_fleet *f, size_t turn) {
    (void)f;
    size_t first = turn * HA_PAIR_DYING % HA_PAIR_CLIENTS;
    for (size_t i = first; i < first + HA_PAIR_DYING; i++)
        ha_pair_client_kill(p, i);
    ha_pair_wait_booked(p, HA_PAIR_BETWEEN);
    for (size_t i = first; i < first + HA_PAIR_DYING; i++)
        ha_pair_client_start(p, i);
}

void ha_pair_clients_die(struct ha_result *v) {
    play(v, &(struct ha_pair_scene){.killed = "clients",
                                    .step = kill_clients,
                                    .steps = 6,
                                    .fleet = {.replicas = 1},
                                    .pairs = {.lease = HA_PAIR_SHORT_MS}});
}

static void cut_connections(struct ha_pair *p, struct ha_fleet *f, size_t turn) {
    struct ha_server *primary = ha_fleet_settle(f);
    ha_call_int(primary, "CLIENT KILL TYPE normal");
    if (turn % 2) ha_call_int(primary, "CLIENT KILL TYPE pubsub");
    p->faults++;
}

void ha_pair_connections_cut(struct ha_result *v) {
    play(v, &(struct ha_pair_scene){.killed = "connections",
                                    .step = cut_connections,
                                    .steps = 8,
                                    .fleet = {.replicas = 1}});
}

// ---- Servers -------------------------------------------------------------------------------------

// It comes back as a replica of its successor.
static void kill_primary(struct ha_pair *p, struct ha_fleet *f, size_t turn) {
    (void)turn;
    struct ha_server *primary = ha_fleet_settle(f);
    ha_sentinels_wait_ready(f->sentinels, HA_SENTINELS, f->n - 1);
    ha_fleet_expect_failure(f);
    ha_pair_unsettle(p);
    ha_server_kill(primary);
    ha_sentinel_wait_primary(f->sentinels[0], primary);
    ha_server_restart(primary);
    ha_pair_settle(p, f);
}

void ha_pair_primary_killed(struct ha_result *v) {
    play(v, &(struct ha_pair_scene){.killed = "the primary",
                                    .step = kill_primary,
                                    .steps = 1,
                                    .each = 2000,
                                    .fleet = {.replicas = 1, .sentinels = true},
                                    .pairs = {.lossy = true}});
}

// Once: the replica hears nothing while hundreds are booked and released, and is promoted. An engine of prompts that
// it has never heard of dies with the primary: what was booked there goes on without.
static void promote_the_past(struct ha_pair *p, struct ha_fleet *f, size_t turn) {
    struct ha_server *old = f->primary, *replica = f->servers[1];
    const size_t engine = prefiller(0);
    if (turn) return;
    ha_pair_engine_kill(p, engine);
    ha_pair_engine_delete(p, engine, old);
    ha_pair_engine_wait_gone(engine, replica);
    ha_process_stop(replica->process);
    ha_proxy_link(1, 0, HA_LINK_HELD);
    ha_pair_engine_start(p, engine);
    ha_pair_engine_wait(p, engine);
    ha_pair_wait_booked(p, HA_PAIR_UNHEARD);
    for (size_t i = 0; i < f->n_sentinels; i++)
        ha_call_ok(f->sentinels[i], "SENTINEL SET main down-after-milliseconds %d",
                   HA_PAIR_DOWN_MS);
    ha_pair_unsettle(p);
    ha_pair_engine_kill(p, engine);
    ha_server_kill(old);
    ha_proxy_link(1, 0, HA_LINK_CUT);
    ha_process_continue(replica->process);
    ha_sentinel_wait_primary(f->sentinels[1], old);
    ha_proxy_link(1, 0, HA_LINK_OPEN);
    ha_server_restart(old);
    ha_pair_settle(p, f);
    ha_pair_engine_start(p, engine);
    ha_pair_engine_wait(p, engine);
}

void ha_pair_replica_lags(struct ha_result *v) {
    play(v, &(struct ha_pair_scene){.killed = "the primary, a frozen replica left",
                                    .step = promote_the_past,
                                    .steps = 1,
                                    .fleet = {.replicas = 1, .sentinels = true, .apart = true},
                                    .pairs = {.lossy = true}});
}

static void restart(struct ha_pair *p, struct ha_fleet *f, size_t turn) {
    (void)turn;
    ha_pair_unsettle(p);
    ha_server_kill(f->primary);
    ha_server_restart(f->primary);
    ha_pair_settle(p, f);
}

void ha_pair_restart_aof(struct ha_result *v) {
    play(v, &(struct ha_pair_scene){.killed = "the server",
                                    .step = restart,
                                    .steps = 3,
                                    .fleet = {.replicas = 1},
                                    .pairs = {.lossy = true}});
}

// ---- All of it -----------------------------------------------------------------------------------

// An engine of each kind and a client go with the primary.
static void kill_all_kinds(struct ha_pair *p, struct ha_fleet *f, size_t turn) {
    const size_t engines[] = {prefiller(turn), decoder(turn)};
    size_t client = turn % HA_PAIR_CLIENTS;
    for (size_t i = 0; i < 2; i++)
        ha_pair_engine_kill(p, engines[i]);
    ha_pair_client_kill(p, client);
    kill_primary(p, f, turn);
    for (size_t i = 0; i < 2; i++)
        ha_pair_engine_start(p, engines[i]);
    for (size_t i = 0; i < 2; i++)
        ha_pair_engine_wait(p, engines[i]);
    ha_pair_client_start(p, client);
}

static void any(struct ha_pair *p, struct ha_fleet *f, size_t turn) {
    static ha_pair_step *const steps[] = {replace_prefiller, replace_decoder, kill_clients,
                                          cut_connections,   replace_decoder, replace_prefiller,
                                          kill_all_kinds};
    size_t n = sizeof steps / sizeof *steps;
    steps[turn % n](p, f, turn / n + turn % n);
}

void ha_pair_everything(struct ha_result *v) {
    play(v, &(struct ha_pair_scene){.killed = "engines, clients, connections, the primary",
                                    .step = any,
                                    .steps = 7,
                                    .each = 400,
                                    .fleet = {.replicas = 1, .sentinels = true},
                                    .pairs = {.lossy = true}});
}
