// SPDX-License-Identifier: Apache-2.0
// A tokenizer without a vocabulary; see tokens.h.
#include "tokens.h"

#include <stdbool.h>

#include "memory.h"
#include <kvroute/hash.h>

enum { LONGEST = 16, SYLLABLES = 4 };

void tokens_add(struct tokens *t, uint32_t id) {
    t->ids = grow(t->ids, &t->room, t->n + 1, sizeof *t->ids);
    t->ids[t->n++] = id;
}

void tokens_free(struct tokens *t) {
    free(t->ids);
    *t = (struct tokens){0};
}

static uint32_t token_of(const char *bytes, size_t len) {
    uint64_t h = XXH3_64bits_withSeed(bytes, len, 0);
    return TOKEN_WORDS + (uint32_t)(h % (TOKEN_VOCABULARY - TOKEN_WORDS));
}

static bool is_white(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

void tokens_text(struct tokens *t, const char *text, size_t len) {
    for (size_t at = 0; at < len;) {
        size_t word = at + (text[at] == ' '), end = word;
        while (end < len && end - word < LONGEST && !is_white(text[end]))
            end++;
        if (end == word) end = at + 1;
        tokens_add(t, token_of(text + at, end - at));
        at = end;
    }
}

void tokens_role(struct tokens *t, const char *role) {
    uint64_t h = XXH3_64bits_withSeed(role, strlen(role), 1);
    tokens_add(t, TOKEN_END + 1 + (uint32_t)(h % (TOKEN_WORDS - TOKEN_END - 1)));
}

void tokens_message(struct tokens *t, const char *role, const char *content, size_t len) {
    tokens_role(t, role);
    tokens_text(t, content, len);
    tokens_add(t, TOKEN_END);
}

uint64_t answer_seed(const struct tokens *prompt) {
    return XXH3_64bits_withSeed(prompt->ids, prompt->n * sizeof *prompt->ids, 2);
}

size_t answer_word(uint64_t seed, uint64_t i, char out[WORD_SIZE]) {
    static const char first[] = "bdfghjklmnprstvz", second[] = "aeio";
    uint64_t h = XXH3_64bits_withSeed(&i, sizeof i, seed);
    size_t n = 0;
    out[n++] = ' ';
    for (size_t syllables = 1 + h % SYLLABLES; syllables > 0; syllables--) {
        h /= SYLLABLES;
        out[n++] = first[h % 16];
        out[n++] = second[h / 16 % 4];
        h /= 64;
    }
    out[n] = 0;
    return n;
}

uint32_t answer_token(uint64_t seed, uint64_t i) {
    char word[WORD_SIZE];
    size_t len = answer_word(seed, i, word);
    return token_of(word, len);
}
