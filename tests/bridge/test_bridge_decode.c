// SPDX-License-Identifier: Apache-2.0
// The decoder: what engines of all versions send, what must be refused, and bytes that were damaged.
#include <criterion/criterion.h>
#include <inttypes.h>
#include <msgpack.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/bridge/event_decode.h"
#include "tests/mock-engine/mock_vectors.h"

struct decoded_text {
    char s[4096];
    size_t n;
};

static void say(struct decoded_text *t, const char *format, ...) {
    va_list args;
    va_start(args, format);
    int n = vsnprintf(t->s + t->n, sizeof t->s - t->n, format, args);
    va_end(args);
    if (n > 0 && t->n + (size_t)n < sizeof t->s) t->n += (size_t)n;
}

static void say_bytes(struct decoded_text *t, const char *what, struct kvr_bytes b) {
    if (b.p) say(t, " %s %.*s", what, (int)b.n, b.p);
}

static void tell_event(struct decoded_text *t, const struct bridge_event *e) {
    static const char *const names[] = {"end",     "store", "remove", "clear",
                                        "unknown", "bad",   "nomem"};
    say(t, "%s", names[e->type]);
    if (e->type != BRIDGE_EVENT_STORED && e->type != BRIDGE_EVENT_REMOVED) {
        say(t, ";");
        return;
    }
    for (size_t i = 0; i < e->n_hashes; i++)
        say(t, " %" PRIx64, e->hashes[i]);
    if (e->has_parent) say(t, " after %" PRIx64, e->parent);
    if (e->type == BRIDGE_EVENT_STORED) say(t, " tokens");
    for (size_t i = 0; i < e->n_tokens; i++)
        say(t, " %" PRIu32, e->tokens[i]);
    if (e->type == BRIDGE_EVENT_STORED) say(t, " size %" PRIu32, e->block_size);
    if (e->has_lora_id) say(t, " id %" PRId64, e->lora_id);
    say_bytes(t, "lora", e->lora);
    say_bytes(t, "salt", e->salt);
    say_bytes(t, "in", e->medium);
    say_bytes(t, "kind", e->kind);
    say_bytes(t, "at", e->locality);
    if (e->has_group) say(t, " group %" PRIu32, e->group);
    if (e->n_extra) say(t, " extra %" PRIu32, e->n_extra);
    say(t, ";");
}

// What a payload says; "refused" for a batch that is. The bytes are copied to where nothing follows
// them, so that a sanitizer sees whoever reads on.
static void tell(struct bridge_decoder *d, const void *payload, size_t n, struct decoded_text *t) {
    uint8_t *copy = malloc(n ? n : 1);
    struct bridge_batch b;
    struct bridge_event e;
    if (n) memcpy(copy, payload, n);
    t->n = 0;
    t->s[0] = 0;
    if (!bridge_decode_batch(copy, n, &b)) {
        say(t, "refused");
    } else {
        if (b.has_rank) say(t, "rank %" PRIu32 ";", b.rank);
        while (bridge_decode_event(d, &b, &e) != BRIDGE_EVENT_END)
            tell_event(t, &e);
    }
    free(copy);
}

Test(decode, accepts) {
    struct bridge_decoder *d = bridge_decoder_new();
    for (size_t i = 0; i < mock_n_accepted; i++) {
        uint8_t bytes[MOCK_VECTOR_MAX_BYTES];
        struct decoded_text t;
        tell(d, bytes, mock_vector_bytes(&mock_vectors_accepted[i], bytes), &t);
        cr_expect_str_eq(t.s, mock_vectors_accepted[i].events, "%s: %s",
                         mock_vectors_accepted[i].name, t.s);
    }
    bridge_decoder_free(d);
}

Test(decode, refuses_batches) {
    struct bridge_decoder *d = bridge_decoder_new();
    for (size_t i = 0; i < mock_n_rejected; i++) {
        uint8_t bytes[MOCK_VECTOR_MAX_BYTES];
        struct decoded_text t;
        tell(d, bytes, mock_vector_bytes(&mock_vectors_rejected[i], bytes), &t);
        cr_expect_str_eq(t.s, "refused", "%s: %s", mock_vectors_rejected[i].name, t.s);
    }
    bridge_decoder_free(d);
}

Test(decode, one_bad_event_costs_itself) {
    struct bridge_decoder *d = bridge_decoder_new();
    for (size_t i = 0; i < mock_n_half_bad; i++) {
        uint8_t bytes[MOCK_VECTOR_MAX_BYTES];
        struct decoded_text t;
        tell(d, bytes, mock_vector_bytes(&mock_vectors_half_bad[i], bytes), &t);
        const char *events = strchr(t.s, ';');
        events = strncmp(t.s, "rank", 4) == 0 && events ? events + 1 : t.s;
        cr_expect_str_eq(events, mock_vectors_half_bad[i].events, "%s: %s",
                         mock_vectors_half_bad[i].name, t.s);
    }
    bridge_decoder_free(d);
}

