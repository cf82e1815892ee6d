// SPDX-License-Identifier: Apache-2.0
// What is measured: kvroute's commands, and beside them what a user would do with plain Redis. A table
// of ways; each says what it sends for one unit and how it takes the replies.
//
// A unit is one choice where the way chooses, else one command. Units that are two round trips for a
// client that waits (SELECT, then RELEASE) have two steps.
#ifndef COMMANDS_WAYS_H
#define COMMANDS_WAYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "held.h"
#include "wire.h"

enum { EVENT_UNIT = 64, LIVE = 64, PAYLOAD_KEYS = 1024 };

// One client at work.
struct caller {
    struct wire wire;
    struct held *held;
    uint64_t serial, callers;     // which of them it is: makes ids and blocks of its own
    uint64_t unit;                // the next
    uint64_t stored, removed;     // events of EVENT_UNIT blocks of our own
    uint64_t *load;               // by worker: what a client that scores by itself has given it
    uint32_t *depth;              // by worker: scratch of the same
    char choose[41], release[41]; // the scripts' names
};

struct way {
    const char *id, *name;
    const char *commands[2]; // as INFO commandstats names them; the second may be NULL
    size_t steps;
    bool a_block;   // a command for each block
    bool by_length; // depends on the request's length
    bool drains;    // goes on until what was stored is removed, whatever the time
    void (*prepare)(struct caller *c);
    void (*finish)(struct caller *c);
    void (*put)(struct caller *c, size_t length, uint64_t unit, size_t step);
    void (*take)(struct caller *c, size_t length, uint64_t unit, size_t step);
};

enum way_number {
    WAY_SET,
    WAY_SELECT,
    WAY_SCORE,
    WAY_HASHES,
    WAY_STRINGS,
    WAY_SCRIPT,
    WAY_UPDATE,
    WAY_STORED,
    WAY_REMOVED,
    WAYS
};
extern const struct way ways[WAYS];

// One of several that share what is held; each publishes for workers of its own. The wire is opened apart.
void caller_open(struct caller *c, struct held *h, uint64_t serial, uint64_t callers);
void caller_close(struct caller *c);

// plain.c: the plain-Redis ways, with their scoring.
void plain_load_scripts(struct caller *c);
void put_hkeys(struct caller *c, size_t length, uint64_t unit, size_t step);
void take_hkeys(struct caller *c, size_t length, uint64_t unit, size_t step);
void put_mget(struct caller *c, size_t length, uint64_t unit, size_t step);
void take_mget(struct caller *c, size_t length, uint64_t unit, size_t step);
void put_script(struct caller *c, size_t length, uint64_t unit, size_t step);

// The id of a unit's request.
enum { ID_ROOM = 24 };
size_t unit_id(const struct caller *c, uint64_t unit, char out[ID_ROOM]);

#endif
