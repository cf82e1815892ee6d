// SPDX-License-Identifier: Apache-2.0
// The client's side of a connection, as lean as it can be: commands go out in one write, replies are
// read from the buffer without a copy or an allocation.
//
// The client is not what is measured. With a library that allocates each element of a reply it would be
// the slower side wherever replies have many. The plain-Redis ways read theirs by the same means, so
// they aren't held back either. What a real client library adds is measured by kvroute-bench-client.
#ifndef COMMANDS_WIRE_H
#define COMMANDS_WIRE_H

#include <stddef.h>
#include <stdint.h>

struct wire {
    int fd;
    char *out, *in;
    size_t n_out, room_out;   // written, not sent
    size_t at, n_in, room_in; // read: looked at, there, room
};

// One element of a reply. '+', '-', '$' and its bytes; ':' and its number; '*' and how many elements
// follow; '$' or '*' with number -1: nil.
struct token {
    char type;
    int64_t number;
    const char *bytes; // until the next token is taken
    size_t n;
};

// Each ends the program with a message when the connection fails.
void wire_open_unix(struct wire *w, const char *path);
void wire_open_tcp(struct wire *w, int port); // of 127.0.0.1
void wire_close(struct wire *w);

// A command is an announced number of words.
void wire_begin(struct wire *w, size_t words);
void wire_word(struct wire *w, const void *bytes, size_t n);
void wire_text(struct wire *w, const char *text);
void wire_number(struct wire *w, uint64_t v);
void wire_send(struct wire *w); // all that was written

void wire_token(struct wire *w, struct token *t); // waits for it; an error reply ends the program
void wire_skip(struct wire *w);                   // one whole reply
int64_t wire_integer(struct wire *w);             // one reply, which must be an integer

#endif
