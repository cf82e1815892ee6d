// SPDX-License-Identifier: Apache-2.0
// The client's side of a connection, as lean as it can be: commands go out in one write, replies are
// read from the buffer without a copy or an allocation.
//
// The client is not what is measured. With a library that allocates each element of a reply it would be
// the slower side wherever replies have many. The plain-Redis bench_ops read theirs by the same means, so
// they aren't held back either. What a real client library adds is measured by kvroute-bench-client.
#ifndef BENCH_WIRE_H
#define BENCH_WIRE_H

#include <stddef.h>
#include <stdint.h>

struct bench_wire {
    int fd;
    char *out, *in;
    size_t n_out, room_out;   // written, not sent
    size_t at, n_in, room_in; // read: looked at, there, room
};

// One element of a reply. '+', '-', '$' and its bytes; ':' and its number; '*' and how many elements
// follow; '$' or '*' with number -1: nil.
struct bench_reply {
    char type;
    int64_t number;
    const char *bytes; // until the next token is taken
    size_t n;
};

// Each ends the program with a message when the connection fails.
void bench_wire_open_unix(struct bench_wire *w, const char *path);
void bench_wire_open_tcp(struct bench_wire *w, int port); // of 127.0.0.1
void bench_wire_close(struct bench_wire *w);

// A command is an announced number of words, of which the first are these texts, NULL at the end.
void bench_wire_begin(struct bench_wire *w, size_t words, ...) __attribute__((sentinel));
void bench_wire_word(struct bench_wire *w, const void *bytes, size_t n);
void bench_wire_text(struct bench_wire *w, const char *text);
void bench_wire_number(struct bench_wire *w, uint64_t v);
void bench_wire_send(struct bench_wire *w); // all that was written

// Waits for it; an error reply ends the program.
void bench_wire_reply(struct bench_wire *w, struct bench_reply *t);
void bench_wire_skip(struct bench_wire *w); // one whole reply

#endif
