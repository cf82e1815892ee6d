// SPDX-License-Identifier: Apache-2.0
// What a key holds, and the registry of all values.
#include <pthread.h>
#include <string.h>

#include "module/core/decisions/decision_log.h"
#include "registry.h"

static struct {
    pthread_mutex_t lock;
    struct mod_value *first, *last;
    size_t count;
} registry = {.lock = PTHREAD_MUTEX_INITIALIZER};

void mod_registry_lock(void) {
    pthread_mutex_lock(&registry.lock);
}

void mod_registry_unlock(void) {
    pthread_mutex_unlock(&registry.lock);
}

static void link_last(struct mod_value *v) {
    v->prev = registry.last;
    v->next = NULL;
    *(registry.last ? &registry.last->next : &registry.first) = v;
    registry.last = v;
}

static void unlink_value(struct mod_value *v) {
    *(v->prev ? &v->prev->next : &registry.first) = v->next;
    *(v->next ? &v->next->prev : &registry.last) = v->prev;
}

size_t mod_registry_count(void) {
    return registry.count;
}

bool mod_registry_any_unplaced(void) {
    const struct mod_value *v = registry.first;
    while (v && v->placed)
        v = v->next;
    return v;
}

struct mod_value *mod_registry_first(void) {
    return registry.first;
}

struct mod_value *mod_registry_next(const struct mod_value *v) {
    return v->next;
}

struct mod_value *mod_registry_rotate(void) {
    struct mod_value *v = registry.first;
    if (!v) return NULL;
    unlink_value(v);
    link_last(v);
    return v;
}

void mod_registry_swap_databases(int a, int b) {
    for (struct mod_value *v = registry.first; v; v = v->next) {
        if (v->db == a)
            v->db = b;
        else if (v->db == b)
            v->db = a;
    }
}

void mod_registry_renew_all(int64_t now) {
    for (struct mod_value *v = registry.first; v; v = v->next)
        kvr_renew_all(v->pool, now);
}

struct mod_value *mod_value_new(struct kvr_pool *pool) {
    struct mod_value *v = RedisModule_Calloc(1, sizeof *v);
    v->pool = pool;
    mod_registry_lock();
    link_last(v);
    registry.count++;
    mod_registry_unlock();
    return v;
}

void mod_value_free(struct mod_value *v) {
    mod_registry_lock();
    unlink_value(v);
    registry.count--;
    mod_registry_unlock();
    kvr_pool_free(v->pool);
    kvr_decision_log_free(v->decisions);
    RedisModule_Free(v->name);
    RedisModule_Free(v);
}

void mod_value_place(struct mod_value *v, int db, const RedisModuleString *name) {
    size_t n;
    const char *bytes = RedisModule_StringPtrLen(name, &n);
    if (v->placed && v->db == db && v->name_len == n && memcmp(v->name, bytes, n) == 0) return;
    if (n > v->name_room || !v->name) {
        char *room = RedisModule_TryAlloc(n ? n : 1);
        v->placed = false;
        if (!room) return;
        RedisModule_Free(v->name);
        v->name = room;
        v->name_room = n;
    }
    memcpy(v->name, bytes, n);
    v->name_len = n;
    v->db = db;
    v->placed = true;
}

void mod_value_unplace(struct mod_value *v) {
    v->placed = false;
}

size_t mod_value_memory(const struct mod_value *v, int64_t now) {
    struct kvr_stats s;
    kvr_pool_stats(v->pool, now, &s);
    struct kvr_decision_stats log = {0};
    if (v->decisions) kvr_decision_log_stats(v->decisions, &log);
    return sizeof *v + v->name_room + s.memory_bytes + log.memory;
}
