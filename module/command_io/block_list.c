// SPDX-License-Identifier: Apache-2.0
#include "block_list.h"

#include <kvroute/hash.h>
#include <string.h>

static const char *const forms[] = {"HASHES", "HEX", "TOKENS", "IDS"};
static const char TOO_MANY[] = "too many blocks";
static const char NO_MEMORY[] = "out of memory";

static bool parse_ids(struct mod_args *a, struct mod_block_list *l) {
    uint64_t n;
    if (!mod_args_u64(a, 0, UINT64_MAX, &n)) return false;
    if (n > mod_args_left(a)) return mod_args_fail(a, "fewer token ids than announced");
    uint32_t *ids = mod_arena_array(a->arena, n, sizeof *ids);
    if (!ids) return mod_args_fail(a, NO_MEMORY);
    for (size_t i = 0; i < n; i++) {
        uint64_t id;
        if (!mod_args_u64(a, 0, UINT32_MAX, &id)) return false;
        ids[i] = (uint32_t)id;
    }
    l->bytes = (const char *)ids;
    l->count = n;
    return true;
}

static bool parse_blob(struct mod_args *a, size_t width, struct mod_block_list *l) {
    struct kvr_bytes b;
    l->blob = a->at < a->argc ? a->argv[a->at] : NULL;
    if (!mod_args_bytes(a, &b)) return false;
    if (b.n % width) return mod_args_fail(a, "malformed block list");
    l->bytes = b.p;
    l->count = b.n / width;
    return true;
}

// Whatever else follows is for the command to read.
static bool parse_salt(struct mod_args *a, struct mod_block_list *l) {
    struct kvr_bytes lora = {NULL, 0}, namespace = {NULL, 0};
    for (;;) {
        struct kvr_bytes *name = mod_args_is(a, "LORA")        ? &lora
                                 : mod_args_is(a, "NAMESPACE") ? &namespace
                                                               : NULL;
        if (!name) break;
        if (name->p) return mod_args_fail(a, "an option is given twice");
        if (!mod_args_bytes(a, name)) return false;
    }
    l->seed = kvr_hash_salt(lora.p, lora.n, namespace.p, namespace.n);
    return true;
}

bool mod_blocks_parse(struct mod_args *a, bool hashes_only, struct mod_block_list *out) {
    memset(out, 0, sizeof *out);
    int form = mod_args_word(a, forms, hashes_only ? 2 : 4);
    if (form < 0) return false;
    out->form = (enum mod_block_form)form;
    switch (out->form) {
    case MOD_BLOCKS_HASHES:
        return parse_blob(a, sizeof(uint64_t), out);
    case MOD_BLOCKS_HEX:
        return parse_blob(a, 16, out);
    case MOD_BLOCKS_TOKENS:
        return parse_blob(a, sizeof(uint32_t), out) && parse_salt(a, out);
    case MOD_BLOCKS_IDS:
        return parse_ids(a, out) && parse_salt(a, out);
    }
    return false;
}

bool mod_blocks_hashes(struct mod_args *a, const struct mod_block_list *l, uint32_t block_size,
                       const uint64_t *parent, uint64_t **out, size_t *n) {
    size_t count = mod_blocks_are_tokens(l) ? l->count / block_size : l->count;
    if (count > KVR_MAX_BLOCKS) return mod_args_fail(a, TOO_MANY);
    uint64_t *hashes = mod_arena_array(a->arena, count, sizeof *hashes);
    if (!hashes) return mod_args_fail(a, NO_MEMORY);
    if (l->form == MOD_BLOCKS_HASHES) {
        memcpy(hashes, l->bytes, count * sizeof *hashes);
    } else if (l->form == MOD_BLOCKS_HEX) {
        for (size_t i = 0; i < count; i++)
            if (!mod_hex_read(l->bytes + 16 * i, &hashes[i]))
                return mod_args_fail(a, "malformed block list");
    } else {
        kvr_hash_tokens(l->bytes, l->count, block_size, l->seed, parent, hashes);
    }
    *out = hashes;
    *n = count;
    return true;
}
