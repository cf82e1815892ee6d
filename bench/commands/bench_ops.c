// SPDX-License-Identifier: Apache-2.0
// kvroute's commands, and SET beside them; see bench_ops.h.
#include "bench_ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/bench_memory.h"
#include "bench_plain_redis.h"
#include "client/common/random.h"

// ---- What the operations have in common ----------------------------------------------------------

static void put_blocks(struct bench_caller *c, size_t length, uint64_t unit) {
    bench_wire_text(&c->wire, "HASHES");
    bench_wire_word(&c->wire, bench_prompt(c->held, length, unit),
                    bench_lengths[length] * sizeof **c->held->first);
}

static void skip(struct bench_caller *c, size_t length, uint64_t unit, size_t step) {
    (void)length, (void)unit, (void)step;
    bench_wire_skip(&c->wire);
}

// ---- SET with the payloads of SELECT and of RELEASE ----------------------------------------------

static void put_set(struct bench_caller *c, size_t length, uint64_t unit, size_t step) {
    char key[24], id[BENCH_ID_ROOM];
    size_t n = (size_t)snprintf(key, sizeof key, "%s:%04u", step ? "id" : "payload",
                                (unsigned)(unit % BENCH_PAYLOAD_KEYS));
    bench_wire_begin(&c->wire, 3, "SET", NULL);
    bench_wire_word(&c->wire, key, n);
    if (step)
        bench_wire_word(&c->wire, id, bench_unit_id(c, unit, id));
    else
        bench_wire_word(&c->wire, bench_prompt(c->held, length, unit),
                        bench_lengths[length] * sizeof **c->held->first);
}

// ---- Choosing ------------------------------------------------------------------------------------

static void put_select(struct bench_caller *c, size_t length, uint64_t unit, size_t step) {
    char id[BENCH_ID_ROOM];
    size_t n = bench_unit_id(c, unit, id);
    bench_wire_begin(&c->wire, step ? 3 : 5, step ? "KVROUTE.RELEASE" : "KVROUTE.SELECT",
                     bench_pool_key, NULL);
    bench_wire_word(&c->wire, id, n);
    if (!step) put_blocks(c, length, unit);
}

static void begin_log(struct bench_caller *c) {
    bench_wire_begin(&c->wire, 5, "KVROUTE.DECISIONS", "ON", bench_pool_key, "10000", "BLOCKS",
                     NULL);
    bench_wire_send(&c->wire);
    bench_wire_skip(&c->wire);
}

static void end_log(struct bench_caller *c) {
    bench_wire_begin(&c->wire, 3, "KVROUTE.DECISIONS", "OFF", bench_pool_key, NULL);
    bench_wire_send(&c->wire);
    bench_wire_skip(&c->wire);
}

static void put_score(struct bench_caller *c, size_t length, uint64_t unit, size_t step) {
    (void)step;
    bench_wire_begin(&c->wire, 4, "KVROUTE.SCORE", bench_pool_key, NULL);
    put_blocks(c, length, unit);
}

// ---- Updates of requests that stay live ----------------------------------------------------------

static void each_live(struct bench_caller *c, bool select) {
    for (uint64_t i = 0; i < BENCH_LIVE; i++)
        put_select(c, 0, i, select ? 0 : 1);
    bench_wire_send(&c->wire);
    for (size_t i = 0; i < BENCH_LIVE; i++)
        bench_wire_skip(&c->wire);
}

static void begin_update(struct bench_caller *c) {
    each_live(c, true);
}

static void end_update(struct bench_caller *c) {
    each_live(c, false);
}

static void put_update(struct bench_caller *c, size_t length, uint64_t unit, size_t step) {
    (void)length, (void)step;
    char id[BENCH_ID_ROOM];
    size_t n = bench_unit_id(c, unit % BENCH_LIVE, id);
    bench_wire_begin(&c->wire, 6, "KVROUTE.UPDATE", bench_pool_key, NULL);
    bench_wire_word(&c->wire, id, n);
    bench_wire_text(&c->wire, "PREFILLED");
    bench_wire_text(&c->wire, "OUTPUT");
    bench_wire_number(&c->wire, 1 + unit / BENCH_LIVE % 100000);
}

