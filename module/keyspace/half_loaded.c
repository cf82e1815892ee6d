// SPDX-License-Identifier: Apache-2.0
#include "half_loaded.h"

#include "redis_alloc.h"

struct half_loaded {
    struct half_loaded *next;
    struct kvr_loader *loader;
    int db;
    RedisModuleString *name;
    RedisModuleString **pieces; // kept, to be told; none if it comes from an AOF
    size_t n, room;
};

static struct half_loaded *halves;
static bool in_aof; // what is just being loaded

static struct half_loaded **find(int db, const RedisModuleString *name) {
    struct half_loaded **at = &halves;
    while (*at && ((*at)->db != db || RedisModule_StringCompare((*at)->name, (void *)name) != 0))
        at = &(*at)->next;
    return at;
}

static struct half_loaded *begin(int db, RedisModuleString *name) {
    uint64_t seed;
    RedisModule_GetRandomBytes((unsigned char *)&seed, sizeof seed);
    struct kvr_loader *loader = kvr_loader_new(&mod_redis_alloc, seed);
    if (!loader) return NULL;
    struct half_loaded *h = RedisModule_Calloc(1, sizeof *h);
    h->loader = loader;
    h->db = db;
    h->name = RedisModule_CreateStringFromString(NULL, name);
    h->next = halves;
    halves = h;
    return h;
}

static void drop(struct half_loaded **at) {
    struct half_loaded *h = *at;
    *at = h->next;
    kvr_loader_free(h->loader);
    RedisModule_FreeString(NULL, h->name);
    for (size_t i = 0; i < h->n; i++)
        RedisModule_FreeString(NULL, h->pieces[i]);
    RedisModule_Free(h->pieces);
    RedisModule_Free(h);
}

static enum kvr_err keep(struct half_loaded *h, RedisModuleString *piece) {
    if (h->n == h->room) {
        size_t room = h->room ? 2 * h->room : 8;
        void *more = mod_redis_alloc.resize(NULL, h->pieces, room * sizeof *h->pieces);
        if (!more) return KVR_NOMEM;
        h->pieces = more;
        h->room = room;
    }
    h->pieces[h->n++] = RedisModule_HoldString(NULL, piece);
    return KVR_OK;
}

static enum kvr_err feed(struct half_loaded *h, RedisModuleString *piece, bool kept) {
    struct kvr_bytes bytes = mod_bytes_of(piece);
    enum kvr_err err = kvr_loader_feed(h->loader, bytes.p, bytes.n);
    return err == KVR_OK && kept ? keep(h, piece) : err;
}

enum kvr_err mod_half_loaded_take(RedisModuleCtx *ctx, RedisModuleString *name,
                                  RedisModuleString *piece, bool loading, struct kvr_pool **pool) {
    int db = RedisModule_GetSelectedDb(ctx);
    *pool = NULL;
    if (!*find(db, name) && !begin(db, name)) return KVR_NOMEM;
    struct half_loaded **at = find(db, name), *h = *at;
    enum kvr_err err = feed(h, piece, !loading);
    if (err == KVR_OK && !kvr_loader_done(h->loader)) return KVR_OK;
    if (err == KVR_OK) {
        *pool = kvr_loader_finish(h->loader);
        h->loader = NULL;
        if (!*pool) err = KVR_CORRUPT;
    }
    for (size_t i = 0; i < h->n && err == KVR_OK; i++)
        RedisModule_Replicate(ctx, "KVROUTE.LOAD", "ss", name, h->pieces[i]);
    drop(at);
    return err;
}

size_t mod_half_loaded_drop(bool (*in)(RedisModuleString *name)) {
    size_t dropped = 0;
    for (struct half_loaded **at = &halves; *at;) {
        if (!in((*at)->name)) {
            at = &(*at)->next;
            continue;
        }
        drop(at);
        dropped++;
    }
    return dropped;
}

// ---- Loading and saving --------------------------------------------------------------------------

void mod_half_loaded_load_starts(bool from_aof) {
    while (halves)
        drop(&halves);
    in_aof = from_aof;
}

size_t mod_half_loaded_load_ends(bool replica) {
    size_t dropped = 0;
    for (struct half_loaded **at = &halves; *at;) {
        if (replica && (*at)->n) {
            at = &(*at)->next;
            continue;
        }
        drop(at);
        dropped++;
    }
    return dropped;
}

// For each: 1, database, key, number of pieces, pieces; 0 at the end. Nothing at all if there are none, so
// that a server without the module can read the file.
void mod_half_loaded_save(RedisModuleIO *io, int when) {
    (void)when;
    for (const struct half_loaded *h = halves; h; h = h->next) {
        RedisModule_SaveUnsigned(io, 1);
        RedisModule_SaveUnsigned(io, (uint64_t)h->db);
        RedisModule_SaveString(io, h->name);
        RedisModule_SaveUnsigned(io, h->n);
        for (size_t i = 0; i < h->n; i++)
            RedisModule_SaveString(io, h->pieces[i]);
    }
    if (halves) RedisModule_SaveUnsigned(io, 0);
}

static bool load_piece(RedisModuleIO *io, struct half_loaded *h) {
    RedisModuleString *piece = RedisModule_LoadString(io);
    bool good = piece && !RedisModule_IsIOError(io) && feed(h, piece, true) == KVR_OK;
    if (piece) RedisModule_FreeString(NULL, piece);
    return good;
}

static bool load_half(RedisModuleIO *io) {
    uint64_t db = RedisModule_LoadUnsigned(io);
    RedisModuleString *name = RedisModule_LoadString(io);
    uint64_t n = RedisModule_LoadUnsigned(io);
    struct half_loaded *h = NULL;
    bool good = name && !RedisModule_IsIOError(io) && db <= INT32_MAX && n > 0 &&
                !*find((int)db, name) && (h = begin((int)db, name));
    for (uint64_t i = 0; i < n && good; i++)
        good = load_piece(io, h);
    good = good && !kvr_loader_done(h->loader);
    if (h && (!good || in_aof)) drop(find((int)db, name));
    if (name) RedisModule_FreeString(NULL, name);
    return good;
}

int mod_half_loaded_load(RedisModuleIO *io, int encoding, int when) {
    (void)when;
    if (encoding != 0) return REDISMODULE_ERR;
    while (RedisModule_LoadUnsigned(io) == 1)
        if (!load_half(io)) return REDISMODULE_ERR;
    return RedisModule_IsIOError(io) ? REDISMODULE_ERR : REDISMODULE_OK;
}
