// SPDX-License-Identifier: Apache-2.0
// What one rank of an engine says it caches → prefix hashes.
//
// An engine names blocks by hashes of its own, which mean nothing to anybody else. The map computes
// each block's prefix hash from the token ids when the block is stored, and remembers it under the
// engine's hash, because a removal names nothing else.
//
//   (group, engine's hash) → prefix hash, how often in each tier          one table a group
//   engine's hash → cache namespace, where there is one                   inherited by children
//
// Identity. The seed of a block's hash is what hash.h says: the LoRA adapter's name (its number in
// decimal, from engines that only tell that) and the cache salt as namespace. vLLM tells the salt with
// the first block alone, so a child has its parent's. What else the engine keys a block by (images, prompt
// embeddings: strings, [string, offset] pairs and digests in extra_keys) is added to that block's seed:
// x = 0, and for each key in order x = XXH3-64(key's bytes, x + 2) + offset. Equal tokens with different
// images so never look alike, and whoever wants hits on images computes the same.
//
// Groups. Models with several kinds of attention announce blocks for each kind. Only those of full,
// MLA and sink attention make prefixes. The kind is learned from stores, since removals don't tell it;
// of groups that never said, only group 0 counts (that is all that older engines have). A prefix is
// held while any indexed group holds it: the same engine's hash in another group keeps it.
//
// Set or count. An engine that computes the same prompt twice at once stores each block twice, under
// one hash, and later removes each copy: as a set, the first removal would drop a block that is still
// there and will not be announced again. But a store that is repeated on request ("full report") is no
// copy, and counting it leaves a block that is never removed. The wire doesn't tell these apart. So:
//   - in the device tier copies are counted, up to 15; other tiers, whose connectors repeat
//     themselves, and engines known to announce once (SGLang) are sets;
//   - where the engine's capacity is known, more copies than that can't be: all counts become 1, and
//     if there still is more than the capacity, the caller is told to build it anew (bridge_map_overfull).
//     Without a known capacity what is over-counted stays until the engine clears or restarts.
// Errors so bounded: a sixteenth copy of a block is forgotten with the fifteenth removal (a hit missed, and
// what is stored below it); over-counted blocks are less than one capacity.
//
// Orphans. A block under a parent that isn't here has no prefix hash: only the tokens of all before it
// would give one. It is counted and left out; its removal is a removal of nothing. Its children are
// orphans, too. That happens after history was lost, and ends when the engine computes those prompts
// anew. A parent that is stored later doesn't bring them back: for that their tokens would have to be
// kept, since a child's seed has its parent's namespace in it, and prompts are kept nowhere here. It
// would hardly ever help: engines evict leaves first, so a parent that is computed anew has no children
// left, but where two requests computed it at once.
//
// The map allocates before it changes anything, and the sink hears of a change before the table has
// it: when the sink refuses, the block is left out of both.
#ifndef BRIDGE_BLOCK_MAP_H
#define BRIDGE_BLOCK_MAP_H

#include <kvroute/client.h>

#include "block_table.h"
#include "event_decode.h"

enum { BRIDGE_MAX_GROUPS = 16 }; // more than any model has of indexed ones; others are left out

// Where changes go: a publisher, or what stands in for it.
struct bridge_map_sink {
    void *ctx;
    enum kvr_code (*stored)(void *ctx, enum kvr_tier tier, const uint64_t *parent,
                            const uint64_t *hashes, size_t n);
    enum kvr_code (*removed)(void *ctx, enum kvr_tier tier, const uint64_t *hashes, size_t n);
    enum kvr_code (*cleared)(void *ctx, int tier);
    // It will hear of this block soon: it may fetch what it has of it. NULL: it doesn't.
    void (*soon)(void *ctx, uint64_t hash);
    // The block before this one, which is held. False: it isn't known. *has false: a start.
    bool (*parent)(void *ctx, uint64_t hash, uint64_t *parent, bool *has);
};

struct bridge_map_options {
    uint32_t block_size; // the pool's
    bool as_set;         // copies aren't counted in any tier
    size_t capacity;     // blocks of the device tier; 0: unknown
    uint64_t secret;
};

struct bridge_map_stats {
    uint64_t stored, removed, cleared; // blocks, blocks, events
    uint64_t orphans;                  // blocks under an unknown parent
    uint64_t wrong_size;               // blocks of another size than the pool's
    uint64_t other_groups;             // events of groups that make no prefixes
    uint64_t other_media;              // events of remote or unknown media
    uint64_t placeholders;             // blocks known only from another medium, applied
    uint64_t unknown;                  // removals and placeholders of blocks that aren't here
    uint64_t moved;                    // hashes that came again for other tokens
    uint64_t refused;                  // blocks that the sink or memory didn't take
    uint64_t collapsed;                // times when all counts became 1
    uint32_t seen_size;                // the last block size seen that isn't the pool's
};

struct bridge_map_group {
    uint32_t number;
    bool used, known, indexed;   // known: the kind was said
    struct bridge_table *blocks; // NULL: none yet
};

struct bridge_map {
    struct bridge_map_options options;
    struct bridge_map_sink sink;
    struct bridge_map_group groups[BRIDGE_MAX_GROUPS];
    struct bridge_table spaces; // engine's hash → what the namespace adds to the seed
    size_t copies;              // in the device tier, counted
    uint64_t *prefixes;         // of the event at hand
    size_t cap_prefixes;
    struct bridge_map_stats stats;
};

void bridge_map_init(struct bridge_map *m, const struct bridge_map_options *options,
                     const struct bridge_map_sink *sink);
void bridge_map_free(struct bridge_map *m);

// STORED, REMOVED or CLEARED.
void bridge_map_event(struct bridge_map *m, const struct bridge_event *e);
// Forgets everything, kinds of groups too: another life of the engine. The sink hears CLEARED.
void bridge_map_reset(struct bridge_map *m);
// Whether more blocks are held in the device tier than the engine can have.
bool bridge_map_overfull(const struct bridge_map *m);

size_t bridge_map_blocks(const struct bridge_map *m); // (group, engine's hash)
size_t bridge_map_bytes(const struct bridge_map *m);

#endif
