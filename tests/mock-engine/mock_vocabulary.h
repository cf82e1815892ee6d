// SPDX-License-Identifier: Apache-2.0
// Tokens whose text is known: what an engine's answers are made of when they follow from token ids.
//
// Most are words with the space before them, some are a part of a character's bytes only, some have no
// text at all. The ids of all that have text are those that mock_tokens_text gives to these bytes, so
// words of an answer are the same tokens again in the next turn of a chat. A text that is cut into
// tokens anew need not give the ids that it was made of: a word and a character that follows it
// without a space become one token, as it happens in real vocabularies.
#ifndef MOCK_VOCABULARY_H
#define MOCK_VOCABULARY_H

#include <stddef.h>
#include <stdint.h>

#include "mock_tokens.h"

// Marks above all that a text can give.
enum {
    MOCK_PAD = MOCK_VOCABULARY, // without text
    MOCK_THINK_OPEN,
    MOCK_THINK_CLOSE,
    MOCK_CALL_OPEN,
    MOCK_CALL_CLOSE,
    MOCK_VOCABULARY_END
};

// Pieces that the model has a use for.
enum mock_piece {
    MOCK_PIECE_NEWLINE,
    MOCK_PIECE_CALL_NAME,  // {"name": "
    MOCK_PIECE_CALL_TOOL,  // lookup
    MOCK_PIECE_CALL_ARGS,  // ", "arguments":
    MOCK_PIECE_CALL_QUERY, // {"q": "
    MOCK_PIECE_CALL_QUOTE, // "}
    MOCK_PIECE_CALL_BRACE, // }
    MOCK_PIECE_TWO,        // the first of the two tokens of é
    MOCK_PIECE_TWO_END,
    MOCK_PIECE_THREE, // of 日
    MOCK_PIECE_THREE_END,
    MOCK_PIECE_FOUR, // the first of the three of an emoji
    MOCK_PIECE_FOUR_MIDDLE,
    MOCK_PIECE_FOUR_END,
    MOCK_N_PIECES
};

uint32_t mock_piece_id(enum mock_piece piece);
uint32_t mock_vocabulary_word(uint64_t draw);       // one of a few thousand words, by any number
enum mock_piece mock_vocabulary_piece(uint32_t id); // MOCK_N_PIECES: another token

// The bytes of a token; marks have none. A token of a prompt that no answer has is " #" and its id.
enum { MOCK_SPELLING_SIZE = 24 };
size_t mock_vocabulary_spell(uint32_t id, char out[MOCK_SPELLING_SIZE]);

#endif
