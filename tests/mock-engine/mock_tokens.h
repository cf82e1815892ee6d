// SPDX-License-Identifier: Apache-2.0
// A tokenizer without a vocabulary, and answers that are a function of their prompt.
//
// A token is up to 16 bytes without white space, together with one space before them; any other byte
// of white space is a token alone. Its id is a hash of its bytes, below MOCK_VOCABULARY. So " the
// cat" is " the" and " cat", wherever it stands, and a text put together of answers is cut in the
// same places again: the next turn of a chat finds the blocks of the last answer in the cache.
//
// Word i of an answer is a function of the hash of the prompt's token ids and of i, so anybody who
// has the prompt can tell what a stream has to bring, byte by byte.
#ifndef MOCK_TOKENS_H
#define MOCK_TOKENS_H

#include <stddef.h>
#include <stdint.h>

enum {
    MOCK_VOCABULARY = 131072,
    MOCK_FIRST_WORD = 256, // the first id of a text; below are marks
    MOCK_BEGIN_OF_TEXT = 1,
    MOCK_END_OF_MESSAGE = 2, // of a chat message
    MOCK_WORD_SIZE = 16,     // room for a word of an answer and its NUL
};

struct mock_tokens {
    uint32_t *ids;
    size_t n, room;
};

void mock_tokens_add(struct mock_tokens *t, uint32_t id);
void mock_tokens_text(struct mock_tokens *t, const char *text, size_t len);
// The mark of the role that a message of a chat begins with; MOCK_END_OF_MESSAGE ends it.
void mock_tokens_role(struct mock_tokens *t, const char *role);
void mock_tokens_free(struct mock_tokens *t);

uint64_t mock_answer_seed(const struct mock_tokens *prompt);
// Writes word i, a space and letters; returns its length.
size_t mock_answer_word(uint64_t seed, uint64_t i, char out[MOCK_WORD_SIZE]);
uint32_t mock_answer_token(uint64_t seed, uint64_t i);

#endif
