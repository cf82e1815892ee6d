// SPDX-License-Identifier: Apache-2.0
// Token ids → block hashes → prefix hashes.
//
// The same numbers as NVIDIA Dynamo's, so that a publisher written for it can be reused:
//
//   block hash   b(i) = XXH3-64(the block's token ids as little-endian u32, seed)
//   prefix hash  p(0) = b(0);  p(i) = XXH3-64(LE64 p(i-1) || LE64 b(i), 1337)
//   seed              = 1337 + XXH3-64(lora, 0) + XXH3-64(namespace, 1)   (an absent name adds 0)
//
// A prefix hash names its block and everything before it. Only full blocks have one. The hash is not
// cryptographic: two prompts that collide mislead a router into a worse choice and do nothing else.
//
// Header only; needs xxHash (>= 0.8). Nothing here allocates or fails.
#ifndef KVROUTE_HASH_H
#define KVROUTE_HASH_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#ifndef XXH_INLINE_ALL
#define XXH_INLINE_ALL
#endif
#include <xxhash.h>

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "kvroute keeps hashes and token ids in little-endian order; this host is big-endian"
#endif

#define KVR_HASH_SEED 1337u

// The seed of block hashes for an adapter and a cache namespace; lengths in bytes, 0 for none.
static inline uint64_t kvr_hash_salt(const void *lora, size_t lora_len, const void *space,
                                     size_t space_len) {
    uint64_t seed = KVR_HASH_SEED;
    if (lora_len) seed += XXH3_64bits_withSeed(lora, lora_len, 0);
    if (space_len) seed += XXH3_64bits_withSeed(space, space_len, 1);
    return seed;
}

// The hash of one full block. tokens: block_size little-endian u32, any alignment.
static inline uint64_t kvr_hash_block(const void *tokens, size_t block_size, uint64_t seed) {
    return XXH3_64bits_withSeed(tokens, block_size * sizeof(uint32_t), seed);
}

// The prefix hash of a block that follows the prefix named by parent.
static inline uint64_t kvr_hash_chain(uint64_t parent, uint64_t block) {
    uint64_t pair[2] = {parent, block};
    return XXH3_64bits_withSeed(pair, sizeof pair, KVR_HASH_SEED);
}

// Writes the prefix hashes of all full blocks of n_tokens tokens to out (room for
// n_tokens / block_size) and returns how many. parent: the prefix to continue from, or NULL at the
// start of a sequence. A growing prompt is hashed in steps: give the last prefix hash as parent and
// only the tokens that follow it.
static inline size_t kvr_hash_tokens(const void *tokens, size_t n_tokens, size_t block_size,
                                     uint64_t seed, const uint64_t *parent, uint64_t *out) {
    size_t n = n_tokens / block_size;
    const char *at = (const char *)tokens;
    uint64_t prefix = parent ? *parent : 0;
    for (size_t i = 0; i < n; i++, at += block_size * sizeof(uint32_t)) {
        uint64_t block = kvr_hash_block(at, block_size, seed);
        prefix = i == 0 && !parent ? block : kvr_hash_chain(prefix, block);
        out[i] = prefix;
    }
    return n;
}

#endif