Test(decode, refuses_every_beginning) {
    struct bridge_decoder *d = bridge_decoder_new();
    for (size_t i = 0; i < mock_n_accepted; i++) {
        uint8_t bytes[MOCK_VECTOR_MAX_BYTES];
        size_t n = mock_vector_bytes(&mock_vectors_accepted[i], bytes);
        for (size_t cut = 0; cut < n; cut++) {
            struct decoded_text t;
            tell(d, bytes, cut, &t);
            cr_expect_str_eq(t.s, "refused", "%s cut to %zu", mock_vectors_accepted[i].name, cut);
        }
    }
    bridge_decoder_free(d);
}

Test(decode, damaged_bytes) {
    struct bridge_decoder *d = bridge_decoder_new();
    uint64_t x = 88172645463325252u;
    for (size_t round = 0; round < 60000; round++) {
        uint8_t bytes[MOCK_VECTOR_MAX_BYTES];
        size_t n = mock_vector_bytes(&mock_vectors_accepted[round % mock_n_accepted], bytes);
        struct decoded_text t;
        for (unsigned k = 0; k <= round % 4; k++) {
            x ^= x << 13, x ^= x >> 7, x ^= x << 17;
            bytes[x % n] = (uint8_t)(x >> 40);
        }
        tell(d, bytes, n, &t);
    }
    bridge_decoder_free(d);
}

// ---- Written by msgpack-c ------------------------------------------------------------------------

static void begin(msgpack_sbuffer *b, msgpack_packer *pk) {
    msgpack_sbuffer_init(b);
    msgpack_packer_init(pk, b, msgpack_sbuffer_write);
}

static void word(msgpack_packer *pk, const char *s) {
    msgpack_pack_str(pk, strlen(s));
    msgpack_pack_str_body(pk, s, strlen(s));
}

static void check(msgpack_sbuffer *b, const char *expected) {
    struct bridge_decoder *d = bridge_decoder_new();
    struct decoded_text t;
    tell(d, b->data, b->size, &t);
    cr_expect_str_eq(t.s, expected, "%s", t.s);
    bridge_decoder_free(d);
    msgpack_sbuffer_destroy(b);
}

Test(decode, a_map_around_it) {
    msgpack_sbuffer b;
    msgpack_packer pk;
    begin(&b, &pk);
    msgpack_pack_map(&pk, 5);
    word(&pk, "later");
    msgpack_pack_array(&pk, 2);
    msgpack_pack_nil(&pk);
    msgpack_pack_true(&pk);
    word(&pk, "data_parallel_rank");
    msgpack_pack_uint64(&pk, 3);
    word(&pk, "events");
    msgpack_pack_array(&pk, 1);
    msgpack_pack_array(&pk, 1);
    word(&pk, "AllBlocksCleared");
    word(&pk, "ts");
    msgpack_pack_float(&pk, 1.5f);
    msgpack_pack_int(&pk, 7);
    msgpack_pack_int(&pk, 7);
    check(&b, "rank 3;clear;");
}

Test(decode, pairs_salts_and_the_last_of_two_keys) {
    msgpack_sbuffer b;
    msgpack_packer pk;
    begin(&b, &pk);
    msgpack_pack_array(&pk, 5); // more than is known
    msgpack_pack_double(&pk, 1);
    msgpack_pack_array(&pk, 2);
    msgpack_pack_array(&pk, 8);
    word(&pk, "BlockStored");
    msgpack_pack_array(&pk, 1);
    msgpack_pack_int(&pk, -3);
    msgpack_pack_nil(&pk);
    msgpack_pack_array(&pk, 2);
    for (int i = 5; i < 7; i++) {
        msgpack_pack_array(&pk, 2);
        msgpack_pack_int(&pk, i);
        msgpack_pack_int(&pk, i + 1);
    }
    msgpack_pack_int(&pk, 2);
    msgpack_pack_nil(&pk);
    word(&pk, "GPU");
    msgpack_pack_map(&pk, 2);
    word(&pk, "session_id");
    word(&pk, "s");
    word(&pk, "cache_salt");
    word(&pk, "pepper");
    msgpack_pack_map(&pk, 4);
    word(&pk, "type");
    word(&pk, "BlockStored");
    word(&pk, "block_hashes");
    msgpack_pack_int(&pk, 1);
    word(&pk, "block_hashes");
    msgpack_pack_array(&pk, 0);
    word(&pk, "type");
    word(&pk, "BlockRemoved");
    msgpack_pack_nil(&pk);
    msgpack_pack_int(&pk, 1);
    msgpack_pack_int(&pk, 2);
    check(&b, "store fffffffffffffffd tokens 5 6 size 2 salt pepper in GPU;remove;");
}

