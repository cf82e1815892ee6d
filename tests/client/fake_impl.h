// SPDX-License-Identifier: Apache-2.0
// Between the fake's two halves: fake.c listens and misbehaves, fake_pool.c knows the right answers.
#ifndef CLIENT_FAKE_IMPL_H
#define CLIENT_FAKE_IMPL_H

#include "fake.h"

enum { FAKE_NODES = 4, FAKE_WORDS = 64, FAKE_REQUESTS = 1024, FAKE_SLOT = 785 };

struct buf {
    char *p;
    size_t n, cap;
};
void buf_add(struct buf *b, const void *bytes, size_t n);
void buf_text(struct buf *b, const char *format, ...) __attribute__((format(printf, 2, 3)));

struct word {
    const char *p;
    size_t n;
};
bool word_is(struct word w, const char *text); // whatever the case

struct request {
    char id[260];
    size_t n;
};

struct pool { // what all the nodes answer from
    enum fake_kind kind;
    int ports[FAKE_NODES];
    struct fake_lies lies;
    int epoch; // of the Sentinels: grows when the primary changes
    bool exists;
    int64_t version;
    unsigned history; // goes into the ids that tell one history from another
    struct request live[FAKE_REQUESTS];
    size_t n_live;
};

// What node `node` says to a command. argc may be more than FAKE_WORDS, of which no more are given.
// asking: the connection's ASKING, which holds for the next command.
void pool_answer(struct pool *p, int node, bool *asking, const struct word *argv, size_t argc,
                 struct buf *out);
void pool_forget(struct pool *p);
bool pool_has(struct pool *p, const char *id, size_t n);

#endif
