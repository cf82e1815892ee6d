// SPDX-License-Identifier: Apache-2.0
// From tokens to text, thoughts and calls of tools, as the parsers of real engines tell them apart.
//
// Whether an answer is within a thought they find in the ids of the prompt, so one that goes on
// elsewhere stays a thought. Whether it is within a call they don't: the rest of a call that goes on
// elsewhere is text, its end included.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "mock_generation.h"
#include "mock_memory.h"

void mock_choice_start(struct mock_choice *c) {
    const struct mock_generation *g = c->of;
    struct mock_model_options how = g->how;
    // Another choice is another draw.
    if (c->index) how.seeded = true, how.seed += c->index;
    c->finish = g->finish;
    c->content = evbuffer_new();
    c->reasoning = evbuffer_new();
    c->call = evbuffer_new();
    c->ids = evbuffer_new();
    c->logprobs = evbuffer_new();
    c->tokens = evbuffer_new();
    if (g->mock->options->answers != MOCK_ANSWERS_IDS) return;
    mock_model_start(&c->model, &how, &g->prompt);
    mock_text_start(&c->text, &g->prompt, &g->stops);
    for (size_t i = g->prompt.n; g->parses_thoughts && i > 0; i--) {
        uint32_t id = g->prompt.ids[i - 1];
        c->thinking = id == MOCK_THINK_OPEN;
        if (c->thinking || id == MOCK_THINK_CLOSE || id < MOCK_FIRST_WORD) break;
    }
}

void mock_choice_free(struct mock_choice *c) {
    struct evbuffer *all[] = {c->content, c->reasoning, c->call, c->ids, c->logprobs, c->tokens};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i]) evbuffer_free(all[i]);
    mock_text_free(&c->text);
    mock_parts_free(&c->parts);
}

static struct evbuffer *channel(struct mock_choice *c) {
    if (c->calling) return c->call;
    return c->thinking ? c->reasoning : c->content;
}

void mock_choice_flush(struct mock_choice *c) {
    if (c->text.held) mock_text_end(&c->text, channel(c));
}

// A call's name is told at once, its arguments as they come.
static void parse_call(struct mock_choice *c, uint32_t id, struct evbuffer *text) {
    enum mock_piece piece = mock_vocabulary_piece(id);
    if (c->arguments && piece != MOCK_PIECE_CALL_BRACE) evbuffer_add_buffer(c->call, text);
    if (piece != MOCK_PIECE_CALL_ARGS) return;
    c->arguments = c->called = true;
    snprintf(c->call_id, sizeof c->call_id, "call_%016" PRIx64, c->model.hash);
}

// True: it was a mark that a parser takes for itself.
static bool parse_mark(struct mock_choice *c, uint32_t id) {
    const struct mock_generation *g = c->of;
    if (id < MOCK_PAD || id >= MOCK_VOCABULARY_END) return false;
    mock_choice_flush(c);
    if (g->parses_thoughts && (id == MOCK_THINK_OPEN || id == MOCK_THINK_CLOSE))
        c->thinking = id == MOCK_THINK_OPEN;
    if (g->parses_calls && id == MOCK_CALL_OPEN) {
        c->calling = true;
    } else if (g->parses_calls && id == MOCK_CALL_CLOSE) {
        if (!c->calling) evbuffer_add_printf(c->content, "</tool_call>");
        c->calling = c->arguments = false;
    }
    return true;
}

static void add_number(struct evbuffer *list, const char *format, double value) {
    if (evbuffer_get_length(list)) evbuffer_add_printf(list, ",");
    evbuffer_add_printf(list, format, value);
}

static void note(struct mock_choice *c, uint32_t id, uint64_t draw) {
    char bytes[MOCK_SPELLING_SIZE];
    if (!c->n) c->first_token = id;
    c->n++;
    c->n_thought += c->thinking;
    c->n_pending++;
    if (c->of->return_ids) add_number(c->ids, "%.0f", (double)id);
    if (!c->of->logprobs) return;
    add_number(c->logprobs, "%.3f", -(double)(draw % 4096) / 1024);
    size_t n = mock_vocabulary_spell(id, bytes);
    evbuffer_add(c->tokens, bytes, n);
    evbuffer_add(c->tokens, "", 1);
}

bool mock_choice_token(struct mock_choice *c, uint64_t i, uint32_t id) {
    struct mock_generation *g = c->of;
    note(c, id, g->mock->options->answers == MOCK_ANSWERS_IDS ? c->model.hash : i);
    if (g->mock->options->answers != MOCK_ANSWERS_IDS) {
        char word[MOCK_WORD_SIZE];
        size_t len = mock_answer_word(g->seed, i, word);
        evbuffer_add(c->content, word, len);
        return false;
    }
    if (parse_mark(c, id)) return false;
    struct evbuffer *text = evbuffer_new();
    const char *stop = mock_text_token(&c->text, id, c->n >= g->min_tokens, text);
    if (c->calling)
        parse_call(c, id, text);
    else
        evbuffer_add_buffer(channel(c), text);
    evbuffer_free(text);
    if (!stop) return false;
    c->finish = "stop";
    c->stop_reason = stop;
    return true;
}
