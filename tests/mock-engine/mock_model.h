// SPDX-License-Identifier: Apache-2.0
// A model whose next token is a function of the token ids before it.
//
// Whoever gives an engine a prompt and the first tokens of its answer gets the rest of that answer, and
// not another: what a stream needs to go on elsewhere. So all that the model is in the middle of (a
// character in two tokens, a thought, a call of a tool) it has to find in the ids, too. What real
// engines keep beside the ids, and lose when another one goes on, it keeps and loses as well: the
// random generator of a request with a seed, what penalties count.
#ifndef MOCK_MODEL_H
#define MOCK_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "mock_vocabulary.h"

struct mock_model_options {
    bool thinks;        // answers of a chat begin with a thought
    bool calls;         // there are tools, which it may call; then the answer is over
    bool calls_at_once; // it has to
    bool penalised;     // by the tokens of this answer
    bool seeded;
    uint64_t seed;      // of the generator
    uint64_t end_every; // one token in so many ends the answer, on average; 0: none does
    uint32_t role;      // the mark after which an answer begins
};

enum mock_model_state {
    MOCK_MODEL_PLAIN,
    MOCK_MODEL_THINKING,
    MOCK_MODEL_CALLING,
};

struct mock_model {
    struct mock_model_options options;
    uint64_t hash;       // of all ids
    uint64_t own, n_own; // the same of this answer's; how many
    enum mock_model_state state;
    uint64_t since; // tokens since the state or the message began
    uint32_t last;
    bool thought, called; // in this message
};

void mock_model_start(struct mock_model *m, const struct mock_model_options *o,
                      const struct mock_tokens *prompt);
// The next token, which counts as said. may_end: it may be MOCK_END_OF_MESSAGE.
uint32_t mock_model_next(struct mock_model *m, bool may_end);
uint64_t mock_model_draw(const struct mock_model *m); // what the next token follows from

#endif
