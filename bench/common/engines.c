// SPDX-License-Identifier: Apache-2.0
// Mock engines and bridges; see engines.h.
//
// Comparing: each block that any engine holds is asked of the pool by itself (KVROUTE.TREE FROM), which
// names its holders. That finds what is missing, and what is too much among these; blocks that no
// engine has show in the numbers of blocks that the pool counts for each rank.
#include "engines.h"

#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "http.h"
#include "memory.h"
#include "process.h"

enum { PATIENCE_MS = 20000, PIPELINE = 256, TIERS = 2 };

// ---- Processes -----------------------------------------------------------------------------------

static void choose_ports(struct engine_process *e) {
    e->http = process_ports(2 * e->ranks + 1);
    e->events = e->http + 1;
    e->replay = e->events + (int)e->ranks;
}

static size_t split(char *text, const char **argv, size_t n) {
    char *rest = NULL;
    for (char *w = strtok_r(text, " ", &rest); w && n + 1 < ENGINE_WORDS;
         w = strtok_r(NULL, " ", &rest))
        argv[n++] = w;
    argv[n] = NULL;
    return n;
}

// Its one line of output says that it serves.
static bool says_where(int fd) {
    char c;
    ssize_t n;
    while ((n = read(fd, &c, 1)) == 1 && c != '\n')
        ;
    return n == 1;
}

bool engine_start(struct engine_process *e, const char *program) {
    bool again = e->http != 0;
    for (int tries = 0; tries < 5; tries++) {
        char words[400];
        const char *argv[ENGINE_WORDS] = {program};
        int ends[2], n;
        if (!again) choose_ports(e);
        n = snprintf(words, sizeof words, "--http-port=%d --replay-port=%d --ranks=%u %s ", e->http,
                     e->replay, e->ranks, e->options);
        snprintf(words + n, sizeof words - (size_t)n,
                 e->connects ? "--connect=tcp://127.0.0.1:%d" : "--events-port=%d", e->events);
        split(words, argv, 1);
        if (pipe(ends)) return false;
        fcntl(ends[0], F_SETFD, FD_CLOEXEC);
        e->pid = process_start(argv, NULL, ends[1]);
        close(ends[1]);
        bool up = says_where(ends[0]);
        close(ends[0]);
        if (up) return true;
        process_end(&e->pid, SIGKILL);
    }
    fprintf(stderr, "%s doesn't start with %s\n", program, e->options);
    return false;
}

void bridge_start(struct bridge_process *b, const struct engine_process *engines, size_t n) {
    const char *argv[12 + 2 * ENGINES_MOST + ENGINE_WORDS] = {b->program, "--redis", b->url,
                                                              "--pool", b->pool};
    char listen[40], *text = memory_take(n, 400), more[300];
    size_t k = 5;
    if (b->listen) {
        snprintf(listen, sizeof listen, "127.0.0.1:%d", b->listen);
        argv[k++] = "--listen";
        argv[k++] = listen;
    }
    if (b->create) {
        argv[k++] = "--create";
        argv[k++] = b->create;
    }
    for (size_t i = 0; i < n; i++) {
        const struct engine_process *e = &engines[i];
        char *words = text + 400 * i;
        int len = snprintf(words, 400,
                           "%s http=http://127.0.0.1:%d events=tcp://127.0.0.1:%d mode=%s ranks=%u "
                           "%s",
                           e->name, e->http, e->events, e->connects ? "bind" : "connect", e->ranks,
                           e->bridge);
        if (!strstr(e->options, "--no-replay"))
            snprintf(words + len, 400 - (size_t)len, " replay=tcp://127.0.0.1:%d", e->replay);
        argv[k++] = "--engine";
        argv[k++] = words;
    }
    snprintf(more, sizeof more, "%s", b->more ? b->more : "");
    split(more, argv + k, 0);
    b->pid = process_start(argv, b->log, -1);
    free(text);
}

// A line for each engine: its name and "ok", or what isn't.
bool bridge_settled(const struct bridge_process *b) {
    struct http_answer a = http_call(b->listen, "GET", "/healthz", "", NULL, PATIENCE_MS);
    char *rest = NULL;
    bool good = a.status == 200;
    for (char *line = good ? strtok_r(a.body, "\n", &rest) : NULL; line;
         line = strtok_r(NULL, "\n", &rest)) {
        size_t n = strlen(line);
        good = good && n > 3 && strcmp(line + n - 3, " ok") == 0;
    }
    free(a.body);
    return good;
}

uint64_t bridge_count(const struct bridge_process *b, const char *metric) {
    struct http_answer a = http_call(b->listen, "GET", "/metrics", "", NULL, PATIENCE_MS);
    char start[120];
    uint64_t sum = 0;
    int n = snprintf(start, sizeof start, "\nkvroute_bridge_%s{", metric);
    for (const char *at = a.body; at && (at = strstr(at, start)); at += n) {
        const char *value = strstr(at + n, "} ");
        if (value) sum += strtoull(value + 2, NULL, 10);
    }
    free(a.body);
    return sum;
}

