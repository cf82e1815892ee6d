// SPDX-License-Identifier: Apache-2.0
// Batches that vLLM 0.32 published, one of each kind, from the wire to prefix hashes. The hashes were
// computed by another program from the tokens in these batches, as hash.h says, so they hold what a router
// computes for the same prompts.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <kvroute/hash.h>
#include <stdlib.h>
#include <string.h>

#include "client/bridge/block_map.h"

enum { VLLM_BLOCK_TOKENS = 32, VLLM_MAX_BLOCKS = 16, VLLM_MAX_BYTES = 2048 };

static const struct {
    const char *name, *hex;
    size_t stored, orphans, unknown,
        cleared;    // unknown: removals of blocks that nobody has stored here
    uint64_t first; // prefix hash of the first block; 0: not said
} vllm_batches[] = {
    {"plain",
     "93cb41dac2fcaa35e0cd918ba474797065ab426c6f636b53746f726564ac626c6f636b5f68617368657391cf96da"
     "10cf66588729b1706172656e745f626c6f636b5f68617368c0a9746f6b656e5f696473dc00200001cd0e51ccce40"
     "cd0f92cd02321502ccce01cd0660ccce3bcd07641bcd0a12cd0474cd0b04cd0a20cd09b6cd0113cd01d615cd05cd"
     "13cd0127cd011202ccce01cd0e80aa626c6f636b5f73697a6520a76c6f72615f6964c0a66d656469756da3475055"
     "a96c6f72615f6e616d65c0aa65787472615f6b65797391c0a967726f75705f69647800b26b765f63616368655f73"
     "7065635f6b696e64ae66756c6c5f617474656e74696f6e00",
     1, 0, 0, 0, 0x23c83e9b75481f13},
    {"decode-block",
     "93cb41dac2fd8fd6900e918ba474797065ab426c6f636b53746f726564ac626c6f636b5f68617368657391cf26a6"
     "a955feeddcf9b1706172656e745f626c6f636b5f68617368cf36c2d217b008efbfa9746f6b656e5f696473dc0020"
     "cd054326cd054326cd054326cd054326cd054326cd054326cd054326cd054326cd054326cd054326cd054326cd05"
     "4326cce402ccce01cd0e80cd01a8cd0375ccceaa626c6f636b5f73697a6520a76c6f72615f6964c0a66d65646975"
     "6da3475055a96c6f72615f6e616d65c0aa65787472615f6b65797391c0a967726f75705f69647800b26b765f6361"
     "6368655f737065635f6b696e64ae66756c6c5f617474656e74696f6e00",
     0, 1, 0, 0, 0},
    {"remove",
     "93cb41dac2fcdc2210249184a474797065ac426c6f636b52656d6f766564ac626c6f636b5f68617368657391cf15"
     "8337717afef7d1a66d656469756da3475055a967726f75705f6964780000",
     0, 0, 1, 0, 0},
    {"remove+store",
     "93cb41dac2fcf927af239284a474797065ac426c6f636b52656d6f766564ac626c6f636b5f68617368657391cfdf"
     "a47d8b0d5fed44a66d656469756da3475055a967726f75705f696478008ba474797065ab426c6f636b53746f7265"
     "64ac626c6f636b5f68617368657391cf970b14f75a3ec0d2b1706172656e745f626c6f636b5f68617368cf034f6c"
     "63b62c1f44a9746f6b656e5f696473dc002013cd0fbc16cd053acd03eccd0127cd0308cd07fbcd01dbcd016acd02"
     "becd022dcd0abe5acd0293cd0207cd0127cd0186cd012954cd07c502ccce01cd0e80cd01a8cd0375cccecd0af5cd"
     "0330cd01f0cd0c64aa626c6f636b5f73697a6520a76c6f72615f6964c0a66d656469756da3475055a96c6f72615f"
     "6e616d65c0aa65787472615f6b65797391c0a967726f75705f69647800b26b765f63616368655f737065635f6b69"
     "6e64ae66756c6c5f617474656e74696f6e00",
     0, 1, 1, 0, 0},
    {"clear+store",
     "93cb41dac2fd467d098b9281a474797065b0416c6c426c6f636b73436c65617265648ba474797065ab426c6f636b"
     "53746f726564ac626c6f636b5f68617368657396cf1aa5e8075a2d8135cf382abf9acdc589bdcfe60e0026c67f2c"
     "6acfe4365202b4817a9ccfa94c09789b3c42e4cf04c9ea5eeb6767eeb1706172656e745f626c6f636b5f68617368"
     "c0a9746f6b656e5f696473dc00c00001cd0660cccecd0c80cd01c9cd016ecd02d5cd016ecd02d5cd016ecd02d5cd"
     "016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02"
     "d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016e"
     "cd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd"
     "016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02"
     "d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016e"
     "cd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd"
     "016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02"
     "d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016e"
     "cd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd"
     "016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02"
     "d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016e"
     "cd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5aa626c6f636b5f73697a6520a7"
     "6c6f72615f6964c0a66d656469756da3475055a96c6f72615f6e616d65c0aa65787472615f6b65797396c0c0c0c0"
     "c0c0a967726f75705f69647800b26b765f63616368655f737065635f6b696e64ae66756c6c5f617474656e74696f"
     "6e00",
     6, 0, 0, 1, 0x3488b932df875107},
    {"salt",
     "93cb41dac2fd16b8a0069384a474797065ac426c6f636b52656d6f766564ac626c6f636b5f68617368657391cfc4"
     "ce72bd754b9629a66d656469756da3475055a967726f75705f6964780084a474797065ac426c6f636b52656d6f76"
     "6564ac626c6f636b5f68617368657391cf66afa92ae91d7d45a66d656469756da3475055a967726f75705f696478"
     "008ba474797065ab426c6f636b53746f726564ac626c6f636b5f68617368657392cf7d21df77bf969fdacf0b8891"
     "583c74cce3b1706172656e745f626c6f636b5f68617368c0a9746f6b656e5f696473dc0040003c1acd07641b20cd"
     "02f9cd0e6ecd0112cd03eccd03d4cd0135cd0cb1cd016bcd0ced13cd0141cd0293cd09ca15cd03decd0316cd0232"
     "cd0464cd0112cd0846cd03e821cd0112cd0167cd0127cd0543cd0659cd05b4cd0176cd047ccd0293cd0127cd0370"
     "cd0cf7cd0c6313cd05cacd01bdcd0167cd028ccd0f71cd03244bcd02d921cd0127cd01d615cd0308cd0127cd0127"
     "cd01bdcd01d6cd01dbcd022fcd015e13cd01d6aa626c6f636b5f73697a6520a76c6f72615f6964c0a66d65646975"
     "6da3475055a96c6f72615f6e616d65c0aa65787472615f6b6579739291a3616263c0a967726f75705f69647800b2"
     "6b765f63616368655f737065635f6b696e64ae66756c6c5f617474656e74696f6e00",
     2, 0, 2, 0, 0},
    {"lora",
     "93cb41dac2fd56101863918ba474797065ab426c6f636b53746f726564ac626c6f636b5f68617368657396cffdfd"
     "768985fc1d8ecf0c7d2fc7a9f21067cf400de31f5db3ccc2cfe82787ec8f498b5dcfedd41b2883c922b5cf803e0c"
     "9ae3e4dedeb1706172656e745f626c6f636b5f68617368c0a9746f6b656e5f696473dc00c0cd0385cd0c9fcd01df"
     "cd0119cd0c1fcd0cbccd0bd6cd0e57cd0713cd0271cd044ecd0ce2cd0caecd0b55cd0ceccd09a7cd039dccb7cd0b"
     "03cd07eacd0aa7cd0512ccf7cd0196cd0a35cd0122ccc3cd0722cd04dfcd0c1acd0794cd0ce9cd08bacd080acd08"
     "a0cd041bcd0c8fcd0a2fccdfcd0d95cd09dbcd0deacd0cf9cd0db3cccacd0c7ccd02efcd08eecd0e8ecd0379cd07"
     "50cd0f40cd0597cd0e45cd0e2bcd0f32cd0247cd0a9dcd096d26cd0d09cd0ecacd07bbcd0d64cd079fcd0974cd04"
     "90cd01b8cd09f6cd0bddcd04a6cd0b0dcd0de3cd0124cd0170cd0a34cd0ba344cd0a04cd07ebcd088acd034bcd08"
     "bfcd01f3cd0c07cd0b68cd0243cd05840dcd0176cd082ecd0c54cd0338cd079accbdcd0857cd0b01cd0b34cd0bdb"
     "cd0e11cd063ecd0bfccd0827cd081820cd0331cd0698cd05cecd095acd0aafcd0f95cd0154cd01c5cd09e4cd0d8e"
     "cd0c0acd01bacd0f8ccd0f88cd0ccfcd0598cd0247cd0e38cd0ceecd0e4acd0105cd0423cd09e7cd014acd02d9cd"
     "0d42cd0eafcd0292cd0845cd02d9cd0615cd0727cd036fcd06f2cd07b4cd0644cd04d8cd0716cd07b9cd0cd6cd05"
     "b9cd0952cd024acd068ccd0f15cd0f7acd084fcd0136cd04a5cd0a62cd0495cd0591cd0247cd06abcd0a90cd0cc6"
     "cd09ffcd0517cd045fcd03eecd0b32cd0710cd0a7bcd03a4cd0b92cd036ccd0b80cd0ac7cd0d13cd078acd0ee3cd"
     "08e3cd0c75cd082dcd024dcd067bcd0dd8cd0453cd013bcd0132cd0c3bcd0c29cd05b7cd07e0cd09b8cd0f3ecd0b"
     "2aaa626c6f636b5f73697a6520a76c6f72615f696401a66d656469756da3475055a96c6f72615f6e616d65a26164"
     "aa65787472615f6b6579739691a2616491a2616491a2616491a2616491a2616491a26164a967726f75705f696478"
     "00b26b765f63616368655f737065635f6b696e64ae66756c6c5f617474656e74696f6e00",
     6, 0, 0, 0, 0x3326e652cd708e23},
    {"lora+salt",
     "93cb41dac2fd56356cf1918ba474797065ab426c6f636b53746f726564ac626c6f636b5f68617368657399cf5a76"
     "a62fe5223f2acf649a632724c15146cfd863a40481ee2ca1cff51113cad2129c9ecff7af91aa15b614a1cfe7bc7a"
     "c4fcbbaeaecff69cebe1a06978cecf7e3a8cf7c229d6f8cf3ae4c1823f7971dbb1706172656e745f626c6f636b5f"
     "68617368c0a9746f6b656e5f696473dc01200001cd0660cccecd07dccd04bf20cd02c6cd0f4ccd02f91fcd016ecd"
     "02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd01"
     "6ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5"
     "cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd"
     "02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd01"
     "6ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5"
     "cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd"
     "02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd01"
     "6ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5"
     "cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd"
     "02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd01"
     "6ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5"
     "cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd"
     "02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd01"
     "6ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5"
     "cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd"
     "02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd01"
     "6ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5"
     "cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016ecd02d5cd016eaa"
     "626c6f636b5f73697a6520a76c6f72615f696401a66d656469756da3475055a96c6f72615f6e616d65a26164aa65"
     "787472615f6b6579739992a26164a2733191a2616491a2616491a2616491a2616491a2616491a2616491a2616491"
     "a26164a967726f75705f69647800b26b765f63616368655f737065635f6b696e64ae66756c6c5f617474656e7469"
     "6f6e00",
     9, 0, 0, 0, 0xe2e65e8593f98f15},
};
enum { N_VLLM_BATCHES = sizeof vllm_batches / sizeof *vllm_batches };

