// SPDX-License-Identifier: Apache-2.0
// An answer on its way from the engine to the client: not a byte of it is changed.
//
// Of a stream of server-sent events whole lines are passed on, and the beginning of one is held until
// the rest is there. So the stream can be ended with an error event at any moment, and the
// client's parser never sees half an event before it. Engines write whole events, so nothing is
// held but by accident; a line longer than ROUTER_STREAM_MAX_HELD is passed on all the same.
#ifndef ROUTER_STREAM_H
#define ROUTER_STREAM_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/router/prompt/router_prompt_kind.h"

enum { ROUTER_STREAM_MAX_HELD = 65536 };

// What the engine says, as far as it stands behind names that mean it wherever they are (what stands in texts isn't a
// name; of several the last one counts):
//   completion_tokens, output_tokens                     how many tokens the answer has
//   prompt_tokens, input_tokens                          and the prompt
//   cached_tokens, cache_read_input_tokens               how many of these were there already
//   finish_reason "abort", or an object of that type     that it has dropped the request, though all looks well
//   stop_reason null, where a message ends               the same
//   type                                                 of an event: text that comes, the end
//   id, store                                            of a response: by which it can be asked for later
enum router_said_word {
    ROUTER_SAID_NONE,
    ROUTER_SAID_TOKENS,
    ROUTER_SAID_INPUT,
    ROUTER_SAID_CACHED,
    ROUTER_SAID_FINISH,
    ROUTER_SAID_STOP,
    ROUTER_SAID_TYPE,
    ROUTER_SAID_ID,
    ROUTER_SAID_STORE,
};

enum router_usage_state {
    ROUTER_USAGE_OUTSIDE, // of texts
    ROUTER_USAGE_TEXT,
    ROUTER_USAGE_ESCAPED, // behind a backslash
    ROUTER_USAGE_NAMED,   // behind the name
    ROUTER_USAGE_VALUE,   // behind its colon
    ROUTER_USAGE_NUMBER,
};

enum { ROUTER_STREAM_WORD = 64 }; // bytes of a text that are looked at; longer ones mean nothing

struct router_stream {
    bool events; // it is one of server-sent events
    enum router_answer_form form;
    struct evbuffer *held; // the beginning of a line; NULL: never was there any
    uint64_t n_events; // data lines that are JSON, and of which text comes: about as many as tokens
    unsigned at;       // of the present line, what was seen of "data:"
    bool counted;      // the present line is among n_events
    unsigned ended;    // line ends at the end of what was passed on
    enum router_usage_state usage;
    enum router_said_word word; // whose value comes; at its text, whose value that is
    char text[ROUTER_STREAM_WORD];
    size_t matched;                // bytes of the present text
    bool finishes, aborted;        // finishes: in an object behind finish_reason
    bool stops;                    // why a message stops comes, or has come
    bool over;                     // the last event has come
    int64_t number;                // that is being read
    int64_t tokens, input, cached; // that were said; −1: weren't
    char id[ROUTER_STREAM_WORD];   // of a response; "": not said
    bool stores, says_store;       // it is kept there; that was said
};

void router_stream_begin(struct router_stream *s, bool events, enum router_answer_form form);
void router_stream_free(struct router_stream *s);
// Moves to `out` what may go on of `in`, which is empty afterwards. False: no memory.
bool router_stream_pass(struct router_stream *s, struct evbuffer *in, struct evbuffer *out);
// The answer is complete: what was held goes.
void router_stream_end(struct router_stream *s, struct evbuffer *out);
// The stream of events breaks off: what was held is dropped, and an event says so, in the form of its API.
void router_stream_break(struct router_stream *s, struct evbuffer *out, const char *code,
                         const char *message);
// Tokens of the answer: what the engine says of them, else the events; -1: not known.
int64_t router_stream_tokens(const struct router_stream *s);
// Whether the engine says that it has dropped the request.
bool router_stream_aborted(const struct router_stream *s);
// Whether the event that ends streams of its form has come; true where there is none of one form.
bool router_stream_complete(const struct router_stream *s);

#endif
