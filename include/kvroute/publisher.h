// SPDX-License-Identifier: Apache-2.0
// What one rank of a worker holds, kept true in the pool.
//
// A publisher is told what the engine stores and removes, keeps it (the truth), and sends it as
// KVROUTE.EVENTs over a handle: batched, pipelined, numbered by epoch and seq. After any failure it
// finds out by itself what the pool has missed and repairs it:
//   - an answer GAP: it sends again from the seq named, out of a ring of recent events, or starts a new
//     epoch and publishes all of the truth;
//   - NOPARENT: a new epoch;
//   - BADCHAIN: the block refused is found by halving, left out with all that hangs on it, and counted.
//     It is tried again when it is removed and stored again, and in a new epoch;
//   - another history (a failover, a restart): it sends its last event again, so that a pool that has
//     missed something says so, also when the engine has nothing new to tell;
//   - NOWORKER, NOPOOL, OOM, DENIED and the like: it waits, and tries again.
// Its first event makes the pool drop what an earlier life of the rank has left there, and is sent even
// if nothing is stored.
//
//     struct kvr_publisher *p = kvr_publisher_new(client, kvr_text("w1"), 0, NULL);
//     kvr_publisher_stored(p, KVR_DEVICE, NULL, hashes, n);
//     kvr_publisher_removed(p, KVR_DEVICE, &hashes[n - 1], 1);
//
// A block is kept under its parent. One whose parent isn't known here is kept apart, counts as an
// orphan, and is published once the parent is; so is what hangs on a refused block. A parent that nobody
// stores any more, but whose children are held, stays.
//
// Two publishers for one rank, in whatever processes, are an error: the later one to start wins, and
// the other one finds itself superseded (`superseded` in the stats) and stops sending.
//
// Caveats
//   - Same thread as the handle. The handle must outlive the publisher.
//   - Sending happens when the handle runs: in the caller's loop, in kvr_client_run, in a blocking call.
//     The calls here only take note.
//   - On a handle that also routes, requests wait behind events under way, 1 MiB of them at the most.
//     Where all may have to be published at any time, give the publisher a handle of its own.
//   - When more has changed than the ring holds while Redis is away, the ring is given up, and all is
//     published anew: memory stays bounded however long it takes.
//   - While all is published anew, the pool has only part of it.
#ifndef KVROUTE_PUBLISHER_H
#define KVROUTE_PUBLISHER_H

#include <kvroute/client.h>

#ifdef __cplusplus
extern "C" {
#endif

struct kvr_publisher;

enum { KVR_ALL_TIERS = -1 };

// All fields may be 0: then what is said there holds.
struct kvr_publisher_options {
    size_t max_blocks; // in the truth, see `blocks` in the stats; 8,388,608
    size_t ring_bytes; // of events kept to be sent again; 4 MiB, at least 4 KiB
    size_t
        batch_blocks; // a batch of so many blocks is sent at once; 4,096, at most ring_bytes / 64
    int64_t linger;   // ms that a smaller batch waits for more; 2. Below 0: none
    uint64_t epoch;   // the first, up to 2^63 - 1; 0: µs since the Unix epoch
};

// NULL: out of memory, or worker's name, rank or epoch out of range.
KVR_API struct kvr_publisher *kvr_publisher_new(struct kvr_client *c, struct kvr_bytes worker,
                                                uint32_t rank,
                                                const struct kvr_publisher_options *options);
// May be NULL. What isn't sent is dropped; the pool keeps what it has been told.
KVR_API void kvr_publisher_free(struct kvr_publisher *p);

// All of these apply to the truth before they return and need no connection. KVR_CODE_OK, or
// INVALID (tier or n out of range), NOMEM, FULL (max_blocks): then nothing of the call has been
// applied.
//
// Stores n blocks, each after the one before; parent: the block before the first, NULL at the start of
// a sequence. A block that is here under another parent is left out, with the rest of the call, and
// counted in `badchains`; but if that other parent has never been stored, the later word counts.
KVR_API enum kvr_code kvr_publisher_stored(struct kvr_publisher *p, enum kvr_tier tier,
                                           const uint64_t *parent, const uint64_t *hashes,
                                           size_t n);
// Blocks that aren't held there are skipped.
KVR_API enum kvr_code kvr_publisher_removed(struct kvr_publisher *p, enum kvr_tier tier,
                                            const uint64_t *hashes, size_t n);
// This block will be stored or removed soon: what is here of it is fetched from memory meanwhile. Changes nothing, and
// need not be called. For callers that have something else to do with each of many blocks before they tell of them.
KVR_API void kvr_publisher_soon(const struct kvr_publisher *p, uint64_t hash);
// tier: enum kvr_tier or KVR_ALL_TIERS.
KVR_API enum kvr_code kvr_publisher_cleared(struct kvr_publisher *p, int tier);

// Sends what is batched without waiting for more.
KVR_API void kvr_publisher_flush(struct kvr_publisher *p);

// A new epoch now, with all of the truth; also takes the rank back after being superseded.
KVR_API void kvr_publisher_republish(struct kvr_publisher *p);

// Whether the pool has acknowledged all of the truth but orphans and refused blocks, as far as is known:
// a loss of which the handle has heard makes it false until the pool has answered again.
KVR_API bool kvr_publisher_settled(const struct kvr_publisher *p);

struct kvr_publisher_stats {
    uint64_t epoch, seq, acked; // seq: of the last event made
    size_t holdings;            // (block, tier)
    size_t blocks;              // here: held, or named as parents
    size_t orphans;             // of these, stored, but waiting for a parent or for a refused block
    size_t refused;             // blocks refused by the pool and left out at present
    size_t memory_bytes;
    uint64_t events, event_blocks; // acknowledged
    uint64_t gaps;                 // answers GAP
    uint64_t resent;               // events sent again from the ring
    uint64_t republished;          // new epochs after the first
    uint64_t badchains;            // blocks refused by the pool or left out here, in total
    bool superseded;
};
KVR_API void kvr_publisher_stats(const struct kvr_publisher *p, struct kvr_publisher_stats *out);

// The block before this one, as it was stored: so that a block can be stored in one more tier by its
// hash alone. False: the block isn't here, or is only known as a parent.
KVR_API bool kvr_publisher_parent(const struct kvr_publisher *p, uint64_t hash, uint64_t *parent,
                                  bool *has_parent);

// Calls each(ctx, hash, parent, has_parent, tiers) for every block held; tiers: a bit for each tier.
// In no order. Nothing may be stored or removed meanwhile.
KVR_API void kvr_publisher_each(const struct kvr_publisher *p,
                                void (*each)(void *ctx, uint64_t hash, uint64_t parent,
                                             bool has_parent, unsigned tiers),
                                void *ctx);

#ifdef __cplusplus
}
#endif

#endif