struct vllm_heard {
    uint64_t hashes[VLLM_MAX_BLOCKS];
    size_t n;
    bool has_parent;
};

static enum kvr_code on_stored(void *ctx, enum kvr_tier tier, const uint64_t *parent,
                               const uint64_t *hashes, size_t n) {
    struct vllm_heard *h = ctx;
    cr_assert(tier == KVR_DEVICE && h->n + n <= VLLM_MAX_BLOCKS);
    h->has_parent = parent != NULL;
    memcpy(h->hashes + h->n, hashes, n * sizeof *hashes);
    h->n += n;
    return KVR_CODE_OK;
}

static enum kvr_code on_removed(void *ctx, enum kvr_tier tier, const uint64_t *hashes, size_t n) {
    (void)ctx;
    (void)tier;
    (void)hashes;
    (void)n;
    return KVR_CODE_OK;
}

static enum kvr_code on_cleared(void *ctx, int tier) {
    (void)tier;
    ((struct vllm_heard *)ctx)->n = 0;
    return KVR_CODE_OK;
}

static bool on_parent(void *ctx, uint64_t hash, uint64_t *parent, bool *has) {
    (void)ctx;
    (void)hash;
    (void)parent;
    (void)has;
    return false;
}

static size_t bytes_of(const char *hex, uint8_t out[VLLM_MAX_BYTES]) {
    size_t n = strlen(hex) / 2;
    cr_assert_leq(n, VLLM_MAX_BYTES);
    for (size_t i = 0; i < n; i++) {
        const char digits[3] = {hex[2 * i], hex[2 * i + 1], 0};
        out[i] = (uint8_t)strtoul(digits, NULL, 16);
    }
    return n;
}

