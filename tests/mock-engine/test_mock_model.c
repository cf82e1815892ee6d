// SPDX-License-Identifier: Apache-2.0
// The parts of answers by token ids that need no process: the vocabulary, the model, its text; and the
// sets that engines keep for transfers.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mock_model.h"
#include "mock_rooms.h"
#include "mock_store.h"
#include "mock_text.h"

static const struct mock_stops no_stops;

static char *taken(struct evbuffer *b) {
    evbuffer_add(b, "", 1);
    char *text = strdup((char *)evbuffer_pullup(b, -1));
    evbuffer_free(b);
    cr_assert(text);
    return text;
}

// A prompt, and n tokens of its answer.
static struct mock_tokens said(const char *prompt, size_t n, const struct mock_model_options *o) {
    struct mock_tokens t = {0};
    struct mock_model m;
    mock_tokens_text(&t, prompt, strlen(prompt));
    mock_model_start(&m, o, &t);
    for (size_t i = 0; i < n; i++)
        mock_tokens_add(&t, mock_model_next(&m, false));
    return t;
}

Test(model, words_are_the_tokens_of_their_text) {
    for (uint64_t i = 0; i < 10000; i++) {
        char bytes[MOCK_SPELLING_SIZE];
        struct mock_tokens t = {0};
        uint32_t id = mock_vocabulary_word(i);
        mock_tokens_text(&t, bytes, mock_vocabulary_spell(id, bytes));
        cr_assert(t.n == 1 && t.ids[0] == id);
        mock_tokens_free(&t);
    }
}

Test(model, marks_have_no_text_and_unknown_tokens_have_a_number) {
    char bytes[MOCK_SPELLING_SIZE];
    cr_assert(mock_vocabulary_spell(MOCK_END_OF_MESSAGE, bytes) == 0);
    for (uint32_t id = MOCK_PAD; id < MOCK_VOCABULARY_END; id++)
        cr_assert(mock_vocabulary_spell(id, bytes) == 0);
    size_t n = mock_vocabulary_spell(UINT32_MAX, bytes);
    cr_assert(n == 12 && memcmp(bytes, " #4294967295", n) == 0);
}

Test(model, goes_on_from_any_of_its_tokens) {
    struct mock_model_options o = {.end_every = 64};
    struct mock_tokens whole = said("what comes next", 400, &o);
    for (size_t n = whole.n - 400; n < whole.n; n++) {
        struct mock_tokens head = {.ids = whole.ids, .n = n};
        struct mock_model m;
        mock_model_start(&m, &o, &head);
        cr_assert(mock_model_next(&m, false) == whole.ids[n]);
    }
    mock_tokens_free(&whole);
}

Test(model, another_seed_or_penalty_is_another_answer) {
    static const struct mock_model_options kinds[] = {
        {0}, {.seeded = true, .seed = 1}, {.seeded = true, .seed = 2}, {.penalised = true}};
    struct mock_tokens all[4];
    for (size_t i = 0; i < 4; i++)
        all[i] = said("x", 50, &kinds[i]);
    for (size_t i = 0; i < 4; i++)
        for (size_t k = 0; k < i; k++)
            cr_assert(memcmp(all[i].ids, all[k].ids, 51 * sizeof(uint32_t)) != 0);
    for (size_t i = 0; i < 4; i++)
        mock_tokens_free(&all[i]);
}

Test(text, a_character_comes_when_it_is_whole) {
    static const uint8_t pieces[] = {MOCK_PIECE_FOUR, MOCK_PIECE_FOUR_MIDDLE, MOCK_PIECE_FOUR_END,
                                     MOCK_PIECE_TWO, MOCK_PIECE_TWO_END};
    static const char *const want[] = {"", "", "\xf0\x9f\x98\x80", "", "\xc3\xa9"};
    struct mock_text t;
    struct mock_tokens prompt = {0};
    mock_tokens_text(&prompt, "x", 1);
    mock_text_start(&t, &prompt, &no_stops);
    for (size_t i = 0; i < 5; i++) {
        struct evbuffer *out = evbuffer_new();
        cr_assert(!mock_text_token(&t, mock_piece_id(pieces[i]), true, out));
        char *got = taken(out);
        cr_assert_str_eq(got, want[i]);
        free(got);
    }
    mock_text_free(&t);
    mock_tokens_free(&prompt);
}

// As the detokenizers of real engines do, which is why a stream mustn't go on there.
Test(text, a_prompt_that_ends_within_a_character_comes_out) {
    struct mock_text t;
    struct mock_tokens prompt = {0};
    struct evbuffer *out = evbuffer_new(), *all = evbuffer_new();
    mock_tokens_add(&prompt, mock_vocabulary_word(1));
    mock_tokens_add(&prompt, mock_piece_id(MOCK_PIECE_THREE));
    mock_text_start(&t, &prompt, &no_stops);
    mock_text_token(&t, mock_piece_id(MOCK_PIECE_THREE_END), true, out);
    mock_tokens_add(&prompt, mock_piece_id(MOCK_PIECE_THREE_END));
    mock_text_decode(&prompt, all);
    char *got = taken(out), *want = taken(all);
    cr_assert(strlen(want) > 3);
    cr_assert_str_eq(got, want);
    free(got), free(want);
    mock_text_free(&t);
    mock_tokens_free(&prompt);
}

Test(text, what_is_no_character_is_told_to_be_none) {
    struct mock_tokens t = {0};
    struct evbuffer *out = evbuffer_new();
    mock_tokens_add(&t, mock_piece_id(MOCK_PIECE_TWO_END));
    mock_tokens_add(&t, mock_vocabulary_word(0));
    mock_tokens_add(&t, mock_piece_id(MOCK_PIECE_FOUR));
    mock_text_decode(&t, out);
    char *got = taken(out);
    cr_assert(strncmp(got, "\xef\xbf\xbd ", 4) == 0);
    cr_assert(strcmp(got + strlen(got) - 3, "\xef\xbf\xbd") == 0);
    free(got);
    mock_tokens_free(&t);
}

Test(rooms, are_used_once) {
    struct mock_rooms *r = mock_rooms_new();
    for (uint64_t i = 0; i < 5000; i++)
        cr_assert(mock_rooms_add(r, i * 7919));
    for (uint64_t i = 0; i < 5000; i++)
        cr_assert(!mock_rooms_add(r, i * 7919));
    mock_rooms_clear(r);
    cr_assert(mock_rooms_add(r, 0) && !mock_rooms_add(r, 0));
    mock_rooms_free(r);
}

Test(store, is_one_for_all_who_open_it) {
    char path[] = "/tmp/kvroute-store-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0);
    close(fd);
    struct mock_store *a = mock_store_open(path), *b = mock_store_open(path);
    uint64_t hashes[] = {11, 12, 13, 14};
    cr_assert(a && b && mock_store_find(b, hashes, 4) == 0);
    mock_store_add(a, hashes, 2);
    mock_store_add(a, hashes + 3, 1);
    cr_assert(mock_store_find(b, hashes, 4) == 2);
    mock_store_close(a);
    mock_store_close(b);
    unlink(path);
    cr_assert(!mock_store_open("/nowhere/at/all"));
}
