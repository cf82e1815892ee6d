// SPDX-License-Identifier: Apache-2.0
// Block lists: the four forms in which a command names blocks.
//
//   HASHES blob      little-endian u64 prefix hashes
//   HEX digits       16 hex digits for each prefix hash
//   TOKENS blob      little-endian u32 token ids  [LORA name] [NAMESPACE name]
//   IDS n id ...     decimal token ids            [LORA name] [NAMESPACE name]
//
// Read in two steps, because what hashing needs may stand behind the list or in the pool.
#ifndef MOD_BLOCK_LIST_H
#define MOD_BLOCK_LIST_H

#include "args.h"

enum mod_block_form { MOD_BLOCKS_HASHES, MOD_BLOCKS_HEX, MOD_BLOCKS_TOKENS, MOD_BLOCKS_IDS };

struct mod_block_list {
    enum mod_block_form form;
    const char *bytes;       // the blob, the digits, or the token ids as u32, at any alignment
    size_t count;            // hashes or tokens given
    uint64_t seed;           // of the block hashes, for tokens
    RedisModuleString *blob; // HASHES: the argument itself, to pass on without a copy
};

// Takes a block list. hashes_only: HASHES or HEX.
bool mod_blocks_parse(struct mod_args *a, bool hashes_only, struct mod_block_list *out);
static inline bool mod_blocks_are_tokens(const struct mod_block_list *l) {
    return l->form == MOD_BLOCKS_TOKENS || l->form == MOD_BLOCKS_IDS;
}
// The hashes of the list in the arena, aligned. Tokens are hashed and chained, on from *parent unless
// that is NULL; hashes are taken as they are. More than KVR_MAX_BLOCKS is an error.
bool mod_blocks_hashes(struct mod_args *a, const struct mod_block_list *l, uint32_t block_size,
                       const uint64_t *parent, uint64_t **out, size_t *n);

#endif
