// SPDX-License-Identifier: Apache-2.0
// kvroute's commands, and SET beside them; see ways.h.
#include "ways.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/common/memory.h"
#include "bench/common/random.h"

void caller_open(struct caller *c, struct held *h, uint64_t serial, uint64_t callers) {
    c->held = h;
    c->serial = serial;
    c->callers = callers;
    c->unit = c->stored = c->removed = 0;
    c->load = memory_take(h->workers, sizeof *c->load);
    c->depth = memory_take(h->workers, sizeof *c->depth);
}

void caller_close(struct caller *c) {
    wire_close(&c->wire);
    free(c->load);
    free(c->depth);
}

size_t unit_id(const struct caller *c, uint64_t unit, char out[ID_ROOM]) {
    return (size_t)snprintf(out, ID_ROOM, "request-%02x-%010llx", (unsigned)c->serial & 0xff,
                            (unsigned long long)unit & 0xffffffffff);
}

static void put_blocks(struct caller *c, size_t length, uint64_t unit) {
    wire_text(&c->wire, "HASHES");
    wire_word(&c->wire, held_prompt(c->held, length, unit),
              lengths[length] * sizeof **c->held->first);
}

static void skip(struct caller *c, size_t length, uint64_t unit, size_t step) {
    (void)length, (void)unit, (void)step;
    wire_skip(&c->wire);
}

// ---- SET with the payloads of SELECT and of RELEASE ----------------------------------------------

static void put_set(struct caller *c, size_t length, uint64_t unit, size_t step) {
    char key[24], id[ID_ROOM];
    size_t n = (size_t)snprintf(key, sizeof key, "%s:%04u", step ? "id" : "payload",
                                (unsigned)(unit % PAYLOAD_KEYS));
    wire_begin(&c->wire, 3);
    wire_text(&c->wire, "SET");
    wire_word(&c->wire, key, n);
    if (step)
        wire_word(&c->wire, id, unit_id(c, unit, id));
    else
        wire_word(&c->wire, held_prompt(c->held, length, unit),
                  lengths[length] * sizeof **c->held->first);
}

// ---- Choosing ------------------------------------------------------------------------------------

static void put_select(struct caller *c, size_t length, uint64_t unit, size_t step) {
    char id[ID_ROOM];
    size_t n = unit_id(c, unit, id);
    wire_begin(&c->wire, step ? 3 : 5);
    wire_text(&c->wire, step ? "KVROUTE.RELEASE" : "KVROUTE.SELECT");
    wire_text(&c->wire, pool_key);
    wire_word(&c->wire, id, n);
    if (!step) put_blocks(c, length, unit);
}

static void put_score(struct caller *c, size_t length, uint64_t unit, size_t step) {
    (void)step;
    wire_begin(&c->wire, 4);
    wire_text(&c->wire, "KVROUTE.SCORE");
    wire_text(&c->wire, pool_key);
    put_blocks(c, length, unit);
}

// ---- Updates of requests that stay live ----------------------------------------------------------

static void each_live(struct caller *c, bool select) {
    for (uint64_t i = 0; i < LIVE; i++)
        put_select(c, 0, i, select ? 0 : 1);
    wire_send(&c->wire);
    for (size_t i = 0; i < LIVE; i++)
        wire_skip(&c->wire);
}

static void begin_update(struct caller *c) {
    each_live(c, true);
}

static void end_update(struct caller *c) {
    each_live(c, false);
}

static void put_update(struct caller *c, size_t length, uint64_t unit, size_t step) {
    (void)length, (void)step;
    char id[ID_ROOM];
    size_t n = unit_id(c, unit % LIVE, id);
    wire_begin(&c->wire, 6);
    wire_text(&c->wire, "KVROUTE.UPDATE");
    wire_text(&c->wire, pool_key);
    wire_word(&c->wire, id, n);
    wire_text(&c->wire, "PREFILLED");
    wire_text(&c->wire, "OUTPUT");
    wire_number(&c->wire, 1 + unit / LIVE % 100000);
}

// ---- Events --------------------------------------------------------------------------------------

// The number of an event gives its worker and its blocks, so it can be undone without being kept.
static void put_own_event(struct caller *c, uint64_t number, const char *op) {
    uint64_t hashes[EVENT_UNIT];
    for (size_t i = 0; i < EVENT_UNIT; i++)
        hashes[i] = random_mix((c->serial << 48) + number * EVENT_UNIT + i);
    size_t worker = (c->serial + number * c->callers) % c->held->workers;
    put_event(&c->wire, c->held, worker, op, NULL, hashes, EVENT_UNIT);
}

static void put_stored(struct caller *c, size_t length, uint64_t unit, size_t step) {
    (void)length, (void)unit, (void)step;
    put_own_event(c, c->stored++, "STORED");
}

static void put_removed(struct caller *c, size_t length, uint64_t unit, size_t step) {
    (void)length, (void)unit, (void)step;
    put_own_event(c, c->removed++, "REMOVED");
}

// ---- The table -----------------------------------------------------------------------------------

const struct way ways[WAYS] = {
    [WAY_SET] = {.id = "set",
                 .name = "SET + SET",
                 .commands = {"set"},
                 .steps = 2,
                 .by_length = true,
                 .put = put_set,
                 .take = skip},
    [WAY_SELECT] = {.id = "select",
                    .name = "SELECT + RELEASE",
                    .commands = {"kvroute.select", "kvroute.release"},
                    .steps = 2,
                    .by_length = true,
                    .put = put_select,
                    .take = skip},
    [WAY_SCORE] = {.id = "score",
                   .name = "SCORE",
                   .commands = {"kvroute.score"},
                   .steps = 1,
                   .by_length = true,
                   .put = put_score,
                   .take = skip},
    [WAY_HASHES] = {.id = "hkeys",
                    .name = "(a) HKEYS a block",
                    .commands = {"hkeys"},
                    .steps = 1,
                    .a_block = true,
                    .by_length = true,
                    .put = put_hkeys,
                    .take = take_hkeys},
    [WAY_STRINGS] = {.id = "mget",
                     .name = "(b) MGET",
                     .commands = {"mget"},
                     .steps = 1,
                     .by_length = true,
                     .put = put_mget,
                     .take = take_mget},
    [WAY_SCRIPT] = {.id = "script",
                    .name = "(c) script",
                    .commands = {"evalsha"},
                    .steps = 2,
                    .by_length = true,
                    .put = put_script,
                    .take = skip},
    [WAY_UPDATE] = {.id = "update",
                    .name = "UPDATE",
                    .commands = {"kvroute.update"},
                    .steps = 1,
                    .prepare = begin_update,
                    .finish = end_update,
                    .put = put_update,
                    .take = skip},
    [WAY_STORED] = {.id = "stored",
                    .name = "EVENT, 64 stored",
                    .commands = {"kvroute.event"},
                    .steps = 1,
                    .put = put_stored,
                    .take = skip},
    [WAY_REMOVED] = {.id = "removed",
                     .name = "EVENT, 64 removed",
                     .commands = {"kvroute.event"},
                     .steps = 1,
                     .drains = true,
                     .put = put_removed,
                     .take = skip},
};
