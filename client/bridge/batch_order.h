// SPDX-License-Identifier: Apache-2.0
// The order of a rank's batches: live and replayed ones become one sequence, through losses, repeats and
// new lives of the engine.
//
//   live ────┐            ┌── next: applied at once
//            ├─ by seq ───┼── later: waits (bounded), and a replay is asked for
//   replay ──┘            └── earlier: a repeat, or another life
//
// An engine numbers its batches from 0 in each of its lives, and says nothing else of a life. So the
// order keeps a digest of the last batches. A batch that comes again is compared with it: the same is
// a repeat, another is a new life. After a reconnect, and whenever a batch is missing, the replay
// starts at the last applied batch itself, which must come back the same: two lives are never spliced.
//
// States
//   FRESH   nothing is known of the engine; the replay starts at 0
//   LIVE    batches come in order
//   CHECK   something is missing, or the connection was another; a replay is under way. Live batches
//           wait until it has shown that the life is the same
// A short replay of the last batch is also asked for now and then (an audit), without live batches
// waiting for it: the last one of a burst may be lost, or missed before the subscription was heard.
// Without a replay endpoint there is no CHECK: a batch that is missing after `grace` is lost, and after a
// reconnect the engine is taken to be another one.
//
// A replay isn't reliable either: engines drop replies when the reader is slow, the end marker
// included. So replies are put in order like all batches, the wait for the marker is bounded (an engine
// sends a whole replay in one go, so a short pause says that it has ended), and the next request starts
// at the first batch that is still missing. After TRIES requests that brought nothing new, or began
// behind it, the batch is lost for good (an engine that couldn't encode it, or whose buffer is too
// short). A replay that doesn't answer at all is asked again for `patience`, then the same.
//
// What is lost
//   Stores and removals are unknown then, so what the rank holds is unknown. `keep` off: all is
//   forgotten, and what comes after builds up anew: the pool never says what isn't there. `keep` on:
//   what is known stays, and hits may be stale until the engine removes those blocks.
//
// A number that is out of all proportion is no loss, but damage: a live one that leaps by MAX_LEAP is passed
// over, and a lesser leap that a whole replay doesn't show is forgotten.
//
// Memory: waiting batches, up to WAITING of them and `room` bytes. What doesn't fit is dropped and comes
// with a later replay; without one it is lost.
//
// No sockets and no clock in here: a port does what is asked, and tells the time.
#ifndef BRIDGE_BATCH_ORDER_H
#define BRIDGE_BATCH_ORDER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    BRIDGE_ORDER_MAX_WAITING = 4096, // batches that wait for one before them
    BRIDGE_ORDER_DIGESTS = 1024,     // last batches that are known again
    BRIDGE_ORDER_TRIES = 4,
    BRIDGE_ORDER_MAX_LEAP = 1 << 30,   // batches that may be missing at once
    BRIDGE_ORDER_FIRST_AUDIT_MS = 500, // ms after the first replay
};

struct bridge_order_port {
    void *ctx;
    // Applies a batch. False: it couldn't be read, so it counts as lost.
    bool (*apply)(void *ctx, const void *payload, size_t n);
    void (*forget)(void *ctx, bool new_life);  // all that the rank holds
    void (*request)(void *ctx, uint64_t from); // a replay; replaces one that is under way
    void (*cancel)(void *ctx);                 // it is no longer wanted
    void (*wake)(void *ctx,
                 int64_t ms);  // bridge_order_woken after so long; replaces; -1: no longer
    int64_t (*now)(void *ctx); // ms
    void (*note)(void *ctx, const char *line); // for the log
};

struct bridge_order_options {
    bool replay, keep;
    size_t room;      // bytes of waiting batches; 32 MiB
    int64_t grace;    // ms for a missing batch to come by itself; 50
    int64_t idle;     // ms without an answer, after which a replay is asked for again; 2,000
    int64_t pause;    // ms without a further reply, the same; 100
    int64_t patience; // ms of replays without any answer; 30,000
    int64_t audit;    // ms between two looks at the engine's last batch; 10,000
};

enum bridge_order_state { BRIDGE_ORDER_FRESH, BRIDGE_ORDER_LIVE, BRIDGE_ORDER_CHECK };

struct bridge_order_stats {
    uint64_t live, replayed; // batches that came
    uint64_t applied, repeats, bad, dropped;
    uint64_t gaps, lost, lives, requests, quiet; // quiet: replays without an answer
    uint64_t wild;                               // numbers that weren't believed
};

struct bridge_order_held {
    void *payload; // NULL: none
    size_t n;
    bool live;
};

struct bridge_order {
    struct bridge_order_options options;
    struct bridge_order_port port;
    enum bridge_order_state state;
    uint64_t next;                          // seq of the batch to be applied next
    uint64_t digests[BRIDGE_ORDER_DIGESTS]; // of seq next − k at (next − k) % BRIDGE_ORDER_DIGESTS
    uint64_t first_known;                   // digests of first_known … next − 1 are there
    struct bridge_order_held held
        [BRIDGE_ORDER_MAX_WAITING]; // seq at seq % BRIDGE_ORDER_MAX_WAITING; next < seq < next + WAITING
    size_t n_held, held_bytes;
    uint64_t top; // highest seq heard of + 1
    // The replay.
    bool asked, same_life, answered; // answered: a reply has come to this request
    uint64_t from, progress;         // progress: next, when it was asked
    unsigned tries;
    int64_t quiet_since, deadline;
    bool waiting_grace, audited;
    struct bridge_order_stats stats;
};

void bridge_order_init(struct bridge_order *s, const struct bridge_order_options *options,
                       const struct bridge_order_port *port);
void bridge_order_free(struct bridge_order *s);

void bridge_order_connected(struct bridge_order *s); // also again: it may be another engine
void bridge_order_live(struct bridge_order *s, uint64_t seq, const void *payload, size_t n);
void bridge_order_reply(struct bridge_order *s, uint64_t seq, const void *payload, size_t n);
void bridge_order_end(struct bridge_order *s); // the replay's end marker
void bridge_order_woken(struct bridge_order *s);
// Forgets all and builds it up anew, as far as a replay goes.
void bridge_order_restart(struct bridge_order *s);

// Whether all that was heard of is applied and no question is open.
bool bridge_order_complete(const struct bridge_order *s);

#endif
