// SPDX-License-Identifier: Apache-2.0
// What requests to engines there are, by how their bodies are read and their answers are told: a table, so that what
// is true of an API stands in one place.
#ifndef ROUTER_PROMPT_KIND_H
#define ROUTER_PROMPT_KIND_H

#include <stdbool.h>

enum router_prompt_kind {
    ROUTER_PROMPT_CHAT,
    ROUTER_PROMPT_COMPLETION,
    ROUTER_PROMPT_EMBEDDING,
    ROUTER_PROMPT_POOLING,   // also what classifies: `input`, or messages
    ROUTER_PROMPT_MESSAGES,  // Anthropic's
    ROUTER_PROMPT_RESPONSES, // OpenAI's
    ROUTER_PROMPT_GENERATE,  // SGLang's
    ROUTER_PROMPT_RERANK,    // one query before each of its documents
    ROUTER_PROMPT_SCORE,     // pairs of texts, or one before many
    ROUTER_PROMPT_BATCH,     // several chats
    ROUTER_PROMPT_FORM,      // multipart/form-data, with a field `model`: sounds
    ROUTER_PROMPT_STORED,    // about a response that an engine keeps
    ROUTER_PROMPT_QUESTION,  // that an engine answers beside its work
    ROUTER_PROMPT_PASS,      // whatever it is
    ROUTER_PROMPT_KINDS
};

// How answers to it speak of tokens, ends and errors.
enum router_answer_form { ROUTER_ANSWER_OPENAI, ROUTER_ANSWER_MESSAGES, ROUTER_ANSWER_RESPONSES };

enum router_body_form {
    ROUTER_BODY_JSON, // an object, or it is refused
    ROUTER_BODY_FORM,
    ROUTER_BODY_ANY, // may be an object that names a model
};

struct router_prompt_traits {
    enum router_body_form body;
    enum router_answer_form answer;
    const char
        *fields[3];   // which may have the prompt, as text or token ids, the first that is there
    bool writes;      // tokens, one after the other: else the prompt is all of the work
    bool asks_tokens; // engines can be asked for the token ids of its text
    bool goes_on;     // its stream may go on at another engine, and two engines may share it
    bool has_turns;   // the body may say of which session it is
    bool unbooked;    // it is no work that counts: the pool isn't asked who is to do it
};

extern const struct router_prompt_traits router_prompt_traits[ROUTER_PROMPT_KINDS];

#endif
