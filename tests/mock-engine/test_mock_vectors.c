// SPDX-License-Identifier: Apache-2.0
// Batches byte by byte, as the real encoders write them: vectors that the bridge reads, too.
#include <criterion/criterion.h>
#include <string.h>

#include "mock_events.h"
#include "mock_vectors.h"

enum vector_op { VECTOR_STORE, VECTOR_REMOVE, VECTOR_CLEAR, VECTOR_OFFLOAD, VECTOR_END };

struct vector_step {
    enum vector_op what;
    uint64_t hash;
    const uint64_t *parent;
    uint32_t tokens[4];
    size_t n_tokens;
    struct mock_events_names names;
};

static const uint64_t minus_2 = (uint64_t)-2;

static const struct written_batch {
    const char *schema;
    struct vector_step steps[4];
    uint32_t rank;
    const char *want; // of mock_vectors.h
} written[] = {
    {"0.9.0",
     {{VECTOR_STORE, (uint64_t)-2, NULL, {1, 2, 3, 4}, 4, {0}},
      {.what = VECTOR_REMOVE, .hash = (uint64_t)-2},
      {.what = VECTOR_CLEAR},
      {.what = VECTOR_END}},
     0,
     "A1"},
    {"0.9.1",
     {{VECTOR_STORE, 5, &minus_2, {5, 6, 7, 8}, 4, {.lora = "ad", .lora_id = 7}},
      {.what = VECTOR_END}},
     0,
     "A2"},
    {"0.10.2",
     {{VECTOR_STORE, 0xfedcba9876543210, NULL, {1, 2, 3, 4}, 4, {0}},
      {.what = VECTOR_REMOVE, .hash = 0xfedcba9876543210},
      {.what = VECTOR_END}},
     1,
     "A3"},
    {"0.14",
     {{VECTOR_STORE, 1, NULL, {1, 2}, 2, {.lora = "ad", .lora_id = 7}}, {.what = VECTOR_END}},
     0,
     "A4"},
    {"0.20",
     {{VECTOR_STORE, 1, NULL, {1, 2}, 2, {0}},
      {.what = VECTOR_REMOVE, .hash = 1},
      {.what = VECTOR_END}},
     0,
     "A22"},
    {"0.24",
     {{.what = VECTOR_REMOVE, .hash = 0xfedcba9876543210},
      {.what = VECTOR_CLEAR},
      {.what = VECTOR_END}},
     0,
     "A9"},
    {"0.24", {{.what = VECTOR_OFFLOAD, .hash = 9}, {.what = VECTOR_END}}, 0, "A12"},
};

static void add(struct mock_events *e, const struct vector_step *s) {
    if (s->what == VECTOR_REMOVE) mock_events_remove(e, s->hash);
    if (s->what == VECTOR_CLEAR) mock_events_clear(e);
    if (s->what == VECTOR_OFFLOAD) mock_events_offload(e, s->hash);
    if (s->what != VECTOR_STORE) return;
    mock_events_store(e, &(struct mock_events_stored){.hashes = &s->hash,
                                                      .parent = s->parent,
                                                      .n = 1,
                                                      .block_size = s->n_tokens,
                                                      .tokens = s->tokens,
                                                      .names = s->names});
}

static const struct mock_vector *named(const char *name) {
    size_t i = 0;
    while (i < mock_n_accepted && strcmp(mock_vectors_accepted[i].name, name) != 0)
        i++;
    cr_assert(i < mock_n_accepted);
    return &mock_vectors_accepted[i];
}

Test(vectors, batches_are_written_as_the_engines_write_them) {
    for (size_t i = 0; i < sizeof written / sizeof *written; i++) {
        struct mock_events e;
        msgpack_sbuffer out;
        uint8_t want[MOCK_VECTOR_MAX_BYTES];
        mock_events_init(&e, mock_schema_find(written[i].schema), false);
        for (const struct vector_step *s = written[i].steps; s->what != VECTOR_END; s++)
            add(&e, s);
        mock_events_finish(&e, 1.5, written[i].rank, &out);
        size_t n = mock_vector_bytes(named(written[i].want), want);
        cr_expect(out.size == n && memcmp(out.data, want, n) == 0, "%s", written[i].want);
        msgpack_sbuffer_destroy(&out);
        mock_events_free(&e);
    }
}