// What a router computes for the tokens of a store.
static void check_hashes(const struct bridge_event *e, const char *salt,
                         const struct vllm_heard *heard, const char *name) {
    uint64_t want[VLLM_MAX_BLOCKS];
    uint64_t seed = kvr_hash_salt(e->lora.p, e->lora.n, salt, salt ? strlen(salt) : 0);
    kvr_hash_tokens(e->tokens, e->n_tokens, VLLM_BLOCK_TOKENS, seed, NULL, want);
    cr_assert_eq(heard->n, e->n_hashes, "%s", name);
    for (size_t i = 0; i < heard->n; i++)
        cr_expect_eq(heard->hashes[i], want[i], "%s: block %zu", name, i);
}

static const char *salt_of(const char *name) {
    return !strcmp(name, "salt") ? "abc" : !strcmp(name, "lora+salt") ? "s1" : NULL;
}

static void play(struct bridge_decoder *d, size_t i) {
    uint8_t bytes[VLLM_MAX_BYTES];
    struct vllm_heard heard = {0};
    struct bridge_map_sink sink = {&heard, on_stored, on_removed, on_cleared, NULL, on_parent};
    struct bridge_map m;
    struct bridge_batch b;
    struct bridge_event e;
    const char *name = vllm_batches[i].name;
    bridge_map_init(&m, &(struct bridge_map_options){.block_size = VLLM_BLOCK_TOKENS}, &sink);
    cr_assert(bridge_decode_batch(bytes, bytes_of(vllm_batches[i].hex, bytes), &b), "%s", name);
    cr_expect(b.has_rank && b.rank == 0);
    while (bridge_decode_event(d, &b, &e) != BRIDGE_EVENT_END) {
        cr_assert(e.type == BRIDGE_EVENT_STORED || e.type == BRIDGE_EVENT_REMOVED ||
                      e.type == BRIDGE_EVENT_CLEARED,
                  "%s: %d", name, (int)e.type);
        bridge_map_event(&m, &e);
        if (e.type == BRIDGE_EVENT_STORED && heard.n) check_hashes(&e, salt_of(name), &heard, name);
    }
    cr_expect(m.stats.stored == vllm_batches[i].stored && heard.n == vllm_batches[i].stored &&
                  m.stats.orphans == vllm_batches[i].orphans &&
                  m.stats.unknown == vllm_batches[i].unknown &&
                  m.stats.cleared == vllm_batches[i].cleared && !m.stats.wrong_size,
              "%s", name);
    cr_expect_not(heard.has_parent);
    if (vllm_batches[i].first)
        cr_expect_eq(heard.hashes[0], vllm_batches[i].first, "%s: %016" PRIx64, name,
                     heard.hashes[0]);
    bridge_map_free(&m);
}

Test(vllm, batches_of_0_32) {
    struct bridge_decoder *d = bridge_decoder_new();
    for (size_t i = 0; i < N_VLLM_BATCHES; i++)
        play(d, i);
    bridge_decoder_free(d);
}
