// SPDX-License-Identifier: Apache-2.0
// The client's side of a connection, on any bytes: hiredis's reader with the client's own builders of
// replies, then the reading of a reply as an answer of each form.
//
//   input   how many bytes arrive at a time, how many answers are owed, which allocation fails (from
//           128 on: the first, the second, …), then what a server says, with ~ for an end of line
#include <stdlib.h>
#include <string.h>

#include "client/lib/calls/result.h"
#include "client/lib/transport/reply_builder.h"
#include "client/lib/transport/server_reply.h"
#include "fuzz_target.h"
#include "tests/support/support_alloc.h"

// Touches all of a string, so that one that leads nowhere is seen.
static void touch(struct kvr_bytes b) {
    unsigned char sum = 0;
    must(b.p != NULL || b.n == 0, "a string of nothing");
    for (size_t i = 0; i < b.n; i++)
        sum ^= (unsigned char)b.p[i];
    __asm__ volatile("" : : "r"(sum)); // reading it must not be optimised away
}

static void look_at(enum kvr_result_form form, const struct kvr_result *r) {
    switch (form) {
    case KVR_REPLY_IS_CHOICE:
        touch(r->choice.worker);
        touch(r->choice.addr);
        must(r->choice.rank < KVR_MAX_RANKS, "a rank that can't be");
        must(r->choice.expected >= r->choice.overlap, "less expected than held");
        break;
    case KVR_REPLY_IS_SCORES:
        for (size_t i = 0; i < r->n; i++) {
            touch(r->scores[i].worker);
            touch(r->scores[i].addr);
            must(r->scores[i].rank < KVR_MAX_RANKS, "a rank that can't be");
        }
        break;
    case KVR_REPLY_IS_WORKERS:
        for (size_t i = 0; i < r->n; i++) {
            touch(r->workers[i].name);
            touch(r->workers[i].addr);
            must(r->workers[i].state <= KVR_EXPIRED, "a state that can't be");
            for (size_t k = 0; k < r->workers[i].n_ranks; k++)
                must(r->workers[i].ranks[k].rank < KVR_MAX_RANKS, "a rank that can't be");
            for (size_t k = 0; k < r->workers[i].n_labels; k++)
                touch(r->workers[i].labels[k]);
        }
        break;
    case KVR_REPLY_IS_FIELDS:
        for (size_t i = 0; i < r->n; i++) {
            touch(r->fields[i].name);
            touch(r->fields[i].value);
        }
        break;
    case KVR_REPLY_IS_EXPLANATION:
        touch(r->explanation->by);
        touch(r->explanation->choice.worker);
        for (size_t i = 0; i < r->n; i++) {
            const struct kvr_candidate *c = &r->explanation->candidates[i];
            touch(c->worker);
            touch(c->reason);
            touch(c->prefill_worker);
            touch(c->prompt_reason);
            for (size_t k = 0; k < c->n_terms; k++)
                touch(c->terms[k].name);
        }
        break;
    default:
        break;
    }
}

static void read_all_forms(const redisReply *reply, const struct kvr_alloc *alloc) {
    struct kvr_arena arena;
    kvr_arena_init(&arena, alloc);
    for (enum kvr_result_form form = KVR_REPLY_IS_INTEGER; form <= KVR_REPLY_IS_CLIENTS; form++) {
        struct kvr_result r = {0};
        enum kvr_code code = kvr_result_read(form, reply, &arena, &r);
        must(code == KVR_CODE_OK || code == KVR_CODE_NOMEM || code == KVR_CODE_PROTOCOL,
             "a code that can't be");
        if (code == KVR_CODE_OK) look_at(form, &r);
        kvr_arena_empty(&arena);
    }
    kvr_arena_free(&arena);
    if (reply->type == REDIS_REPLY_ERROR) {
        const struct kvr_reply_error *e = kvr_reply_error_of(reply->str, reply->len);
        must(e && e->message && *e->message && e->code != KVR_CODE_OK, "an error of no kind");
        (void)kvr_reply_number(reply->str, reply->len);
    }
    (void)kvr_reply_field(reply, "version");
}

// Ends of lines are two bytes that mutations seldom leave together.
static char *unfold(const uint8_t *data, size_t size, size_t *n) {
    char *out = malloc(2 * size + 1);
    must(out != NULL, "the fuzzer is out of memory");
    *n = 0;
    for (size_t i = 0; i < size; i++) {
        if (data[i] == '~') {
            out[(*n)++] = '\r';
            out[(*n)++] = '\n';
        } else {
            out[(*n)++] = (char)data[i];
        }
    }
    return out;
}

// Feeds what was said in steps, and reads what replies there are after each.
static void converse(redisReader *reader, struct kvr_reply_builder *builder,
                     const struct kvr_alloc *alloc, const char *said, size_t size, size_t step) {
    bool good = true;
    for (size_t at = 0; at < size && good; at += step) {
        size_t n = size - at < step ? size - at : step;
        void *reply = NULL;
        good = redisReaderFeed(reader, said + at, n) == REDIS_OK;
        while (good && (good = redisReaderGetReply(reader, &reply) == REDIS_OK) && reply) {
            must(builder->expected > 0, "a reply that nobody asked for");
            builder->expected--;
            read_all_forms(reply, alloc);
            reader->fn->freeObject(reply);
            reply = NULL;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3) return 0;
    struct support_alloc memory = {.fail_at = data[2] < 128 ? 0 : data[2] - 127u};
    struct kvr_alloc alloc = support_alloc_use(&memory);
    size_t n;
    char *said = unfold(data + 3, size - 3, &n);
    struct kvr_reply_builder builder;
    kvr_reply_builder_init(&builder, &alloc);
    redisReader *reader = redisReaderCreate();
    must(reader != NULL, "the fuzzer is out of memory");
    kvr_reply_builder_attach(&builder, reader);
    builder.expected = data[1] % 8;
    converse(reader, &builder, &alloc, said, n, data[0] ? data[0] : size);
    redisReaderFree(reader);
    kvr_reply_builder_free(&builder);
    free(said);
    support_alloc_check_freed(&memory, "fuzz_client_reply");
    return 0;
}