// ---- What engines hold ---------------------------------------------------------------------------

struct held {
    uint64_t hash;
    unsigned engine, rank, tier;
};

struct all_held {
    struct held *items;
    size_t n, room;
    long counts[ENGINES_MOST][16][TIERS];
};

static void add_blocks(struct all_held *all, const json_t *blocks, struct held one) {
    size_t i;
    json_t *text;
    json_array_foreach(blocks, i, text) {
        one.hash = strtoull(json_string_value(text), NULL, 16);
        all->items = memory_grow(all->items, &all->room, all->n + 1, sizeof one);
        all->items[all->n++] = one;
    }
    all->counts[one.engine][one.rank][one.tier] = (long)json_array_size(blocks);
}

static bool is_idle(const json_t *row) {
    static const char *const busy[] = {"running", "waiting", "held", "pending"};
    for (size_t i = 0; i < sizeof busy / sizeof *busy; i++)
        if (json_integer_value(json_object_get(row, busy[i]))) return false;
    return true;
}

static bool read_engine(struct all_held *all, const struct engine_process *e, unsigned number) {
    struct http_answer a = http_call(e->http, "GET", "/mock/cache", "", NULL, PATIENCE_MS);
    json_t *cache = a.status == 200 ? json_loads(a.body, 0, NULL) : NULL, *row;
    json_t *ranks = json_object_get(cache, "ranks");
    bool good = json_array_size(ranks) == e->ranks;
    size_t i;
    json_array_foreach(ranks, i, row) {
        good = good && is_idle(row);
        if (!good) break;
        add_blocks(all, json_object_get(row, "blocks"), (struct held){0, number, (unsigned)i, 0});
        add_blocks(all, json_object_get(row, "cpu"), (struct held){0, number, (unsigned)i, 1});
    }
    json_decref(cache);
    free(a.body);
    return good;
}

static int by_hash(const void *left, const void *right) {
    const struct held *a = left, *b = right;
    return a->hash < b->hash ? -1 : a->hash > b->hash;
}

// ---- What the pool says --------------------------------------------------------------------------

static const redisReply *field(const redisReply *map, const char *name) {
    for (size_t i = 0; map && map->type == REDIS_REPLY_ARRAY && i + 1 < map->elements; i += 2)
        if (map->element[i]->str && !strcmp(map->element[i]->str, name)) return map->element[i + 1];
    return NULL;
}

static int engine_named(const struct engine_process *engines, size_t n, const char *name,
                        size_t len) {
    for (size_t i = 0; i < n; i++)
        if (strlen(engines[i].name) == len && !memcmp(engines[i].name, name, len)) return (int)i;
    return -1;
}

// "name:rank tier blocks"
static bool read_holder(const char *text, const struct engine_process *engines, size_t n,
                        struct held *out) {
    const char *colon = strchr(text, ':');
    char tier[16];
    int engine = colon ? engine_named(engines, n, text, (size_t)(colon - text)) : -1;
    if (engine < 0 || sscanf(colon + 1, "%u %15s", &out->rank, tier) != 2) return false;
    out->engine = (unsigned)engine;
    out->tier = !strcmp(tier, "device") ? 0 : !strcmp(tier, "host") ? 1 : 2;
    return true;
}

static void note(struct engines_difference *out, const char *what, uint64_t hash, const char *who) {
    if (!out->first[0])
        snprintf(out->first, sizeof out->first, "%s %016" PRIx64 " %s", what, hash, who);
}

// The holders of one block, which held[0 … n) should be.
static void compare_block(const redisReply *r, const struct engine_process *engines, size_t n_of,
                          const struct held *held, size_t n, struct engines_difference *out) {
    const redisReply *run = r->type == REDIS_REPLY_ARRAY && r->elements == 1 ? r->element[0] : NULL;
    const redisReply *holders = field(run, "holders");
    bool found[ENGINES_MOST * 16] = {false};
    size_t n_found = 0;
    for (size_t i = 0; holders && i < holders->elements; i++) {
        struct held h = {0};
        bool known = read_holder(holders->element[i]->str, engines, n_of, &h);
        size_t k = 0;
        while (known && k < n &&
               !(held[k].engine == h.engine && held[k].rank == h.rank && held[k].tier == h.tier))
            k++;
        if (known && k < n && k < sizeof found) {
            found[k] = true;
            n_found++;
        } else {
            out->vain++;
            note(out, "in vain", held->hash, holders->element[i]->str);
        }
    }
    out->blocks += (long)(n - n_found);
    for (size_t k = 0; k < n && k < sizeof found; k++) {
        char who[80];
        snprintf(who, sizeof who, "%s:%u tier %u", engines[held[k].engine].name, held[k].rank,
                 held[k].tier);
        if (!found[k]) note(out, "missing", held[k].hash, who);
    }
}

