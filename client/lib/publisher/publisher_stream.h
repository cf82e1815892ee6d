// SPDX-License-Identifier: Apache-2.0
// A publisher, from the inside.
//
//   calls ──> held ──> ops of the batch ──> events of the ring ──> under way ──> acknowledged
//               └──── the walk (everything anew) ────┘
//
// held_blocks.h is what the rank holds. The *stream* is what the pool is told of it: the events
// of one epoch, in order. A node's `told` says what the pool holds once it has applied the stream so
// far, the batch included, so an op is only made where the held blocks differ from it.
//
//   state       it                                              what may follow
//   RUNNING     the stream is good; events are made and sent    ANEW, SUPERSEDED, CLOSED
//   ANEW        the stream is void: too much to keep, or the    RUNNING, in a new epoch, when nothing is
//               pool hasn't got it. Only held_blocks goes on      under way any more and a pause is over;
//                                                               SUPERSEDED (no epoch is left), CLOSED
//   SUPERSEDED  the same; somebody else speaks for the rank     ANEW (the caller wants it back), CLOSED
//   CLOSED      the handle is going                             nothing
//
//       first event ──> RUNNING <── a new epoch: the walk ── ANEW <── republish ── SUPERSEDED
//                          ├── NOPARENT, a GAP too wide, no memory ^                    ^
//                          └── STALE after an answer OK ────────────────────────────────┘
//
// A new epoch begins with a walk over the placed part of the tree. What has been told of in this epoch
// (told_in is its round) needs no visit any more; what hasn't waits for the walk, and changes of it
// are changes of the held blocks alone. Invariants, while KVR_STREAM_RUNNING:
//   - a node told of is placed, and its parent is told of (or the top);
//   - below a node that is told of and not open, all that is placed is told of;
//   - without a walk, everything placed is told of, and told == held;
//   - open nodes that are told of are the walk's position and its ancestors. The pool knows each of them
//     in some tier, if need be in one in which the rank doesn't hold it (a ghost): else its children,
//     yet to come, would have no parent there. The walk takes ghosts back when it leaves.
//
// Each of these files knows only those before it:
//   held              what the rank holds
//   event_ops         ops, packed; event_ring: recent events
//   publisher_stream  the stream: its batch, its events, its epochs
//   publisher_walk    ops where the stream has to hear of a change, and walks
//   publisher_refusal what the pool refuses
//   publisher_send    sending, answers, new epochs, time
//   publisher_calls   the calls of publisher.h
//   publisher_port    publishers on real handles; tests put another port there
#ifndef KVR_PUBLISHER_PUBLISHER_STREAM_H
#define KVR_PUBLISHER_PUBLISHER_STREAM_H

#include <kvroute/publisher.h>

#include "client/lib/handle.h"
#include "event_ops.h"
#include "event_ring.h"
#include "held_blocks.h"

enum {
    KVR_EVENT_WINDOW = 32,            // events under way
    KVR_EVENT_WINDOW_BYTES = 1 << 20, // of these
    KVR_NOMEM_PAUSE = 20,             // ms after running out of memory
    KVR_RENEW_PAUSE = 50, // ms until a second new epoch when the first brought nothing; doubled
    KVR_MAX_RENEW_PAUSE = 5000,
};

// What a publisher needs of a handle, see handle.h.
struct kvr_publisher_port {
    void *handle;
    const struct kvr_alloc *alloc;
    struct kvr_bytes pool;
    uint64_t random; // a secret
    void (*follow)(void *handle, struct kvr_follower *f);
    void (*unfollow)(void *handle, struct kvr_follower *f);
    void (*wake)(void *handle, struct kvr_follower *f, int64_t at);
    int64_t (*now)(void *handle);
    uint64_t (*date)(void *handle); // µs since the Unix epoch
    enum kvr_code (*send)(void *handle, struct kvr_command *command, kvr_done *done, void *ctx);
    void (*detach)(void *handle, void *ctx);
    void (*log)(void *handle, enum kvr_level level, const char *line);
};

