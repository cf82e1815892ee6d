// SPDX-License-Identifier: Apache-2.0
// What a key holds: a pool, and where it lies; and the registry of all of them.
//
// The timer and INFO need every pool of the server, which the keyspace can't list. So each value is
// in a registry from its creation until it is freed. Values are created, moved and used on the main
// thread; they may be freed on another (lazy freeing), so the registry's links are under a lock, and
// whoever walks it holds the lock while it touches a value: the freeing thread waits at mod_value_free.
//
// Where a value lies is only known from outside: by the commands that open it, by loading, and by
// keyspace notifications. It may be out of date, so it is believed only after a look at the key.
#ifndef MOD_REGISTRY_H
#define MOD_REGISTRY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "module/core/pool.h"
#include "redis_api.h"

struct mod_caller;
struct kvr_decision_log;
struct mod_value {
    struct kvr_pool *pool;
    struct mod_value *prev, *next; // registry
    bool placed;                   // db and name are set
    int db;                        // number of the database
    char *name;                    // the key's
    size_t name_len, name_room;    // bytes
    size_t callers;                // that are blocked on its requests, see blocked_callers.h
    struct mod_caller *left;       // the last callers of requests who have gone; main thread only
    bool digesting;                // a digest in slices is under way, see digest_slices.h
    struct kvr_decision_log *decisions; // NULL: they aren't logged
};

struct mod_value *
mod_value_new(struct kvr_pool *pool);     // takes the pool over; registered, not placed
void mod_value_free(struct mod_value *v); // from any thread
void mod_value_place(struct mod_value *v, int db, const RedisModuleString *name);
void mod_value_unplace(struct mod_value *v);
size_t mod_value_memory(const struct mod_value *v, int64_t now); // bytes

void mod_registry_lock(void);
void mod_registry_unlock(void);
// The rest with the lock held.
size_t mod_registry_count(void);
bool mod_registry_any_unplaced(void);
struct mod_value *mod_registry_first(void);                     // NULL if there are none
struct mod_value *mod_registry_next(const struct mod_value *v); // NULL at the end
struct mod_value *mod_registry_rotate(void);                    // the first, which becomes the last
void mod_registry_swap_databases(int a, int b);
void mod_registry_renew_all(int64_t now); // every pool's leases and workers

#endif