static bool compare_blocks(redisContext *c, const char *pool, const struct engine_process *engines,
                           size_t n, const struct all_held *all, struct engines_difference *out) {
    size_t starts[PIPELINE + 1];
    for (size_t at = 0; at < all->n;) {
        size_t asked = 0;
        while (at < all->n && asked < PIPELINE) {
            starts[asked++] = at;
            redisAppendCommand(c, "KVROUTE.TREE %s FROM %016" PRIx64 " DEPTH 1 COUNT 1", pool,
                               all->items[at].hash);
            for (uint64_t hash = all->items[at].hash; at < all->n && all->items[at].hash == hash;)
                at++;
        }
        starts[asked] = at;
        for (size_t i = 0; i < asked; i++) {
            redisReply *r;
            if (redisGetReply(c, (void **)&r) != REDIS_OK) return false;
            compare_block(r, engines, n, all->items + starts[i], starts[i + 1] - starts[i], out);
            freeReplyObject(r);
        }
    }
    return true;
}

static bool compare_counts(redisContext *c, const char *pool, const struct engine_process *engines,
                           size_t n, const struct all_held *all, struct engines_difference *out) {
    static const char *const names[TIERS] = {"device_blocks", "host_blocks"};
    redisReply *list = redisCommand(c, "KVROUTE.WORKER LIST %s", pool);
    bool good = list && list->type == REDIS_REPLY_ARRAY;
    long counted = 0, held = 0;
    size_t seen = 0;
    for (size_t i = 0; good && i < list->elements; i++) {
        const redisReply *name = field(list->element[i], "worker");
        const redisReply *ranks = field(list->element[i], "ranks");
        int e = name ? engine_named(engines, n, name->str, name->len) : -1;
        if (e < 0 || !ranks || ranks->elements != engines[e].ranks) continue;
        seen++;
        for (size_t k = 0; k < ranks->elements; k++)
            for (size_t t = 0; t < TIERS; t++) {
                const redisReply *v = field(ranks->element[k], names[t]);
                counted += v ? (long)v->integer : 0;
                held += all->counts[e][k][t];
            }
    }
    if (list) freeReplyObject(list);
    // Blocks that no engine holds and the pool has: what is counted beyond what was found.
    long found = held - out->blocks, vain = counted - found;
    if (vain > out->vain) out->vain = vain;
    out->blocks += out->vain;
    return good && seen == n;
}

bool engines_compare(redisContext *c, const char *pool, const struct engine_process *engines,
                     size_t n, struct engines_difference *out) {
    struct all_held *all = memory_take(1, sizeof *all);
    *out = (struct engines_difference){0};
    bool good = true;
    for (size_t i = 0; good && i < n; i++)
        good = read_engine(all, &engines[i], (unsigned)i);
    if (good && all->n) qsort(all->items, all->n, sizeof *all->items, by_hash);
    good = good && compare_blocks(c, pool, engines, n, all, out) &&
           compare_counts(c, pool, engines, n, all, out);
    out->held = all->n;
    free(all->items);
    free(all);
    return good;
}

static bool holds(const struct all_held *all, uint64_t hash, unsigned engine, unsigned rank) {
    struct held key = {.hash = hash};
    const struct held *end = all->items + all->n;
    const struct held *at = all->n ? bsearch(&key, all->items, all->n, sizeof key, by_hash) : NULL;
    while (at && at > all->items && at[-1].hash == hash)
        at--;
    for (; at && at < end && at->hash == hash; at++)
        if (at->engine == engine && at->rank == rank) return true;
    return false;
}

static long score_engine(redisContext *c, const char *pool, const struct engine_process *e,
                         unsigned number, const struct all_held *all, const uint64_t *hashes,
                         size_t n) {
    redisReply *r = redisCommand(c, "KVROUTE.SCORE %s HASHES %b AMONG 1 %s", pool, hashes,
                                 n * sizeof *hashes, e->name);
    bool good = r && r->type == REDIS_REPLY_ARRAY && r->elements == e->ranks;
    long differ = good ? 0 : -1;
    for (size_t i = 0; good && i < r->elements; i++) {
        const redisReply *rank = field(r->element[i], "rank");
        const redisReply *overlap = field(r->element[i], "overlap");
        size_t held = 0;
        if (!rank || !overlap) {
            differ++;
            continue;
        }
        while (held < n && holds(all, hashes[held], number, (unsigned)rank->integer))
            held++;
        differ += overlap->integer != (long long)held;
    }
    if (r) freeReplyObject(r);
    return differ;
}

long engines_score(redisContext *c, const char *pool, const struct engine_process *engines,
                   size_t n, const uint64_t *hashes, size_t n_hashes) {
    struct all_held *all = memory_take(1, sizeof *all);
    long differ = 0;
    for (size_t i = 0; differ >= 0 && i < n; i++)
        if (!read_engine(all, &engines[i], (unsigned)i)) differ = -1;
    if (all->n) qsort(all->items, all->n, sizeof *all->items, by_hash);
    for (size_t i = 0; differ >= 0 && i < n; i++) {
        long one = score_engine(c, pool, &engines[i], (unsigned)i, all, hashes, n_hashes);
        differ = one < 0 ? -1 : differ + one;
    }
    free(all->items);
    free(all);
    return differ;
}
