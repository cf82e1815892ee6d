// SPDX-License-Identifier: Apache-2.0
// A tokenizer without a vocabulary; see mock_tokens.h.
#include "mock_tokens.h"

#include <stdbool.h>

#include "mock_memory.h"
#include <kvroute/hash.h>

enum { MAX_TOKEN_BYTES = 16, MAX_SYLLABLES = 4 };

void mock_tokens_add(struct mock_tokens *t, uint32_t id) {
    t->ids = mock_grow(t->ids, &t->room, t->n + 1, sizeof *t->ids);
    t->ids[t->n++] = id;
}

void mock_tokens_free(struct mock_tokens *t) {
    free(t->ids);
    *t = (struct mock_tokens){0};
}

static uint32_t token_of(const char *bytes, size_t len) {
    uint64_t h = XXH3_64bits_withSeed(bytes, len, 0);
    return MOCK_FIRST_WORD + (uint32_t)(h % (MOCK_VOCABULARY - MOCK_FIRST_WORD));
}

static bool is_white(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void mock_tokens_text(struct mock_tokens *t, const char *text, size_t len) {
    for (size_t at = 0; at < len;) {
        size_t word = at + (text[at] == ' '), end = word;
        while (end < len && end - word < MAX_TOKEN_BYTES && !is_white(text[end]))
            end++;
        if (end == word) end = at + 1;
        mock_tokens_add(t, token_of(text + at, end - at));
        at = end;
    }
}

void mock_tokens_role(struct mock_tokens *t, const char *role) {
    uint64_t h = XXH3_64bits_withSeed(role, strlen(role), 1);
    mock_tokens_add(t, MOCK_END_OF_MESSAGE + 1 +
                           (uint32_t)(h % (MOCK_FIRST_WORD - MOCK_END_OF_MESSAGE - 1)));
}

uint64_t mock_answer_seed(const struct mock_tokens *prompt) {
    return XXH3_64bits_withSeed(prompt->ids, prompt->n * sizeof *prompt->ids, 2);
}

size_t mock_answer_word(uint64_t seed, uint64_t i, char out[MOCK_WORD_SIZE]) {
    static const char first[] = "bdfghjklmnprstvz", second[] = "aeio";
    uint64_t h = XXH3_64bits_withSeed(&i, sizeof i, seed);
    size_t n = 0;
    out[n++] = ' ';
    for (size_t syllables = 1 + h % MAX_SYLLABLES; syllables > 0; syllables--) {
        h /= MAX_SYLLABLES;
        out[n++] = first[h % 16];
        out[n++] = second[h / 16 % 4];
        h /= 64;
    }
    out[n] = 0;
    return n;
}

uint32_t mock_answer_token(uint64_t seed, uint64_t i) {
    char word[MOCK_WORD_SIZE];
    size_t len = mock_answer_word(seed, i, word);
    return token_of(word, len);
}
