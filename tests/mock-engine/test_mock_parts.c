// SPDX-License-Identifier: Apache-2.0
// The parts of the mock engine that need no process: blocks and tokens.
#include <criterion/criterion.h>
#include <string.h>

#include "mock_blocks.h"
#include "mock_tokens.h"

enum { PLAIN_CAPACITY = 24, PLAIN_CONTENTS = 60, PLAIN_STEPS = 20000, PLAIN_HELD = 40 };

static uint64_t next_random(uint64_t *state) {
    *state += 0x9e3779b97f4a7c15u;
    uint64_t z = (*state ^ *state >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

// What the blocks are, in the plainest form: who is used, what is in it, and since when it is free.
struct plain_blocks {
    size_t users[PLAIN_CAPACITY + 1];
    uint64_t content[PLAIN_CAPACITY + 1], since[PLAIN_CAPACITY + 1], now;
    uint32_t held[PLAIN_HELD];
    size_t n_held;
};

// The block that has to be taken: one without content, else the one that has been free for longest.
static uint64_t goes_first(const struct plain_blocks *p, bool *named) {
    uint32_t best = 0;
    for (uint32_t i = 1; i <= PLAIN_CAPACITY; i++) {
        if (p->users[i]) continue;
        if (!p->content[i]) {
            *named = false;
            return 0;
        }
        if (!best || p->since[i] < p->since[best]) best = i;
    }
    *named = true;
    return p->content[best];
}

static size_t copies_of(const struct plain_blocks *p, uint64_t content) {
    size_t n = 0;
    for (size_t i = 1; i <= PLAIN_CAPACITY; i++)
        n += p->content[i] == content;
    return n;
}

static void take_one(struct mock_blocks *b, struct plain_blocks *p, uint64_t content) {
    bool named;
    uint32_t block;
    uint64_t want = goes_first(p, &named), evicted;
    if (p->n_held == PLAIN_HELD || mock_blocks_counts(b).used == PLAIN_CAPACITY) return;
    cr_assert(mock_blocks_take(b, &block, &evicted) == named);
    if (named) cr_assert(evicted == want);
    cr_assert(!p->users[block]);
    p->users[block] = 1;
    p->content[block] = content;
    p->held[p->n_held++] = block;
    if (content) mock_blocks_name(b, block, content);
}

static void use_one(struct mock_blocks *b, struct plain_blocks *p, uint64_t content) {
    uint32_t block = mock_blocks_find(b, content);
    cr_assert((block != MOCK_NO_BLOCK) == (copies_of(p, content) > 0));
    if (!block || p->n_held == PLAIN_HELD) return;
    cr_assert(p->content[block] == content);
    cr_assert(mock_blocks_idle(b, block) == !p->users[block]);
    mock_blocks_use(b, block);
    p->users[block]++;
    p->held[p->n_held++] = block;
}

static void leave_one(struct mock_blocks *b, struct plain_blocks *p, size_t which) {
    if (!p->n_held) return;
    uint32_t block = p->held[which % p->n_held];
    p->held[which % p->n_held] = p->held[p->n_held - 1];
    p->n_held--;
    mock_blocks_leave(b, block);
    if (--p->users[block] == 0) p->since[block] = ++p->now;
}

Test(parts, blocks_as_a_plain_model_has_them) {
    struct mock_blocks *b = mock_blocks_new(PLAIN_CAPACITY);
    struct plain_blocks p = {.now = 0};
    uint64_t random = 7;
    for (size_t i = 0; i < PLAIN_STEPS; i++) {
        uint64_t r = next_random(&random), content = 1 + (r >> 32) % PLAIN_CONTENTS;
        if (r % 100 < 35) take_one(b, &p, r % 7 ? content : 0);
        if (r % 100 >= 35 && r % 100 < 55) use_one(b, &p, content);
        if (r % 100 >= 55) leave_one(b, &p, r >> 40);
        if (r % 1999 == 0) {
            mock_blocks_clear(b);
            memset(p.content, 0, sizeof p.content);
        }
        const char *wrong = mock_blocks_validate(b);
        cr_assert(!wrong, "step %zu: %s", i, wrong);
        cr_assert(mock_blocks_counts(b).cached <= PLAIN_CAPACITY);
    }
    uint64_t list[PLAIN_CAPACITY];
    size_t n = mock_blocks_list(b, list);
    for (size_t i = 0; i < n; i++) {
        cr_assert(copies_of(&p, list[i]) > 0);
        cr_assert(i == 0 || list[i - 1] < list[i]);
    }
    mock_blocks_free(b);
}

Test(parts, an_answer_is_cut_into_the_tokens_it_was_made_of) {
    char text[200 * MOCK_WORD_SIZE];
    size_t len = 0;
    struct mock_tokens t = {0};
    for (uint64_t i = 0; i < 200; i++) {
        len += mock_answer_word(42, i, text + len);
        cr_assert(len <= (i + 1) * (MOCK_WORD_SIZE - 1));
    }
    mock_tokens_text(&t, text, len);
    cr_assert(t.n == 200);
    for (uint64_t i = 0; i < 200; i++)
        cr_assert(t.ids[i] == mock_answer_token(42, i));
    mock_tokens_free(&t);
}

Test(parts, all_bytes_are_tokens) {
    static const struct {
        const char *text;
        size_t n;
    } cases[] = {{"", 0},
                 {"a", 1},
                 {" a", 1},
                 {"a b", 2},
                 {"a  b", 3},
                 {" ", 1},
                 {"a\n b", 3},
                 {"0123456789abcdef", 1},
                 {"  \n", 3},
                 {" 0123456789abcdefg", 2},
                 {"\xff\xfe \x01", 2}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct mock_tokens t = {0};
        mock_tokens_text(&t, cases[i].text, strlen(cases[i].text));
        cr_assert(t.n == cases[i].n, "\"%s\": %zu", cases[i].text, t.n);
        for (size_t k = 0; k < t.n; k++)
            cr_assert(t.ids[k] >= MOCK_FIRST_WORD && t.ids[k] < MOCK_VOCABULARY);
        mock_tokens_free(&t);
    }
}
