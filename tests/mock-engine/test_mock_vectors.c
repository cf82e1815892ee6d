// SPDX-License-Identifier: Apache-2.0
// Batches byte by byte, as the real encoders write them.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "mock_events.h"

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

static const struct vector {
    const char *schema;
    struct vector_step steps[4];
    uint32_t rank;
    const char *want;
} vectors[] = {
    {"0.9.0",
     {{VECTOR_STORE, (uint64_t)-2, NULL, {1, 2, 3, 4}, 4, {0}},
      {.what = VECTOR_REMOVE, .hash = (uint64_t)-2},
      {.what = VECTOR_CLEAR},
      {.what = VECTOR_END}},
     0,
     "92cb3ff80000000000009396ab426c6f636b53746f72656491fec0940102030404c092ac426c6f636b52656d6f76"
     "656491fe91b0416c6c426c6f636b73436c6561726564"},
    {"0.9.1",
     {{VECTOR_STORE, 5, &minus_2, {5, 6, 7, 8}, 4, {.lora = "ad", .lora_id = 7}},
      {.what = VECTOR_END}},
     0,
     "93cb3ff80000000000009196ab426c6f636b53746f7265649105fe9405060708040700"},
    {"0.10.2",
     {{VECTOR_STORE, 0xfedcba9876543210, NULL, {1, 2, 3, 4}, 4, {0}},
      {.what = VECTOR_REMOVE, .hash = 0xfedcba9876543210},
      {.what = VECTOR_END}},
     1,
     "93cb3ff80000000000009297ab426c6f636b53746f72656491cffedcba9876543210c0940102030404c0a3475055"
     "93ac426c6f636b52656d6f76656491cffedcba9876543210a347505501"},
    {"0.14",
     {{VECTOR_STORE, 1, NULL, {1, 2}, 2, {.lora = "ad", .lora_id = 7}}, {.what = VECTOR_END}},
     0,
     "93cb3ff80000000000009198ab426c6f636b53746f7265649101c09201020207a3475055a2616400"},
    {"0.20",
     {{VECTOR_STORE, 1, NULL, {1, 2}, 2, {0}},
      {.what = VECTOR_REMOVE, .hash = 1},
      {.what = VECTOR_END}},
     0,
     "93cb3ff8000000000000929aab426c6f636b53746f7265649101c092010202c0a3475055c0c00094ac426c6f636b"
     "52656d6f7665649101a34750550000"},
    {"0.24",
     {{.what = VECTOR_REMOVE, .hash = 0xfedcba9876543210},
      {.what = VECTOR_CLEAR},
      {.what = VECTOR_END}},
     0,
     "93cb3ff80000000000009284a474797065ac426c6f636b52656d6f766564ac626c6f636b5f68617368657391cffe"
     "dcba9876543210a66d656469756da3475055a967726f75705f6964780081a474797065b0416c6c426c6f636b7343"
     "6c656172656400"},
    {"0.24",
     {{.what = VECTOR_OFFLOAD, .hash = 9}, {.what = VECTOR_END}},
     0,
     "93cb3ff80000000000009189a474797065ab426c6f636b53746f726564ac626c6f636b5f6861736865739109b170"
     "6172656e745f626c6f636b5f68617368c0a9746f6b656e5f69647390aa626c6f636b5f73697a6500a76c6f72615f"
     "6964c0a66d656469756da3435055a96c6f72615f6e616d65c0a967726f75705f6964780000"},
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

Test(vectors, batches_are_written_as_the_engines_write_them) {
    for (size_t i = 0; i < sizeof vectors / sizeof *vectors; i++) {
        struct mock_events e;
        msgpack_sbuffer out;
        char hex[1000] = "";
        mock_events_init(&e, mock_schema_find(vectors[i].schema), false);
        for (const struct vector_step *s = vectors[i].steps; s->what != VECTOR_END; s++)
            add(&e, s);
        mock_events_finish(&e, 1.5, vectors[i].rank, &out);
        for (size_t k = 0; k < out.size; k++)
            sprintf(hex + 2 * k, "%02x", (unsigned char)out.data[k]);
        cr_assert_str_eq(hex, vectors[i].want);
        msgpack_sbuffer_destroy(&out);
        mock_events_free(&e);
    }
}
