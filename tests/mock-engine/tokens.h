// SPDX-License-Identifier: Apache-2.0
// A tokenizer without a vocabulary, and answers that are a function of their prompt.
//
// A token is up to 16 bytes without white space, together with one space before them; any other byte
// of white space is a token alone. Its id is a hash of its bytes, below TOKEN_VOCABULARY. So " the
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
    TOKEN_VOCABULARY = 131072,
    TOKEN_WORDS = 256, // the first id of a text; below are marks
    TOKEN_END = 2,     // of a chat message
    WORD_SIZE = 16,    // room for a word of an answer and its NUL
};

struct tokens {
    uint32_t *ids;
    size_t n, room;
};

void tokens_add(struct tokens *t, uint32_t id);
void tokens_text(struct tokens *t, const char *text, size_t len);
// A message of a chat: the mark of the role, the content, TOKEN_END. And the mark alone.
void tokens_message(struct tokens *t, const char *role, const char *content, size_t len);
void tokens_role(struct tokens *t, const char *role);
void tokens_free(struct tokens *t);

uint64_t answer_seed(const struct tokens *prompt);
// Writes word i, a space and letters; returns its length.
size_t answer_word(uint64_t seed, uint64_t i, char out[WORD_SIZE]);
uint32_t answer_token(uint64_t seed, uint64_t i);

#endif
