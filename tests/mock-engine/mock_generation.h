// SPDX-License-Identifier: Apache-2.0
// A request for an answer, from its body to its last byte. What the files that deal with it share:
//
//   mock_request.c    reads the body and refuses what an engine refuses
//   mock_generate.c   its life: submitted, token by token, ended, held back, broken
//   mock_choice.c     from tokens to text, thoughts and calls
//   mock_answer.c     writes chunks and whole answers of chats and completions
//
// and of the other APIs, mock_responses.c, mock_messages.c, mock_native.c and mock_audio.c.
#ifndef MOCK_GENERATION_H
#define MOCK_GENERATION_H

#include "mock_connector.h"
#include "mock_model.h"
#include "mock_parts.h"
#include "mock_text.h"

enum { MOCK_MAX_CHOICES = 8, MOCK_CREATED_AT = 1700000000 };

struct mock_generation;
struct mock_choice;

// One of the APIs by which an answer is asked for. Everything that is written goes to g->out.
struct mock_api {
    const char *id_kind; // what an answer's id begins with
    bool chat;           // a template makes the prompt of messages
    bool marked;         // vLLM has a mark of its own before it
    // The request's body, or NULL, and an error has been answered. NULL: it is JSON.
    json_t *(*take)(struct h1_exchange *x);
    // Makes g->body, that of a chat or a completion, of g->asked; NULL, or what is wrong, and *status.
    // NULL: it is one.
    const char *(*read)(struct mock_generation *g, int *status);
    void (*chunk)(struct mock_choice *c, bool last); // nothing, if there is nothing to tell yet
    void (*end)(struct mock_generation *g);          // of a stream
    void (*whole)(struct mock_generation *g);
    void (*error)(struct mock_generation *g, int status, const char *message);
    void (*refuse)(struct h1_exchange *x, int status, const char *why);
    // Of a request that is answered at once and goes on in the background: the first answer.
    void (*accept)(struct mock_generation *g, struct h1_exchange *x);
};

extern const struct mock_api mock_api_completion, mock_api_chat; // mock_answer.c
extern const struct mock_api mock_api_responses, mock_api_messages, mock_api_native;
extern const struct mock_api mock_api_transcription, mock_api_translation; // mock_audio.c

struct mock_choice {
    struct mock_generation *of;
    size_t index;
    struct mock_job *job; // NULL once the engine is done with it
    struct mock_model model;
    struct mock_text text;
    uint64_t n, n_thought; // tokens so far; of them, in thoughts
    const char *finish, *stop_reason;
    bool over;

    // What the parsers know. Thoughts are told from the prompt, calls are not.
    bool thinking, calling, arguments;
    bool called; // the answer has a call

    // What the next chunk has to bring, or the whole answer.
    struct evbuffer *content, *reasoning, *call;
    struct evbuffer *ids, *logprobs, *tokens; // lists without their brackets; tokens: texts
    char call_id[MOCK_CALL_ID_SIZE];          // of a call that begins in it, or ""
    uint64_t n_pending;
    bool begun; // a chunk has left
    size_t text_offset;
    uint32_t first_token;
    struct mock_parts parts; // of APIs that tell an answer so
};

struct mock_generation {
    struct kvr_list_item item; // first: of the engine's stalled ones
    struct mock_background background;
    bool in_background; // then there is no x
    struct mock_engine *mock;
    const struct mock_api *api;
    struct h1_exchange *x;
    struct mock_scheduler *engine;
    size_t rank;
    bool chat, stream, usage, continuous;
    bool return_ids, logprobs, ignore_eos;
    bool parses_thoughts, parses_calls, hides_thoughts;
    uint64_t seed, max_tokens, min_tokens;
    const char *finish; // when max_tokens are there
    struct mock_tokens prompt;
    struct mock_events_names names;
    char *id, *model, *salt; // model: as a JSON string
    json_t *asked;           // the request's body as it came
    json_t *body;            // as a chat's or a completion's; stop strings are in it
    uint64_t n_events;       // that a stream has told, where they are counted
    struct mock_stops stops;
    struct mock_model_options how;
    struct mock_choice choices[MOCK_MAX_CHOICES];
    size_t n_choices, n_over, cached;
    struct mock_leg leg;

    // How it goes wrong on request; in tokens of all choices, 0: it doesn't.
    uint64_t n, cut_after, abort_after, stall_after;
    bool gently, stalls;
    uint64_t stall_ms;  // 0: until faults are cleared
    uint64_t unstalled; // the engine's, when it began
    struct event *stall_ends;

    struct evbuffer *out; // what is written and not sent
    int status;           // of an answer that isn't a stream
    bool held;     // nothing is sent for now: stalled, or what was computed is to be pulled first
    bool complete; // nothing is to be written any more
};

// mock_request.c: fills in what the body says. NULL, or what is wrong, and *status.
const char *mock_request_read(struct mock_generation *g, struct h1_exchange *x, int *rank,
                              int *status);

// mock_choice.c
void mock_choice_start(struct mock_choice *c);
void mock_choice_free(struct mock_choice *c);
// Adds a token; returns whether the answer is to end with it, because of a stop string.
bool mock_choice_token(struct mock_choice *c, uint64_t i, uint32_t id);
void mock_choice_flush(struct mock_choice *c); // what stop strings held back

// mock_answer.c: as JSON, beside data: or alone.
void mock_put_done(struct mock_generation *g); // the event that ends a stream
void mock_put_error(struct mock_generation *g, int status, const char *message);
void mock_refuse(struct h1_exchange *x, int status, const char *why);

static inline const char *mock_model_name(const struct mock_generation *g) {
    return g->names.lora ? g->names.lora : g->mock->options->model;
}
// Of all choices.
static inline uint64_t mock_answer_tokens(const struct mock_generation *g) {
    uint64_t n = 0;
    for (size_t i = 0; i < g->n_choices; i++)
        n += g->choices[i].n;
    return n;
}
static inline size_t mock_cached_tokens(const struct mock_generation *g) {
    return g->leg.has_cached ? g->leg.cached : g->cached;
}

#endif
