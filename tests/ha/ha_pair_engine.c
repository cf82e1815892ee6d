// SPDX-License-Identifier: Apache-2.0
// An engine's process; see ha_pair_engine.h.
#include "ha_pair_engine.h"

#include <inttypes.h>
#include <kvroute/publisher.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/common/random.h"
#include "tests/support/support_home.h"

enum { HA_ENGINE_BEAT_MS = 150, HA_ENGINE_TURN_MS = 20, HA_ENGINE_CHAINS = 4 };

struct ha_engine_session {
    struct ha_pair *pair;
    struct ha_pair_engine *log;
    struct ha_pair_name name;
    enum kvr_role role;
    struct kvr_client *handle;
    struct kvr_publisher *ranks[HA_PAIR_RANKS];
    uint64_t life, created;
    int64_t beat_at;
    bool beating, registered;
};

// ---- In its process ------------------------------------------------------------------------------

static void heard(void *ctx, const struct kvr_result *r) {
    struct ha_engine_session *s = ctx;
    s->beating = false;
    if (r->code != KVR_CODE_OK) {
        if (!s->log->errors++)
            snprintf(s->log->first_error, sizeof s->log->first_error, "engine %s: %s %s",
                     s->name.text, kvr_code_name(r->code), r->message);
        return;
    }
    s->registered = true;
    s->log->heard++;
    if (r->number != 1) return;
    // Nobody is known to have deleted it.
    if (s->created++ && s->log->in_doubt_till != INT64_MAX && !s->pair->lossy) s->log->lapses++;
    s->log->created++; // now, so that whoever waits for it leaves the doubt until here
}

// In full each time: after the loss of a worker nothing else is known of it.
static void beat(struct ha_engine_session *s) {
    if (s->beating || kvr_clock_ms() < s->beat_at) return;
    s->beat_at = kvr_clock_ms() + HA_ENGINE_BEAT_MS;
    struct kvr_worker_call call = {.worker = kvr_text(s->name.text),
                                   .addr = kvr_text(s->name.text),
                                   .set = KVR_WORKER_ADDR | KVR_WORKER_RANKS | KVR_WORKER_CAPACITY |
                                          KVR_WORKER_TTL | KVR_WORKER_ROLE,
                                   .ranks = HA_PAIR_RANKS,
                                   .capacity = HA_PAIR_CAPACITY,
                                   .ttl = s->pair->ttl,
                                   .role = s->role};
    s->beating = true;
    enum kvr_code code = kvr_client_worker_set_async(s->handle, &call, heard, s);
    struct kvr_result refused = {.code = code, .message = "not taken"};
    if (code != KVR_CODE_OK) heard(s, &refused);
}

static void turn(struct ha_engine_session *s) {
    beat(s);
    kvr_client_run(s->handle, HA_ENGINE_TURN_MS);
}

// Other chains in each life: a new epoch tells of another cache.
static void publish(struct ha_engine_session *s, uint32_t rank) {
    uint64_t hashes[HA_CHAIN_BLOCKS];
    uint64_t random = s->life * 31 + (uint64_t)(s->log - s->pair->engines) * 7 + rank;
    for (int i = 0; i < HA_ENGINE_CHAINS; i++) {
        size_t chain = ha_random_below(&random, HA_CHAINS);
        ha_chain(chain, hashes);
        if (kvr_publisher_stored(s->ranks[rank], KVR_DEVICE, NULL, hashes,
                                 1 + ha_random_below(&random, HA_CHAIN_BLOCKS)) != KVR_CODE_OK)
            ha_give_up("a publisher takes no blocks");
    }
}

static void write_line(void *ctx, enum kvr_level level, const char *line) {
    FILE *f = ctx;
    if (f) fprintf(f, "%" PRId64 " [%d] %s\n", kvr_clock_ms(), (int)level, line);
}