enum kvr_stream_state {
    KVR_STREAM_RUNNING,
    KVR_STREAM_ANEW,
    KVR_STREAM_SUPERSEDED,
    KVR_STREAM_CLOSED
};

// A way through a subtree, parents before children. Stops when told to and goes on later: a node that
// is freed meanwhile must be stepped over first.
struct kvr_publisher_walk {
    uint32_t at, root; // at 0: it is over; root 0: the whole tree
    bool leaving;      // `at` has been entered before, and what is below it is done
};

struct kvr_event_sending { // an event under way
    struct kvr_publisher *publisher;
    bool busy, again; // again: its seq had been sent before
    uint64_t seq;
    size_t bytes;
};

struct kvr_publisher {
    struct kvr_follower follower;
    struct kvr_publisher_port port;
    char worker[KVR_MAX_NAME];
    size_t worker_n;
    uint32_t rank;
    size_t ring_bytes, batch_blocks, window_bytes;
    int64_t linger;
    uint64_t random;
    int64_t armed; // the wake asked for

    struct kvr_held_blocks held;

    // The stream.
    enum kvr_stream_state state;
    uint64_t epoch, foreign;    // foreign: the highest epoch of somebody else that was heard of
    uint8_t round;              // the epoch's number in nodes, never 0; see told_in
    struct kvr_event_ops batch; // of the next event
    int64_t due;                // when the batch is to be an event; KVR_NEVER
    struct kvr_event_ring ring;
    struct kvr_publisher_walk walk;
    bool walking;      // it is going on, or its last event isn't made yet
    uint64_t walk_end; // seq of that

    // Sending. Events acked + 1 … are to be acknowledged, next … are to be sent.
    uint64_t next, sent, acked; // sent: the highest seq ever sent in this epoch
    uint64_t spent;             // some server may have applied events up to here
    uint64_t counted;           // acknowledged and in the statistics
    uint64_t hunt_end;          // up to here one at a time: a block is looked for; 0: no
    bool acked_once;            // in this epoch
    bool probe;                 // the last event is to be sent again
    struct kvr_event_sending flights[KVR_EVENT_WINDOW];
    unsigned under_way;
    size_t bytes_under_way;
    enum kvr_code trouble; // the first bad answer since; dealt with when nothing is under way
    int64_t trouble_number;
    uint64_t trouble_seq;
    enum kvr_code complained; // what the log was last told of
    int64_t not_before;       // nothing is sent, and no epoch begun
    unsigned retries, renewals;

    struct kvr_publisher_stats stats; // the counters
};

void kvr_publisher_log(struct kvr_publisher *p, enum kvr_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline unsigned kvr_tier_bit(int tier) {
    return 1u << tier;
}
// Whether the stream has told of the node (or will have, as far as it is made).
static inline bool kvr_publisher_told(const struct kvr_publisher *p,
                                      const struct kvr_held_node *n) {
    return p->state == KVR_STREAM_RUNNING && n->told_in == p->round;
}
// Whether what comes new below this node is to be told at once, and not left to the walk.
static inline bool kvr_publisher_covered(const struct kvr_publisher *p, uint32_t id) {
    return p->state == KVR_STREAM_RUNNING &&
           (!id || kvr_publisher_told(p, kvr_held_node(&p->held, id)));
}

// Everything below does nothing unless RUNNING, but for kvr_publisher_void.
void kvr_publisher_seal(struct kvr_publisher *p); // the batch becomes an event
// The stream is worth nothing any more; ANEW, SUPERSEDED or CLOSED.
void kvr_publisher_void(struct kvr_publisher *p, enum kvr_stream_state state);
void kvr_publisher_renew(struct kvr_publisher *p, const char *why);        // void, and a new epoch
bool kvr_publisher_next_epoch(struct kvr_publisher *p, uint64_t at_least); // false: none is left

int64_t kvr_publisher_now(const struct kvr_publisher *p);
// ms: first * 2^times, not above max, give or take half.
int64_t kvr_publisher_backoff(struct kvr_publisher *p, unsigned times, int64_t first, int64_t max);

#endif
