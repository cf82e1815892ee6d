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

enum { ROUTER_STREAM_MAX_HELD = 65536 };

// Where the engine says how many tokens there were: the number behind the name "completion_tokens",
// wherever it is, the last one of several. What stands in texts isn't a name.
enum router_usage_state {
    ROUTER_USAGE_OUTSIDE, // of texts
    ROUTER_USAGE_TEXT,
    ROUTER_USAGE_ESCAPED, // behind a backslash
    ROUTER_USAGE_NAMED,   // behind the name
    ROUTER_USAGE_VALUE,   // behind its colon
    ROUTER_USAGE_NUMBER,
};

struct router_stream {
    bool events;           // it is one of server-sent events
    struct evbuffer *held; // the beginning of a line; NULL: never was there any
    uint64_t n_events;     // data lines that are JSON: about as many as tokens
    unsigned at;           // of the present line, what was seen of "data:"
    unsigned ended;        // line ends at the end of what was passed on
    enum router_usage_state usage;
    size_t matched;         // bytes of the name; more than it has: this text is another one
    int64_t number, tokens; // that is being read; that was said
    bool said;
};

void router_stream_begin(struct router_stream *s, bool events);
void router_stream_free(struct router_stream *s);
// Moves to `out` what may go on of `in`, which is empty afterwards. False: no memory.
bool router_stream_pass(struct router_stream *s, struct evbuffer *in, struct evbuffer *out);
// The answer is complete: what was held goes.
void router_stream_end(struct router_stream *s, struct evbuffer *out);
// The stream of events breaks off: what was held is dropped, and an event says so.
void router_stream_break(struct router_stream *s, struct evbuffer *out, const char *code,
                         const char *message);
// Tokens of the answer: what the engine says of them, else the events; -1: not known.
int64_t router_stream_tokens(const struct router_stream *s);

#endif