_Noreturn static void run_engine(struct ha_pair *p, size_t engine) {
    static struct ha_engine_session s;
    char path[300], url[480], error[160];
    s = (struct ha_engine_session){.pair = p,
                                   .log = &p->engines[engine],
                                   .name = ha_pair_engine_name(engine),
                                   .role = ha_pair_engine_role(engine),
                                   .life = p->engines[engine].life};
    support_path(path, sizeof path, "engine-%s.log", s.name.text);
    FILE *file = fopen(path, "a");
    if (file) setvbuf(file, NULL, _IOLBF, 0);
    struct kvr_client_options options = {.log = write_line, .log_ctx = file};
    // The name is how ha_pair_engine_delete() knows its connections.
    snprintf(url, sizeof url, "%s&name=engine-%s", p->url, s.name.text);
    s.handle = kvr_client_open(url, "pool", &options, error, sizeof error);
    if (!s.handle) ha_give_up("an engine can't open %s: %s", p->url, error);
    while (!s.registered)
        turn(&s);
    for (uint32_t r = 0; r < HA_PAIR_RANKS; r++) {
        s.ranks[r] = kvr_publisher_new(s.handle, kvr_text(s.name.text), r, NULL);
        if (!s.ranks[r]) ha_give_up("no memory for a publisher");
        publish(&s, r);
    }
    for (;;) { // until it is killed
        turn(&s);
        bool settled = true;
        for (uint32_t r = 0; r < HA_PAIR_RANKS; r++)
            settled &= kvr_publisher_settled(s.ranks[r]);
        if (settled) s.log->settled = s.life;
    }
}

// ---- From outside --------------------------------------------------------------------------------

void ha_pair_engine_start(struct ha_pair *p, size_t engine) {
    struct ha_pair_engine *e = &p->engines[engine];
    e->in_doubt_till = INT64_MAX;
    e->life++;
    if (!e->process) e->process = ha_process_add(0);
    if (!ha_process_fork(e->process)) run_engine(p, engine);
}

static bool has_settled(void *ctx) {
    struct ha_pair_engine *e = ctx;
    int status;
    if (ha_process_ended(e->process, &status)) ha_give_up("an engine ended by itself");
    return e->settled == e->life;
}

void ha_pair_engine_wait(struct ha_pair *p, size_t engine) {
    ha_wait(has_settled, &p->engines[engine], "an engine has registered and published");
    p->engines[engine].in_doubt_till = kvr_clock_ms();
}

void ha_pair_engine_kill(struct ha_pair *p, size_t engine) {
    p->engines[engine].in_doubt_till = INT64_MAX;
    ha_process_kill(p->engines[engine].process);
    p->faults++;
}

struct ha_engine_at {
    size_t engine;
    struct ha_server *server;
};

static bool is_unconnected(void *ctx) {
    struct ha_engine_at *a = ctx;
    char name[32];
    snprintf(name, sizeof name, " name=engine-%s ", ha_pair_engine_name(a->engine).text);
    redisReply *r = ha_call(a->server, "CLIENT LIST");
    bool unconnected = !strstr(r->str, name);
    freeReplyObject(r);
    return unconnected;
}

static void delete_worker(struct ha_pair *p, size_t engine, struct ha_server *primary) {
    p->engines[engine].in_doubt_till = INT64_MAX;
    ha_call_int(primary, "KVROUTE.WORKER DEL pool %s", ha_pair_engine_name(engine).text);
}

void ha_pair_engine_delete(struct ha_pair *p, size_t engine, struct ha_server *primary) {
    ha_wait(is_unconnected, &(struct ha_engine_at){engine, primary},
            "the server has read the last that a killed engine sent");
    delete_worker(p, engine, primary);
}

static bool is_gone(void *ctx) {
    struct ha_engine_at *a = ctx;
    redisReply *r =
        ha_call(a->server, "KVROUTE.WORKER GET pool %s", ha_pair_engine_name(a->engine).text);
    bool gone = r->type == REDIS_REPLY_NIL;
    freeReplyObject(r);
    return gone;
}

struct ha_engine_again {
    struct ha_pair_engine *engine;
    struct ha_engine_at at;
    uint64_t created, heard;
};

// The answer that says so may have been lost with its connection: then it is there, and later ones say that it was.
static bool has_come_again(void *ctx) {
    struct ha_engine_again *a = ctx;
    if (a->engine->created > a->created) return true;
    if (!a->heard && !is_gone(&a->at)) a->heard = a->engine->heard + 2;
    return a->heard && a->engine->heard > a->heard;
}

void ha_pair_engine_delete_alive(struct ha_pair *p, size_t engine, struct ha_server *primary) {
    struct ha_engine_again a = {.engine = &p->engines[engine],
                                .at = {engine, primary},
                                .created = p->engines[engine].created};
    delete_worker(p, engine, primary);
    p->faults++;
    ha_wait(has_come_again, &a, "a worker that was deleted is registered again");
    p->engines[engine].in_doubt_till = kvr_clock_ms();
}

void ha_pair_engine_wait_gone(size_t engine, struct ha_server *primary) {
    ha_wait(is_gone, &(struct ha_engine_at){engine, primary}, "a worker's time is over");
}
