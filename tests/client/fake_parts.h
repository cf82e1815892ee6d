// SPDX-License-Identifier: Apache-2.0
// What the fake is made of: buffers of replies, the words of a command, a pool and its live requests.
#ifndef FAKE_PARTS_H
#define FAKE_PARTS_H

#include "fake_server.h"

enum {
    FAKE_NODES = 4,
    FAKE_WORDS = 64,
    FAKE_REQUESTS = 1024,
    FAKE_WAITING = 2048,
    FAKE_SLOT = 785
};

struct fake_buf {
    char *p;
    size_t n, cap;
};
void fake_buf_add(struct fake_buf *b, const void *bytes, size_t n);
void fake_buf_text(struct fake_buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void fake_buf_bulk(struct fake_buf *b, const char *text);
// "name 7 name 'text": numbers as they are, text behind a quote. Neither has spaces.
void fake_buf_fields(struct fake_buf *b, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

struct fake_word {
    const char *p;
    size_t n;
};
bool fake_word_is(struct fake_word w, const char *text); // whatever the case

struct fake_request {
    char id[260];
    size_t n;
    bool uncalled; // admitted, and its owner hasn't come yet
    int64_t by;    // ms, when it ends unless he does
};

struct fake_waiter { // for room
    char id[260], channel[64];
    size_t n;
    int64_t ms, until;
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
    // Room, and who waits for it; see fake_queue.h.
    bool limited;
    size_t room; // live requests
    int64_t accept;
    unsigned lose; // percent of what is published
    uint64_t random;
    struct fake_waiter waiting[FAKE_WAITING];
    size_t n_waiting;
    uint64_t enqueued, admitted, unclaimed;
    void (*publish)(void *publisher, const char *channel, const char *id, size_t n);
    void *publisher;
};

struct fake_request *fake_request_find(struct fake_pool *p,
                                       struct fake_word id);      // NULL: it isn't live
bool fake_request_book(struct fake_pool *p, struct fake_word id); // false: it is live already
bool fake_request_drop(struct fake_pool *p, struct fake_word id); // false: it isn't live

#endif
