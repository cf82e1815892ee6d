// SPDX-License-Identifier: Apache-2.0
// The module's parser of block lists, on arguments of any bytes.
//
//   input   form, block size, then arguments: a length and its bytes
//
// The server's strings are the fuzzer's own: each argument stands in memory of exactly its size, with
// nothing after it, so a read past the end is seen.
#include <kvroute/hash.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz_target.h"
#include "module/command_io/block_list.h"

struct RedisModuleString {
    char *p;
    size_t n;
};

static const char *string_bytes(const RedisModuleString *s, size_t *n) {
    *n = s->n;
    return s->p;
}

static void *allocate(size_t size) {
    return size < (size_t)1 << 28 ? malloc(size) : NULL;
}

enum { FUZZ_BLOCKS_MAX_ARGS = 64 };

struct fuzz_blocks_input {
    const uint8_t *at;
    size_t left;
};

static unsigned byte(struct fuzz_blocks_input *in) {
    if (!in->left) return 0;
    in->left--;
    return *in->at++;
}

static void add(RedisModuleString **argv, int *argc, const void *bytes, size_t n) {
    RedisModuleString *s = malloc(sizeof *s);
    must(s != NULL, "the fuzzer is out of memory");
    s->p = malloc(n ? n : 1);
    s->n = n;
    must(s->p != NULL, "the fuzzer is out of memory");
    if (n) memcpy(s->p, bytes, n);
    argv[(*argc)++] = s;
}

// Words that the parser knows, or the fuzzer's own bytes.
static void add_argument(RedisModuleString **argv, int *argc, struct fuzz_blocks_input *in) {
    static const char *const words[] = {"LORA", "namespace", "TOKENS", "0", "1", "2", "4294967295"};
    unsigned n = byte(in);
    if (n >= 256 - sizeof words / sizeof *words) {
        const char *word = words[255 - n];
        add(argv, argc, word, strlen(word));
        return;
    }
    size_t length = n < 200 ? n : (size_t)(n - 199) * 128;
    if (length > in->left) length = in->left;
    add(argv, argc, in->at, length);
    in->at += length;
    in->left -= length;
}

// What was read as one form reads the same as the other: tokens as TOKENS, hashes as HEX.
static void check(const struct mod_block_list *l, uint32_t block_size, const uint64_t *parent,
                  const uint64_t *hashes, size_t n) {
    must(n == (mod_blocks_are_tokens(l) ? l->count / block_size : l->count),
         "another number of blocks");
    for (size_t i = 0; i < n; i++) {
        char digits[16];
        uint64_t hash, want = hashes[i];
        mod_hex_write(hashes[i], digits);
        must(mod_hex_read(digits, &hash) && hash == hashes[i], "hex doesn't come back");
        if (l->form == MOD_BLOCKS_HASHES) memcpy(&want, l->bytes + 8 * i, 8);
        if (l->form == MOD_BLOCKS_HEX)
            must(!strncasecmp(digits, l->bytes + 16 * i, 16), "other digits");
        if (mod_blocks_are_tokens(l)) {
            want = kvr_hash_block(l->bytes + 4 * i * block_size, block_size, l->seed);
            if (i || parent) want = kvr_hash_chain(i ? hashes[i - 1] : *parent, want);
        }
        must(want == hashes[i], "another hash");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char *const forms[] = {"HASHES", "HEX", "TOKENS", "IDS", "hex", "Ids"};
    static struct mod_arena arena; // kept from input to input, as the module keeps it
    RedisModule_StringPtrLen = string_bytes;
    RedisModule_TryAlloc = allocate;
    RedisModule_Free = free;
    struct fuzz_blocks_input in = {data, size};
    unsigned form = byte(&in), block_size = 1 + byte(&in) % 20;
    uint64_t start = block_size * 77, *hashes, *parent = form & 64 ? &start : NULL;
    RedisModuleString *argv[FUZZ_BLOCKS_MAX_ARGS];
    int argc = 0;
    size_t n;
    if (form % 8 < 6) add(argv, &argc, forms[form % 8], strlen(forms[form % 8]));
    while (in.left && argc < FUZZ_BLOCKS_MAX_ARGS)
        add_argument(argv, &argc, &in);
    struct mod_args a = {.argv = argv, .argc = argc, .arena = &arena};
    struct mod_block_list list;
    bool good = mod_blocks_parse(&a, form & 128, &list) &&
                mod_blocks_hashes(&a, &list, block_size, parent, &hashes, &n);
    must(good == !a.error, "an error without a text, or a text without an error");
    must(a.at <= a.argc, "more arguments were taken than there are");
    if (good) check(&list, block_size, parent, hashes, n);
    mod_arena_reset(&arena);
    while (argc--) {
        free(argv[argc]->p);
        free(argv[argc]);
    }
    return 0;
}