// Token ids of every width, and each of them in forms that are longer than they need be.
Test(decode, token_ids_of_every_width) {
    static const uint32_t ids[] = {0, 127, 128, 255, 256, 65535, 65536, UINT32_MAX};
    enum { N_IDS = sizeof ids / sizeof *ids, N_FORMS = 5 };
    for (unsigned first = 0; first <= N_FORMS; first++) {
        msgpack_sbuffer b;
        msgpack_packer pk;
        begin(&b, &pk);
        msgpack_pack_array(&pk, 2);
        msgpack_pack_int(&pk, 1);
        msgpack_pack_array(&pk, 1);
        msgpack_pack_array(&pk, 5);
        word(&pk, "BlockStored");
        msgpack_pack_array(&pk, 1);
        msgpack_pack_int(&pk, 7);
        msgpack_pack_nil(&pk);
        msgpack_pack_array(&pk, N_IDS);
        for (unsigned i = 0; i < N_IDS; i++) {
            unsigned form = first + i;
            if (first < N_FORMS && form % N_FORMS == 1)
                msgpack_pack_fix_uint64(&pk, ids[i]);
            else if (first < N_FORMS && form % N_FORMS == 2)
                msgpack_pack_fix_uint32(&pk, ids[i]);
            else if (first < N_FORMS && form % N_FORMS == 3)
                msgpack_pack_int64(&pk, ids[i]);
            else
                msgpack_pack_uint32(&pk, ids[i]);
        }
        msgpack_pack_int(&pk, N_IDS);
        check(&b, "store 7 tokens 0 127 128 255 256 65535 65536 4294967295 size 8;");
    }
}

// A store of n hashes, of which two may be the same, with a token each.
static void many(msgpack_sbuffer *b, uint32_t n, bool twice, uint32_t tokens) {
    msgpack_packer pk;
    begin(b, &pk);
    msgpack_pack_array(&pk, 2);
    msgpack_pack_int(&pk, 1);
    msgpack_pack_array(&pk, 1);
    msgpack_pack_array(&pk, 5);
    word(&pk, "BlockStored");
    msgpack_pack_array(&pk, n);
    for (uint32_t i = 0; i < n; i++)
        msgpack_pack_uint64(&pk, twice && i == n - 1 ? 0 : i * 0x10001u);
    msgpack_pack_nil(&pk);
    msgpack_pack_array(&pk, tokens);
    for (uint32_t i = 0; i < tokens; i++)
        msgpack_pack_uint32(&pk, i);
    msgpack_pack_uint32(&pk, n ? tokens / n : 1);
}

Test(decode, large_events) {
    static const struct {
        uint32_t n, tokens;
        bool twice, good;
    } cases[] = {{9, 9, false, true},           {9, 9, true, false},
                 {5000, 80000, false, true},    {5000, 80000, true, false},
                 {65536, 1048576, false, true}, {65537, 65537, false, false},
                 {65536, 1048577, false, false}};
    struct bridge_decoder *d = bridge_decoder_new();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        msgpack_sbuffer b;
        struct bridge_batch batch;
        struct bridge_event e;
        many(&b, cases[i].n, cases[i].twice, cases[i].tokens);
        cr_assert(bridge_decode_batch(b.data, b.size, &batch));
        enum bridge_event_type type = bridge_decode_event(d, &batch, &e);
        cr_expect_eq(type, cases[i].good ? BRIDGE_EVENT_STORED : BRIDGE_EVENT_BAD, "case %zu", i);
        if (cases[i].good) {
            cr_expect(e.n_hashes == cases[i].n && e.n_tokens == cases[i].tokens);
            cr_expect_eq(e.tokens[e.n_tokens - 1], cases[i].tokens - 1);
        }
        msgpack_sbuffer_destroy(&b);
    }
    cr_expect_leq(bridge_decoder_bytes(d), (size_t)(8 << 20));
    bridge_decoder_free(d);
}

// As deep as it may be, and one deeper.
Test(decode, depth) {
    for (unsigned depth = 12; depth < 17; depth++) {
        uint8_t bytes[64] = {0x94, 0x01, 0x90, 0xc0};
        size_t n = 4;
        for (unsigned i = 0; i < depth; i++)
            bytes[n++] = 0x91;
        bytes[n++] = 0xc0;
        struct bridge_batch b;
        cr_expect_eq(bridge_decode_batch(bytes, n, &b), depth + 1 <= BRIDGE_MSGPACK_MAX_DEPTH, "%u",
                     depth);
    }
}
