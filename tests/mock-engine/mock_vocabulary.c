// SPDX-License-Identifier: Apache-2.0
// Tokens whose text is known; see mock_vocabulary.h. The table is made when it is first needed.
#include "mock_vocabulary.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mock_memory.h"

static const char *const pieces[MOCK_N_PIECES] = {
    [MOCK_PIECE_NEWLINE] = "\n",           [MOCK_PIECE_CALL_NAME] = "{\"name\":\"",
    [MOCK_PIECE_CALL_TOOL] = "lookup",     [MOCK_PIECE_CALL_ARGS] = "\",\"arguments\":",
    [MOCK_PIECE_CALL_QUERY] = "{\"q\":\"", [MOCK_PIECE_CALL_QUOTE] = "\"}",
    [MOCK_PIECE_CALL_BRACE] = "}",         [MOCK_PIECE_TWO] = "\xc3",
    [MOCK_PIECE_TWO_END] = "\xa9",         [MOCK_PIECE_THREE] = "\xe6\x97",
    [MOCK_PIECE_THREE_END] = "\xa5",       [MOCK_PIECE_FOUR] = "\xf0\x9f",
    [MOCK_PIECE_FOUR_MIDDLE] = "\x98",     [MOCK_PIECE_FOUR_END] = "\x80",
};

enum {
    FIRST_LETTERS = 16,
    SECOND_LETTERS = 4,
    SYLLABLES = FIRST_LETTERS * SECOND_LETTERS,
    MAX_WORDS = SYLLABLES + SYLLABLES * SYLLABLES
};

static struct {
    uint32_t pieces[MOCK_N_PIECES], words[MAX_WORDS]; // ids
    uint16_t numbers[MAX_WORDS];                      // of the words, in the order of `words`
    uint16_t *of_id; // 1 + a piece, or 1 + MOCK_N_PIECES + a place in `words`; 0: neither
    size_t n_words;
} vocabulary;

static size_t put_syllable(char *out, size_t n) {
    out[0] = "bdfghjklmnprstvz"[n % FIRST_LETTERS];
    out[1] = "aeio"[n / FIRST_LETTERS];
    return 2;
}

// Word n: a space and one syllable, or two.
static size_t spell_word(size_t n, char out[MOCK_SPELLING_SIZE]) {
    size_t len = 0;
    out[len++] = ' ';
    if (n >= SYLLABLES) len += put_syllable(out + len, (n - SYLLABLES) / SYLLABLES);
    len += put_syllable(out + len, n % SYLLABLES);
    return len;
}

static uint32_t id_of(struct mock_tokens *t, const char *bytes, size_t len) {
    t->n = 0;
    mock_tokens_text(t, bytes, len);
    return t->ids[0];
}

// Two texts of one id can't both be in it: the first is.
static void make(void) {
    struct mock_tokens t = {0};
    vocabulary.of_id = mock_take(MOCK_VOCABULARY, sizeof *vocabulary.of_id);
    for (size_t i = 0; i < MOCK_N_PIECES; i++) {
        uint32_t id = vocabulary.pieces[i] = id_of(&t, pieces[i], strlen(pieces[i]));
        if (vocabulary.of_id[id]) abort();
        vocabulary.of_id[id] = (uint16_t)(1 + i);
    }
    for (size_t n = 0; n < MAX_WORDS; n++) {
        char word[MOCK_SPELLING_SIZE];
        uint32_t id = id_of(&t, word, spell_word(n, word));
        if (vocabulary.of_id[id]) continue;
        vocabulary.of_id[id] = (uint16_t)(1 + MOCK_N_PIECES + vocabulary.n_words);
        vocabulary.numbers[vocabulary.n_words] = (uint16_t)n;
        vocabulary.words[vocabulary.n_words++] = id;
    }
    mock_tokens_free(&t);
}

uint32_t mock_piece_id(enum mock_piece piece) {
    if (!vocabulary.of_id) make();
    return vocabulary.pieces[piece];
}

uint32_t mock_vocabulary_word(uint64_t draw) {
    if (!vocabulary.of_id) make();
    return vocabulary.words[draw % vocabulary.n_words];
}

static size_t entry_of(uint32_t id) {
    if (!vocabulary.of_id) make();
    return id < MOCK_VOCABULARY ? vocabulary.of_id[id] : 0;
}

enum mock_piece mock_vocabulary_piece(uint32_t id) {
    size_t entry = entry_of(id);
    return entry && entry <= MOCK_N_PIECES ? (enum mock_piece)(entry - 1) : MOCK_N_PIECES;
}

size_t mock_vocabulary_spell(uint32_t id, char out[MOCK_SPELLING_SIZE]) {
    size_t entry = entry_of(id);
    if (id < MOCK_FIRST_WORD || (id >= MOCK_PAD && id < MOCK_VOCABULARY_END)) return 0;
    if (!entry) return (size_t)snprintf(out, MOCK_SPELLING_SIZE, " #%" PRIu32, id);
    if (entry > MOCK_N_PIECES)
        return spell_word(vocabulary.numbers[entry - 1 - MOCK_N_PIECES], out);
    size_t len = strlen(pieces[entry - 1]);
    memcpy(out, pieces[entry - 1], len);
    return len;
}
