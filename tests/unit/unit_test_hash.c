// SPDX-License-Identifier: Apache-2.0
// The hashes' vectors: what every publisher and every router has to come to.
#include <criterion/criterion.h>
#include <kvroute/hash.h>

static void counting(uint32_t *tokens, size_t n) {
    for (size_t i = 0; i < n; i++)
        tokens[i] = (uint32_t)i;
}

Test(hash, plain_bytes) {
    cr_assert(XXH3_64bits_withSeed("test data", 9, KVR_HASH_SEED) == 13226331709069118873u);
}

Test(hash, blocks) {
    uint32_t tokens[8];
    counting(tokens, 8);
    cr_assert(kvr_hash_block(tokens, 4, KVR_HASH_SEED) == 0x7ee2cbedc694ab46u);
    cr_assert(kvr_hash_block(tokens, 4, KVR_HASH_SEED) == 9143094415614847814u);
    cr_assert(kvr_hash_block(tokens + 4, 4, KVR_HASH_SEED) == 12124091508212882195u);
}

Test(hash, chain_of_block_hashes) {
    cr_assert(kvr_hash_chain(11, 22) == 750553365844651409u);
    cr_assert(kvr_hash_chain(750553365844651409u, 33) == 3257565445809651757u);
}

Test(hash, prefixes) {
    uint32_t tokens[64];
    uint64_t out[4];
    counting(tokens, 64);
    cr_assert(kvr_hash_tokens(tokens, 8, 4, KVR_HASH_SEED, NULL, out) == 2);
    cr_assert(out[0] == 9143094415614847814u);
    cr_assert(out[1] == 9510318385840434533u);
    static const uint64_t want[] = {0xd47a8f41c833328au, 0xbf15dffb16447f38u, 0xa4dda066f3c1e1a0u,
                                    0x35f7c0d119848950u};
    cr_assert(kvr_hash_tokens(tokens, 64, 16, KVR_HASH_SEED, NULL, out) == 4);
    for (int i = 0; i < 4; i++)
        cr_assert(out[i] == want[i], "prefix %d", i);
}

Test(hash, salts) {
    uint32_t tokens[4];
    counting(tokens, 4);
    cr_assert(kvr_hash_salt(NULL, 0, NULL, 0) == KVR_HASH_SEED);
    uint64_t lora = kvr_hash_salt("adapter-a", 9, NULL, 0);
    cr_assert(kvr_hash_block(tokens, 4, lora) == 6665157333201000639u);
    uint64_t space = kvr_hash_salt("", 0, "tenant-a", 8);
    cr_assert(kvr_hash_block(tokens, 4, space) == 17009624042690211646u);
    cr_assert(kvr_hash_salt("adapter-a", 9, "tenant-a", 8) == lora + space - KVR_HASH_SEED);
    cr_assert(kvr_hash_salt("x", 1, NULL, 0) != kvr_hash_salt(NULL, 0, "x", 1));
}

// A prompt that grows is hashed in steps to the same end; tokens that fill no block have no hash.
Test(hash, steps_and_rest) {
    uint32_t tokens[101];
    uint64_t whole[25], steps[25];
    counting(tokens, 101);
    cr_assert(kvr_hash_tokens(tokens, 101, 4, KVR_HASH_SEED, NULL, whole) == 25);
    cr_assert(kvr_hash_tokens(tokens, 3, 4, KVR_HASH_SEED, NULL, steps) == 0);
    for (size_t done = 0; done < 25;) {
        size_t n = done % 3 + 1;
        if (done + n > 25) n = 25 - done;
        const uint64_t *parent = done ? &steps[done - 1] : NULL;
        cr_assert(kvr_hash_tokens(tokens + done * 4, n * 4 + 3, 4, KVR_HASH_SEED, parent,
                                  steps + done) == n);
        done += n;
    }
    cr_assert(memcmp(whole, steps, sizeof whole) == 0);
}

// The same with an adapter and a namespace: the salt goes into every block, also after a step.
Test(hash, steps_with_salt) {
    uint32_t tokens[64];
    uint64_t whole[16], steps[16], plain[16];
    counting(tokens, 64);
    uint64_t seed = kvr_hash_salt("adapter-a", 9, "tenant-a", 8);
    cr_assert(kvr_hash_tokens(tokens, 64, 4, KVR_HASH_SEED, NULL, plain) == 16);
    cr_assert(kvr_hash_tokens(tokens, 64, 4, seed, NULL, whole) == 16);
    for (size_t i = 0; i < 16; i++) {
        const uint64_t *parent = i ? &steps[i - 1] : NULL;
        cr_assert(kvr_hash_tokens(tokens + 4 * i, 4, 4, seed, parent, &steps[i]) == 1);
        cr_assert(steps[i] == whole[i] && steps[i] != plain[i]);
    }
    // Chaining itself has no salt: prefixes differ because blocks do.
    cr_assert(whole[0] == kvr_hash_block(tokens, 4, seed));
    cr_assert(whole[1] == kvr_hash_chain(whole[0], kvr_hash_block(tokens + 4, 4, seed)));
    uint64_t unsalted;
    kvr_hash_tokens(tokens + 4, 4, 4, KVR_HASH_SEED, &whole[0], &unsalted);
    cr_assert(unsalted != whole[1]);
}

// Blobs come at any alignment.
Test(hash, unaligned) {
    uint32_t tokens[16];
    char bytes[sizeof tokens + 1];
    uint64_t aligned[2], unaligned[2];
    counting(tokens, 16);
    memcpy(bytes + 1, tokens, sizeof tokens);
    kvr_hash_tokens(tokens, 16, 8, KVR_HASH_SEED, NULL, aligned);
    kvr_hash_tokens(bytes + 1, 16, 8, KVR_HASH_SEED, NULL, unaligned);
    cr_assert(aligned[0] == unaligned[0] && aligned[1] == unaligned[1]);
}
