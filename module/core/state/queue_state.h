// SPDX-License-Identifier: Apache-2.0
// Classes, flows and those who wait: the structures of a pool's queue.
//
// Who goes first is decided by start-time fair queueing (Goyal, Vin and Cheng, 1996) at two levels. Each class
// has a tag, and so has each line, which is what waits of one flow in one class. The least start tag is
// served; its own virtual time becomes that tag, and the tag grows by what was served ÷ weight.
//
//   level (a priority)   v: the start tag of the class served last
//    └─ class            tag: its start while it waits, else its finish; v: that of the line served last
//        └─ line         tag: likewise
//             └─ requests by arrival
//
// Who begins to wait starts at max(v, its finish), so that nobody saves anything up, and nobody gets rid of what he
// owes by being idle for a moment. When nobody of a level waits any more, its v and all tags of its classes are 0
// again; and so with the lines of a class.
#ifndef CORE_QUEUE_STATE_H
#define CORE_QUEUE_STATE_H

#include <stddef.h>

#include "module/core/base/deadline.h"
#include "module/core/base/hash_map.h"
#include "module/core/pool.h"

enum {
    CORE_LEVELS = 2 * KVR_MAX_PRIORITY + 1,
    CORE_MAX_OWING = 1024, // idle lines of a class whose tags are remembered
};

struct core_level {
    double v;
    uint32_t waiting; // classes of it that do
};

// A class of service. In the pool's array by name as long as it is registered or live requests name it.
// Invariants: ready holds its lines that wait and aren't held, by start tag; owing its idle ones with a finish above
// v, at most CORE_MAX_OWING; lines counts those that wait. default_line: of requests without a flow.
struct core_class {
    int priority;
    double weight;
    uint64_t max_waiting, room; // 0: no limit; percent
    uint64_t live;              // requests that name it, dropped ones included
    uint64_t waiting, tokens, admitted, refused;
    bool registered;
    double tag, v;
    struct core_deadlines ready, owing;
    struct core_line *default_line;
    uint64_t lines;
    uint64_t scan; // the last one that came by it
    // Only while a list is made of all: who came first, and where it stands in it.
    const struct core_waiting *oldest;
    size_t listed;
    uint16_t name_len;
    char name[];
};

// A tenant. In the hash table by name as long as it is registered, has live requests, or a line.
struct core_flow {
    struct core_hash_map_item item;
    double weight;
    uint64_t max_requests; // 0: no limit
    int64_t rate, burst;   // tokens a second, 0: no limit; tokens, 0: a second's
    int64_t left, at;      // what its bucket held then: thousandths of a token; ms since the epoch
    uint64_t live;         // requests, dropped ones included
    struct core_request *requests;
    uint64_t waiting, tokens; // requests, and their ISL + OSL
    struct core_line *lines;
    bool registered;
    uint16_t name_len;
    char name[];
};

enum core_line_place {
    CORE_LINE_OWING, // nobody waits: in its class's heap of those that owe
    CORE_LINE_READY, // in its class's heap of those that wait
    CORE_LINE_PARKED, // its flow's bucket is too empty for its first request: in the pool's heap, by time
    CORE_LINE_HELD, // its flow has as many live requests as it may
};

// What waits of one flow in one class, by arrival: at[first] … at[first + n − 1].
// Only who decides parks and holds lines; on copies those that wait are ready. So that isn't part of the state.
struct core_line {
    struct core_deadline order; // in one heap at most; number: of the first request
    enum core_line_place place;
    struct core_class *service_class;
    struct core_flow *flow;        // NULL: none
    struct core_line *prev, *next; // of the same flow
    struct core_line *aside;       // scratch of a scan
    // The first `looked` of them were looked at in vain in that round: a scan that goes on begins behind them.
    // missed: all that they did. stopped: the flow didn't let one go who isn't the first.
    uint64_t looked_round, missed;
    size_t looked;
    bool stopped;
    double tag;
    uint64_t tokens; // ISL + OSL of those that wait
    struct core_waiting **at;
    size_t first, n, cap;
};

// A request that no instance had room for. In the hash table by id, in the deadlines, in its line. `query` points into
// the memory behind it, but for notify.
struct core_waiting {
    struct core_hash_map_item item;
    struct core_deadline due; // since + query.wait, or earlier after kvr_renew_all
    struct core_line *line;
    uint64_t number; // of arrival
    int64_t since, lease;
    uint64_t round; // when it was last looked at in vain, of the pool's rounds; 0: it wasn't
    uint64_t scan;  // the last one that came by it
    // Instances that had room for it then but were kept for those before it: bits, by number modulo 64.
    uint64_t missed;
    uint32_t held; // an instance that is kept for it, + 1; 0: none
    size_t bytes;  // of this and what is behind it
    struct kvr_query query;
    uint16_t id_len;
    const char *id;
};

// Whose item of a heap it is.
static inline struct core_waiting *core_waiting_of(struct core_deadline *due) {
    return (struct core_waiting *)((char *)due - offsetof(struct core_waiting, due));
}

static inline struct core_line *core_line_of(struct core_deadline *order) {
    return (struct core_line *)((char *)order - offsetof(struct core_line, order));
}

// All of it. Rounds count what may have made room: whoever was looked at since the last one needs no further look.
enum { CORE_GAINED = 64 };
struct core_queue {
    struct core_class **classes; // in name order
    size_t n_classes, cap_classes;
    size_t n_registered;
    struct core_class *default_class;
    struct core_level levels[CORE_LEVELS];
    struct core_hash_map flows, ids;
    size_t n_flows;               // registered
    struct core_deadlines ends;   // of those who wait
    struct core_deadlines parked; // lines
    uint64_t n_lines;             // that wait
    uint64_t arrivals, tokens;
    uint64_t round, all_round;    // the latest; the latest that concerns all instances
    uint32_t gained[CORE_GAINED]; // by round modulo this: the instance that got room
    uint64_t scan;
    bool scanning;           // a scan isn't through yet
    uint64_t scanned_round;  // the round that one has been through with
    int64_t relooked_at;     // when all were to be looked at again, as time may have made room
    uint32_t n_held;         // instances that are kept for somebody
    char notify[KVR_MAX_ID]; // of the last admission
    int64_t
        told_until; // those who were told to come back are expected until then, ms since the epoch
};

#endif
