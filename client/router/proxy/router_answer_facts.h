// SPDX-License-Identifier: Apache-2.0
// What an engine's answer says of itself, for its span: who answers, and why it ends. (How many tokens it was is known
// to router_stream.h.) Nothing of the text is kept.
#ifndef ROUTER_ANSWER_FACTS_H
#define ROUTER_ANSWER_FACTS_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct router_trace_text;

enum {
    ROUTER_ANSWER_WHOLE_MAX = 65536
}; // bytes of an answer that is no stream, beyond which it isn't looked at

struct router_answer_facts {
    char id[129], model[129], finish[33]; // "": it doesn't say
    unsigned looked;                      // events that were looked at for who answers
    char *whole; // what has come of an answer that is no stream; NULL: nothing, or too much
    size_t n, room;
    bool too_large;
};

void router_answer_begin(struct router_answer_facts *f); // of one that is all 0, or has been freed
void router_answer_free(struct router_answer_facts *f);
// What goes to the client, which stays as it is. events: whole lines of a stream. Returns for how many bytes more there is
// memory here now.
size_t router_answer_look(struct router_answer_facts *f, struct evbuffer *bytes, bool events);
// It has ended.
void router_answer_end(struct router_answer_facts *f);
// As attributes gen_ai.…
void router_answer_say(const struct router_answer_facts *f, struct router_trace_text *out);

#endif
