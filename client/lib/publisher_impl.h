// SPDX-License-Identifier: Apache-2.0
// A publisher, from the inside.
//
//   calls ──> truth ──> ops of the batch ──> events of the ring ──> under way ──> acknowledged
//               └──── the walk (everything anew) ────┘
//
// The truth (truth.h) is what the rank holds. The *stream* is what the pool is told of it: the events
// of one epoch, in order. A node's `told` says what the pool holds once it has applied the stream so
// far, the batch included, so an op is only made where the truth differs from it.
//
//   RUNNING     the stream is good; events are made and sent
//   ANEW        the stream is void: too much to keep, or the pool hasn't got it. Only the truth goes on.
//               When nothing is under way any more (and a back-off is over) a new epoch begins
//   SUPERSEDED  the same, until the caller wants the rank back
//   CLOSED      the handle is going
//
// A new epoch begins with a walk over the placed part of the tree. What has been told of in this epoch
// (told_in is its round) needs no visit any more; what hasn't waits for the walk, and changes of it
// are changes of the truth alone. Invariants, while RUNNING:
//   - a node told of is placed, and its parent is told of (or the top);
//   - what is told of and not open has only such below it that are told of, or not placed;
//   - without a walk, everything placed is told of, and told == held;
//   - open nodes that are told of are the walk's position and its ancestors. The pool knows each of them
//     in some tier, if need be in one in which the rank doesn't hold it (a ghost): else its children,
//     yet to come, would have no parent there. The walk takes ghosts back when it leaves.
//
// publisher.c         the calls: truth, and ops where the stream has to hear of it
// publisher_walk.c    ops, and walks
// publisher_send.c    events: sealing, sending, answers, epochs, time
// publisher_refusal.c what the pool refuses
// publisher_port.c    the handle beneath; tests put another one there
#ifndef KVR_LIB_PUBLISHER_IMPL_H
#define KVR_LIB_PUBLISHER_IMPL_H

#include <kvroute/publisher.h>

#include "handle.h"
#include "ops.h"
#include "ring.h"
#include "truth.h"

enum {
    WINDOW = 32,            // events under way
    WINDOW_BYTES = 1 << 20, // of these
    AGAIN_AFTER = 20,       // ms after running out of memory
    ONCE_MORE = 50,         // ms until a second new epoch when the first brought nothing; doubled
    ONCE_MORE_MOST = 5000,
};

// What a publisher needs of a handle, see handle.h.
struct publisher_port {
    void *handle;
    const struct kvr_alloc *alloc;
    struct kvr_bytes pool;
    uint64_t random; // a secret
    void (*follow)(void *handle, struct follower *f);
    void (*unfollow)(void *handle, struct follower *f);
    void (*wake)(void *handle, struct follower *f, int64_t at);
    int64_t (*now)(void *handle);
    uint64_t (*date)(void *handle); // µs since the Unix epoch
    enum kvr_code (*send)(void *handle, struct command *command, kvr_done *done, void *ctx);
    void (*detach)(void *handle, void *ctx);
    void (*log)(void *handle, enum kvr_level level, const char *line);
};

enum publishing { RUNNING, ANEW, SUPERSEDED, CLOSED };

// A way through a subtree, parents before children. Stops when told to and goes on later: a node that
// is freed meanwhile must be stepped over first.
struct walk {
    uint32_t at, root; // at 0: it is over; root 0: the whole tree
    bool leaving;      // `at` has been entered before, and what is below it is done
};

struct flight { // an event under way
    struct kvr_publisher *publisher;
    bool busy, again; // again: its seq had been sent before
    uint64_t seq;
    size_t bytes;
};

struct kvr_publisher {
    struct follower follower;
    struct publisher_port port;
    char worker[KVR_MAX_NAME];
    size_t worker_n;
    uint32_t rank;
    size_t ring_bytes, batch_blocks, window_bytes;
    int64_t linger;
    uint64_t random;
    int64_t armed; // the wake asked for

    struct truth truth;

    // The stream.
    enum publishing state;
    uint64_t epoch, foreign; // foreign: the highest epoch of somebody else that was heard of
    uint32_t round;          // counts the epochs; marks nodes
    struct ops batch;        // of the next event
    int64_t due;             // when the batch is to be an event; NEVER
    struct ring ring;
    struct walk walk;
    bool walking;      // it is going on, or its last event isn't made yet
    uint64_t walk_end; // seq of that

    // Sending. Events acked + 1 … are to be acknowledged, next … are to be sent.
    uint64_t next, sent, acked; // sent: the highest seq ever sent in this epoch
    uint64_t spent;             // some server may have applied events up to here
    uint64_t counted;           // acknowledged and in the statistics
    uint64_t hunt_end;          // up to here one at a time: a block is looked for; 0: no
    bool acked_once;            // in this epoch
    bool probe;                 // the last event is to be sent again
    struct flight flights[WINDOW];
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

struct kvr_publisher *publisher_open(const struct publisher_port *port, struct kvr_bytes worker,
                                     uint32_t rank, const struct kvr_publisher_options *options);
void publisher_log(struct kvr_publisher *p, enum kvr_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static inline unsigned bit_of(int tier) {
    return 1u << tier;
}
// Whether the stream has told of the node (or will have, as far as it is made).
static inline bool is_told(const struct kvr_publisher *p, const struct node *n) {
    return p->state == RUNNING && n->told_in == p->round;
}
// Whether what comes new below this node is to be told at once, and not left to the walk.
static inline bool is_covered(const struct kvr_publisher *p, uint32_t id) {
    return p->state == RUNNING && (!id || is_told(p, truth_node(&p->truth, id)));
}

// ---- publisher_walk.c ----------------------------------------------------------------------------
// Each does nothing unless RUNNING, and may end that (out of memory, or more than the ring takes).
void say_stored(struct kvr_publisher *p, int tier, const struct node *n, const uint64_t *hashes,
                size_t count); // n: the first of these
void say_removed(struct kvr_publisher *p, int tier, uint64_t hash);
void say_cleared(struct kvr_publisher *p, int tier);
void say_gone(struct kvr_publisher *p, struct node *n, unsigned tiers); // REMOVED, and notes it
void walk_begin(struct kvr_publisher *p, struct walk *w, uint32_t root);
void walk_step(struct kvr_publisher *p, struct walk *w);
void walk_whole(struct kvr_publisher *p, uint32_t root); // all of a subtree at once
void walk_past(struct kvr_publisher *p, struct walk *w); // `at` and what is below it

// ---- publisher_send.c ----------------------------------------------------------------------------
void publisher_seal(struct kvr_publisher *p); // the batch becomes an event
void publisher_pump(
    struct kvr_publisher *p); // does whatever can be done now; out of the handle only
void publisher_arm(struct kvr_publisher *p);                         // sees to being woken
void publisher_void(struct kvr_publisher *p, enum publishing state); // the stream, that is
void publisher_renew(struct kvr_publisher *p, const char *why);      // void, and a new epoch
bool publisher_mint(struct kvr_publisher *p, uint64_t at_least);     // false: no epoch is left
void publisher_history(struct follower *f);
void publisher_wake(struct follower *f, int64_t now);

// ---- publisher_refusal.c -------------------------------------------------------------------------
// The pool has refused event `seq` because of the place of one of its blocks, and nothing is under way.
void publisher_refused(struct kvr_publisher *p, uint64_t seq);

#endif
