// SPDX-License-Identifier: Apache-2.0
// Block lists: the four forms in which a command names blocks.
//
//   HASHES blob      little-endian u64 prefix hashes
//   HEX digits       16 hex digits for each prefix hash
//   TOKENS blob      little-endian u32 token ids  [LORA name] [NAMESPACE name]
//   IDS n id ...     decimal token ids            [LORA name] [NAMESPACE name]
//
// Read in two steps, because what hashing needs may stand behind the list or in the pool.
#ifndef KVR_BLOCKS_H
#define KVR_BLOCKS_H

#include "args.h"

enum block_form { BLOCKS_HASHES, BLOCKS_HEX, BLOCKS_TOKENS, BLOCKS_IDS };

struct block_list {
    enum block_form form;
    const char *bytes;       // the blob, the digits, or the token ids as u32, at any alignment
    size_t count;            // hashes or tokens given
    uint64_t seed;           // of the block hashes, for tokens
    RedisModuleString *blob; // HASHES: the argument itself, to pass on without a copy
};

// Takes a block list. hashes_only: HASHES or HEX.
bool blocks_parse(struct args *a, bool hashes_only, struct block_list *out);
static inline bool blocks_are_tokens(const struct block_list *l) {
    return l->form == BLOCKS_TOKENS || l->form == BLOCKS_IDS;
}
// The hashes of the list in the arena, aligned. Tokens are hashed and chained, on from *parent unless
// that is NULL; hashes are taken as they are. More than KVR_MAX_BLOCKS is an error.
bool blocks_hashes(struct args *a, const struct block_list *l, uint32_t block_size,
                   const uint64_t *parent, uint64_t **out, size_t *n);

#endif
