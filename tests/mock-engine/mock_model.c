// SPDX-License-Identifier: Apache-2.0
// A model whose next token is a function of the ids before it; see mock_model.h.
#include "mock_model.h"

#include <kvroute/hash.h>

// One in so many, and after how many tokens at the earliest.
enum {
    THOUGHT_ENDS = 8,
    THOUGHT_MIN = 4,
    ARGUMENT_ENDS = 4,
    ARGUMENT_MIN = 5,
    CALL_BEGINS = 8,
    CALL_MIN = 4,
    KINDS = 16 // of tokens in plain text
};

static uint64_t mix(uint64_t hash, uint64_t more) {
    uint64_t words[] = {hash, more};
    return XXH3_64bits(words, sizeof words);
}

static void enter(struct mock_model *m, enum mock_model_state state) {
    m->state = state;
    m->since = 0;
}

static void take_in(struct mock_model *m, uint32_t id) {
    m->hash = mix(m->hash, id);
    m->last = id;
    m->since++;
    if (id < MOCK_FIRST_WORD) {
        m->thought = m->called = false;
        enter(m, MOCK_MODEL_PLAIN);
    } else if (id == MOCK_THINK_OPEN) {
        enter(m, MOCK_MODEL_THINKING);
    } else if (id == MOCK_THINK_CLOSE) {
        m->thought = true;
        enter(m, MOCK_MODEL_PLAIN);
    } else if (id == MOCK_CALL_OPEN) {
        enter(m, MOCK_MODEL_CALLING);
    } else if (id == MOCK_CALL_CLOSE) {
        m->called = true;
        enter(m, MOCK_MODEL_PLAIN);
    }
}

void mock_model_start(struct mock_model *m, const struct mock_model_options *o,
                      const struct mock_tokens *prompt) {
    *m = (struct mock_model){.options = *o};
    for (size_t i = 0; i < prompt->n; i++)
        take_in(m, prompt->ids[i]);
}

uint64_t mock_model_draw(const struct mock_model *m) {
    uint64_t draw = m->hash;
    if (m->options.penalised) draw = mix(draw, m->own);
    if (m->options.seeded) draw = mix(mix(draw, m->options.seed), m->n_own);
    return draw;
}

// What must follow a token in any case; MOCK_N_PIECES: nothing.
static enum mock_piece follower(uint32_t id) {
    switch (mock_vocabulary_piece(id)) {
    case MOCK_PIECE_TWO:
        return MOCK_PIECE_TWO_END;
    case MOCK_PIECE_THREE:
        return MOCK_PIECE_THREE_END;
    case MOCK_PIECE_FOUR:
        return MOCK_PIECE_FOUR_MIDDLE;
    case MOCK_PIECE_FOUR_MIDDLE:
        return MOCK_PIECE_FOUR_END;
    default:
        return MOCK_N_PIECES;
    }
}

static uint32_t plain_token(uint64_t draw) {
    static const uint8_t kinds[KINDS] = {
        MOCK_PIECE_TWO,    MOCK_PIECE_THREE, MOCK_PIECE_FOUR, MOCK_PIECE_NEWLINE, MOCK_N_PIECES,
        MOCK_N_PIECES,     MOCK_N_PIECES,    MOCK_N_PIECES,   MOCK_N_PIECES,      MOCK_N_PIECES,
        MOCK_N_PIECES,     MOCK_N_PIECES,    MOCK_N_PIECES,   MOCK_N_PIECES,      MOCK_N_PIECES,
        MOCK_N_PIECES + 1, // a token without text
    };
    enum mock_piece kind = kinds[draw % KINDS];
    if (kind < MOCK_N_PIECES) return mock_piece_id(kind);
    return kind == MOCK_N_PIECES ? mock_vocabulary_word(draw / KINDS) : MOCK_PAD;
}

// {"name":"lookup","arguments":{"q":" words"}}
static uint32_t call_token(const struct mock_model *m, uint64_t draw) {
    static const uint8_t beginning[] = {MOCK_PIECE_CALL_NAME, MOCK_PIECE_CALL_TOOL,
                                        MOCK_PIECE_CALL_ARGS, MOCK_PIECE_CALL_QUERY};
    if (m->since < sizeof beginning / sizeof *beginning) return mock_piece_id(beginning[m->since]);
    enum mock_piece last = mock_vocabulary_piece(m->last);
    if (last == MOCK_PIECE_CALL_BRACE) return MOCK_CALL_CLOSE;
    if (last == MOCK_PIECE_CALL_QUOTE) return mock_piece_id(MOCK_PIECE_CALL_BRACE);
    if (m->since > ARGUMENT_MIN && draw % ARGUMENT_ENDS == 0)
        return mock_piece_id(MOCK_PIECE_CALL_QUOTE);
    return mock_vocabulary_word(draw / ARGUMENT_ENDS);
}

static bool begins_call(const struct mock_model *m, uint64_t draw) {
    if (!m->options.calls || m->called || (m->options.thinks && !m->thought)) return false;
    return m->options.calls_at_once || (m->since >= CALL_MIN && draw / 64 % CALL_BEGINS == 0);
}

static uint32_t choose(const struct mock_model *m, bool may_end) {
    uint64_t draw = mock_model_draw(m);
    enum mock_piece next = follower(m->last);
    if (next < MOCK_N_PIECES) return mock_piece_id(next);
    if (m->state == MOCK_MODEL_CALLING) return call_token(m, draw);
    if (m->state == MOCK_MODEL_THINKING)
        return m->since >= THOUGHT_MIN && draw / KINDS % THOUGHT_ENDS == 0
                   ? (uint32_t)MOCK_THINK_CLOSE
                   : plain_token(draw);
    if (m->options.thinks && m->last == m->options.role) return MOCK_THINK_OPEN;
    if (m->called && may_end) return MOCK_END_OF_MESSAGE;
    if (begins_call(m, draw)) return MOCK_CALL_OPEN;
    uint64_t end = m->options.end_every;
    if (may_end && end && draw / 1024 % end == 0) return MOCK_END_OF_MESSAGE;
    return plain_token(draw);
}

uint32_t mock_model_next(struct mock_model *m, bool may_end) {
    uint32_t id = choose(m, may_end);
    take_in(m, id);
    m->own = mix(m->own, id);
    m->n_own++;
    return id;
}
