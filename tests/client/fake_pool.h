// SPDX-License-Identifier: Apache-2.0
// Between the fake's two halves: fake_server.c listens and misbehaves, fake_pool.c knows the right answers.
#ifndef FAKE_POOL_H
#define FAKE_POOL_H

#include "fake_server.h"

enum { FAKE_NODES = 4, FAKE_WORDS = 64, FAKE_REQUESTS = 1024, FAKE_SLOT = 785 };

struct fake_buf {
    char *p;
    size_t n, cap;
};
void fake_buf_add(struct fake_buf *b, const void *bytes, size_t n);
void fake_buf_text(struct fake_buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct fake_word {
    const char *p;
    size_t n;
};
bool fake_word_is(struct fake_word w, const char *text); // whatever the case

struct fake_request {
    char id[260];
    size_t n;
};

struct fake_pool { // what all the nodes answer from
    enum fake_kind kind;
    int ports[FAKE_NODES];
    struct fake_lies lies;
    int epoch; // of the Sentinels: grows when the primary changes
    bool exists;
    int64_t version;
    unsigned history; // goes into the ids that tell one history from another
    struct fake_request live[FAKE_REQUESTS];
    size_t n_live;
};

// What node `node` says to a command. argc may be more than FAKE_WORDS, of which no more are given.
// asking: the connection's ASKING, which holds for the next command.
void fake_pool_answer(struct fake_pool *p, int node, bool *asking, const struct fake_word *argv,
                      size_t argc, struct fake_buf *out);
void fake_pool_forget(struct fake_pool *p);
bool fake_pool_has(struct fake_pool *p, const char *id, size_t n);

#endif