// ---- Events --------------------------------------------------------------------------------------

// The number of an event gives its worker and its blocks, so it can be undone without being kept.
static void put_own_event(struct bench_caller *c, uint64_t number, const char *op) {
    uint64_t hashes[BENCH_EVENT_BLOCKS];
    for (size_t i = 0; i < BENCH_EVENT_BLOCKS; i++)
        hashes[i] = kvr_random_mix((c->serial << 48) + number * BENCH_EVENT_BLOCKS + i);
    size_t worker = (c->serial + number * c->callers) % c->held->workers;
    bench_put_event(&c->wire, c->held, worker, op, NULL, hashes, BENCH_EVENT_BLOCKS);
}

static void put_stored(struct bench_caller *c, size_t length, uint64_t unit, size_t step) {
    (void)length, (void)unit, (void)step;
    put_own_event(c, c->stored++, "STORED");
}

static void put_removed(struct bench_caller *c, size_t length, uint64_t unit, size_t step) {
    (void)length, (void)unit, (void)step;
    put_own_event(c, c->removed++, "REMOVED");
}

// ---- The table -----------------------------------------------------------------------------------

const struct bench_op bench_ops[BENCH_OPS] = {
    [BENCH_OP_SET] = {.id = "set",
                      .name = "SET + SET",
                      .commands = {"set"},
                      .steps = 2,
                      .by_length = true,
                      .put = put_set,
                      .take = skip},
    [BENCH_OP_SELECT] = {.id = "select",
                         .name = "SELECT + RELEASE",
                         .commands = {"kvroute.select", "kvroute.release"},
                         .steps = 2,
                         .by_length = true,
                         .put = put_select,
                         .take = skip},
    [BENCH_OP_LOGGED] = {.id = "logged",
                         .name = "the same, logged",
                         .commands = {"kvroute.select", "kvroute.release"},
                         .steps = 2,
                         .by_length = true,
                         .prepare = begin_log,
                         .finish = end_log,
                         .put = put_select,
                         .take = skip},
    [BENCH_OP_SCORE] = {.id = "score",
                        .name = "SCORE",
                        .commands = {"kvroute.score"},
                        .steps = 1,
                        .by_length = true,
                        .put = put_score,
                        .take = skip},
    [BENCH_OP_HASHES] = {.id = "hkeys",
                         .name = "(a) HKEYS a block",
                         .commands = {"hkeys"},
                         .steps = 1,
                         .a_block = true,
                         .by_length = true,
                         .put = bench_put_hkeys,
                         .take = bench_take_hkeys},
    [BENCH_OP_STRINGS] = {.id = "mget",
                          .name = "(b) MGET",
                          .commands = {"mget"},
                          .steps = 1,
                          .by_length = true,
                          .put = bench_put_mget,
                          .take = bench_take_mget},
    [BENCH_OP_SCRIPT] = {.id = "script",
                         .name = "(c) script",
                         .commands = {"evalsha"},
                         .steps = 2,
                         .by_length = true,
                         .put = bench_put_script,
                         .take = skip},
    [BENCH_OP_UPDATE] = {.id = "update",
                         .name = "UPDATE",
                         .commands = {"kvroute.update"},
                         .steps = 1,
                         .prepare = begin_update,
                         .finish = end_update,
                         .put = put_update,
                         .take = skip},
    [BENCH_OP_STORED] = {.id = "stored",
                         .name = "EVENT, 64 stored",
                         .commands = {"kvroute.event"},
                         .steps = 1,
                         .put = put_stored,
                         .take = skip},
    [BENCH_OP_REMOVED] = {.id = "removed",
                          .name = "EVENT, 64 removed",
                          .commands = {"kvroute.event"},
                          .steps = 1,
                          .drains = true,
                          .put = put_removed,
                          .take = skip},
};
