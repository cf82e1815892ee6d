// SPDX-License-Identifier: Apache-2.0
// What the demo itself asks of the pool; see pool.h.
#include "pool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "link.h"

void worker_name(unsigned worker, char out[24]) {
    snprintf(out, 24, "worker-%u", worker);
}

long worker_number(const char *name, size_t n) {
    static const char start[] = "worker-";
    char digits[8];
    if (n <= sizeof start - 1 || n - (sizeof start - 1) >= sizeof digits ||
        memcmp(name, start, sizeof start - 1))
        return -1;
    memcpy(digits, name + sizeof start - 1, n - (sizeof start - 1));
    digits[n - (sizeof start - 1)] = 0;
    char *end;
    long v = strtol(digits, &end, 10);
    return *end || v < 0 ? -1 : v;
}

bool pool_make(struct server *s, const struct options *o, uint64_t capacity) {
    char words[512];
    if (snprintf(words, sizeof words, "KVROUTE.CREATE %s BLOCKSIZE %u %s", POOL_KEY, o->block_size,
                 o->pool) >= (int)sizeof words) {
        fputs("kvroute-demo: too many options of the pool\n", stderr);
        return false;
    }
    redisReply *r = server_words(s, words);
    if (!r) return false;
    freeReplyObject(r);
    // Bridges register mock engines. Simulated workers are equally fast, in a time of their own that the
    // pool can't measure: so it is told.
    for (unsigned i = 0; i < o->workers && !o->mock; i++) {
        char name[24];
        worker_name(i, name);
        r = server_command(s,
                           "KVROUTE.WORKER SET " POOL_KEY " %s ADDR sim:%u CAPACITY %llu SPEED 1",
                           name, i, (unsigned long long)capacity);
        if (!r) return false;
        freeReplyObject(r);
    }
    return true;
}

bool pool_digest(struct server *s, char out[DIGEST_TEXT]) {
    redisReply *r = server_command(s, "KVROUTE.DIGEST " POOL_KEY);
    bool ok = r && r->str && r->len == DIGEST_TEXT - 1;
    if (ok) memcpy(out, r->str, DIGEST_TEXT);
    if (r) freeReplyObject(r);
    return ok;
}

// The value of a field in a flat field–value array; NULL: not there.
static const redisReply *field_of(const redisReply *map, const char *field) {
    for (size_t i = 0; map->type == REDIS_REPLY_ARRAY && i + 1 < map->elements; i += 2)
        if (map->element[i]->str && !strcmp(map->element[i]->str, field))
            return map->element[i + 1];
    return NULL;
}

static long long number_of(const redisReply *map, const char *field) {
    const redisReply *v = field_of(map, field);
    return v && v->type == REDIS_REPLY_INTEGER ? v->integer : -1;
}

long long pool_info(struct server *s, const char *field) {
    redisReply *r = server_command(s, "KVROUTE.INFO " POOL_KEY);
    long long v = r ? number_of(r, field) : -1;
    if (r) freeReplyObject(r);
    return v;
}

bool pool_held(struct server *s, unsigned workers, uint64_t *blocks) {
    redisReply *r = server_command(s, "KVROUTE.WORKER LIST " POOL_KEY);
    if (!r) return false;
    unsigned seen = 0;
    for (size_t i = 0; r->type == REDIS_REPLY_ARRAY && i < r->elements; i++) {
        const redisReply *name = field_of(r->element[i], "worker");
        const redisReply *ranks = field_of(r->element[i], "ranks");
        long w = name && name->str ? worker_number(name->str, name->len) : -1;
        if (w < 0 || w >= (long)workers || !ranks || ranks->elements != 1) continue;
        long long held = number_of(ranks->element[0], "device_blocks");
        if (held < 0) continue;
        blocks[w] = (uint64_t)held;
        seen++;
    }
    freeReplyObject(r);
    return seen == workers;
}
