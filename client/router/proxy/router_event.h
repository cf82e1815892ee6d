// SPDX-License-Identifier: Apache-2.0
// What the JSON of one event of a completion's or a chat's stream says, and where in its bytes.
//
//     {"id":"x","choices":[{"index":0,"text":"a","token_ids":[1]}],"usage":{"prompt_tokens":3}}
//           ^value ^end     of choices, the first one is looked into
//
// It runs for each token of each stream, so it makes no values and takes no memory: it tells positions, and
// all that isn't looked for is skipped. Only the shape counts: whether numbers and escapes are well-formed is
// for whoever reads the event in the end.
#ifndef ROUTER_EVENT_H
#define ROUTER_EVENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum router_event_field {
    ROUTER_EVENT_ROOT,
    ROUTER_EVENT_ID,
    ROUTER_EVENT_OBJECT,
    ROUTER_EVENT_CREATED,
    ROUTER_EVENT_MODEL,
    ROUTER_EVENT_FINGERPRINT,
    ROUTER_EVENT_CHOICES,
    ROUTER_EVENT_USAGE,
    ROUTER_EVENT_ERROR,
    ROUTER_EVENT_PROMPT_IDS,
    ROUTER_EVENT_PROMPT_TEXT,
    // Of the first choice
    ROUTER_EVENT_INDEX,
    ROUTER_EVENT_TEXT,
    ROUTER_EVENT_DELTA,
    ROUTER_EVENT_LOGPROBS,
    ROUTER_EVENT_FINISH,
    ROUTER_EVENT_IDS,
    ROUTER_EVENT_CHOICE_PROMPT_IDS,
    ROUTER_EVENT_CHOICE_PROMPT_TEXT,
    // Of its delta
    ROUTER_EVENT_ROLE,
    ROUTER_EVENT_CONTENT,
    ROUTER_EVENT_REASONING,
    ROUTER_EVENT_REASONING_CONTENT,
    ROUTER_EVENT_TOOL_CALLS,
    // Of its logprobs
    ROUTER_EVENT_TEXT_OFFSET,
    ROUTER_EVENT_TOKENS,
    // Of the usage
    ROUTER_EVENT_PROMPT_TOKENS,
    ROUTER_EVENT_COMPLETION_TOKENS,
    ROUTER_EVENT_TOTAL_TOKENS,
    ROUTER_EVENT_PROMPT_DETAILS,
    ROUTER_EVENT_COMPLETION_DETAILS,
    ROUTER_EVENT_CACHED_TOKENS, // of the prompt's details
    // Of the error
    ROUTER_EVENT_ERROR_CODE,
    ROUTER_EVENT_FIELDS
};

struct router_event_span {
    size_t name;       // of its first quote
    size_t value, end; // of the value's first byte, and of the one behind it; end 0: it isn't there
};

struct router_event {
    const char *text;
    struct router_event_span at[ROUTER_EVENT_FIELDS]; // the last one of each name
    size_t n_choices;
};

// False: it isn't one JSON object; *e is of no use then.
bool router_event_read(struct router_event *e, const char *text, size_t n);

// Whether the field is there and not null.
bool router_event_has(const struct router_event *e, enum router_event_field f);
// Whether it is a text that isn't empty.
bool router_event_says(const struct router_event *e, enum router_event_field f);
// Whether it is just this text, which has nothing to be escaped.
bool router_event_is(const struct router_event *e, enum router_event_field f, const char *text);
// A whole number from 0 on; −1: it is none.
int64_t router_event_number(const struct router_event *e, enum router_event_field f);

// The next whole number of a list; *at is behind its bracket at first. False: there is no more.
bool router_event_next(const struct router_event *e, enum router_event_field f, size_t *at,
                       uint64_t *number);
// Whether it is a list of nothing but whole numbers below 2^32; *count: how many.
bool router_event_numbers(const struct router_event *e, enum router_event_field f, size_t *count);

#endif
