// SPDX-License-Identifier: Apache-2.0
// Engines: a process each, which registers one worker, publishes what it holds, and sends heartbeats.
#ifndef HA_PAIR_ENGINE_H
#define HA_PAIR_ENGINE_H

#include "ha_fleet.h"
#include "ha_pair.h"

// Starts the engine's process, in a new life; and waits until that is registered and has published.
void ha_pair_engine_start(struct ha_pair *p, size_t engine);
void ha_pair_engine_wait(struct ha_pair *p, size_t engine);
// SIGKILL. Its worker stays until somebody deletes it, or its time is over.
void ha_pair_engine_kill(struct ha_pair *p, size_t engine);
// WORKER DEL of one that is killed, after the last that it sent: a late heartbeat would make the worker again. And of one
// that is at work, which registers itself again: returns then.
void ha_pair_engine_delete(struct ha_pair *p, size_t engine, struct ha_server *primary);
void ha_pair_engine_delete_alive(struct ha_pair *p, size_t engine, struct ha_server *primary);
// Waits until the worker is gone by its time.
void ha_pair_engine_wait_gone(size_t engine, struct ha_server *primary);

#endif
