// SPDX-License-Identifier: Apache-2.0
// Block lists: the four forms in which a command names blocks.
#include <string.h>

#include "blocks.h"
#include <kvroute/hash.h>

static const char *const forms[] = {"HASHES", "HEX", "TOKENS", "IDS"};
static const char TOO_MANY[] = "too many blocks";
static const char NO_MEMORY[] = "out of memory";

static bool parse_ids(struct args *a, struct block_list *l) {
    uint64_t n;
    if (!args_u64(a, 0, UINT64_MAX, &n)) return false;
    if (n > args_left(a)) return args_fail(a, "fewer token ids than announced");
    uint32_t *ids = arena_array(a->arena, n, sizeof *ids);
    if (!ids) return args_fail(a, NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        uint64_t id;
        if (!args_u64(a, 0, UINT32_MAX, &id)) return false;
        ids[i] = (uint32_t)id;
    }
    l->bytes = (const char *)ids;
    l->count = n;
    return true;
}

static bool parse_blob(struct args *a, size_t width, struct block_list *l) {
    struct kvr_bytes b;
    l->blob = a->at < a->argc ? a->argv[a->at] : NULL;
    if (!args_bytes(a, &b)) return false;
    if (b.n % width) return args_fail(a, "malformed block list");
    l->bytes = b.p;
    l->count = b.n / width;
    return true;
}

static bool parse_salt(struct args *a, struct block_list *l) {
    static const char *const words[] = {"LORA", "NAMESPACE"};
    struct kvr_bytes names[2] = {{"", 0}, {"", 0}};
    unsigned seen = 0;
    for (;;) {
        struct kvr_bytes next = args_peek(a);
        if (args_left(a) == 0 || (!bytes_are(next, words[0]) && !bytes_are(next, words[1]))) break;
        int i = args_option(a, words, 2, &seen);
        if (i < 0 || !args_bytes(a, &names[i])) return false;
    }
    l->seed = kvr_hash_salt(names[0].p, names[0].n, names[1].p, names[1].n);
    return true;
}

bool blocks_parse(struct args *a, bool hashes_only, struct block_list *out) {
    memset(out, 0, sizeof *out);
    int form = args_word(a, forms, hashes_only ? 2 : 4);
    if (form < 0) return false;
    out->form = (enum block_form)form;
    switch (out->form) {
    case BLOCKS_HASHES:
        return parse_blob(a, sizeof(uint64_t), out);
    case BLOCKS_HEX:
        return parse_blob(a, 16, out);
    case BLOCKS_TOKENS:
        return parse_blob(a, sizeof(uint32_t), out) && parse_salt(a, out);
    case BLOCKS_IDS:
        return parse_ids(a, out) && parse_salt(a, out);
    }
    return false;
}

bool blocks_hashes(struct args *a, const struct block_list *l, uint32_t block_size,
                   const uint64_t *parent, uint64_t **out, size_t *n) {
    size_t count = blocks_are_tokens(l) ? l->count / block_size : l->count;
    if (count > KVR_MAX_BLOCKS) return args_fail(a, TOO_MANY);
    uint64_t *hashes = arena_array(a->arena, count, sizeof *hashes);
    if (!hashes) return args_fail(a, NO_MEMORY);
    if (l->form == BLOCKS_HASHES) {
        memcpy(hashes, l->bytes, count * sizeof *hashes);
    } else if (l->form == BLOCKS_HEX) {
        for (size_t i = 0; i < count; i++)
            if (!hex_read(l->bytes + 16 * i, &hashes[i]))
                return args_fail(a, "malformed block list");
    } else {
        kvr_hash_tokens(l->bytes, l->count, block_size, l->seed, parent, hashes);
    }
    *out = hashes;
    *n = count;
    return true;
}
