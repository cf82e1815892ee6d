// SPDX-License-Identifier: Apache-2.0
// The other end of an engine's event stream: a subscriber, replays, and the cache that events describe.
#ifndef MOCK_STREAM_H
#define MOCK_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mock_process.h"

struct mock_message {
    bool got;   // or it was silent
    bool topic; // a replay's reply with a frame for it
    uint64_t seq;
    char *payload;
    size_t len;
};

struct mock_stream {
    void *zmq, *sub, *dealer;
    uint64_t seq; // of the last message that showed that the subscription stands
};

// Subscribes, and publishes empty batches until one arrives. Without events this is a replay client.
struct mock_stream mock_stream_open(const struct mock_process *p, size_t rank, bool live);
void mock_stream_close(struct mock_stream *s);
struct mock_message mock_stream_next(struct mock_stream *s, int ms); // waits so long
void mock_stream_ask(struct mock_stream *s, uint64_t from);
struct mock_message mock_stream_reply(struct mock_stream *s, int ms);
void mock_message_free(struct mock_message *m);
bool mock_message_is_end(const struct mock_message *m); // a replay's end marker

// The cache as events tell it: the engine's names, and the prefix hashes recomputed from tokens.
struct mock_fold_block {
    uint64_t name, prefix, seed;
    size_t copies; // with the GPU
    bool cpu;
};

struct mock_fold {
    struct mock_fold_block *blocks;
    size_t n, room;
    uint64_t next; // the batch that has to come now
    size_t cleared, unknown;
};

bool mock_fold_batch(struct mock_fold *f, const char *payload,
                     size_t len); // false: it isn't well-formed
void mock_fold_free(struct mock_fold *f);
// Reads the stream up to the engine's last batch, every number of which must come in its turn.
void mock_fold_follow(struct mock_fold *f, struct mock_stream *s, const struct mock_process *p,
                      size_t rank);
// The same by a replay from f->next.
void mock_fold_replay(struct mock_fold *f, struct mock_stream *s);
// Fails the test unless the rank holds exactly this.
void mock_fold_check(const struct mock_fold *f, const struct mock_process *p, size_t rank);

// An engine, the stream of its rank 0, and what that has told.
struct mock_watch {
    struct mock_process engine;
    struct mock_stream stream;
    struct mock_fold told;
};

struct mock_watch mock_watch_start(const char *options, bool live);
void mock_watch_check(struct mock_watch *w); // follows it to its end: the rank holds exactly this
void mock_watch_end(struct mock_watch *w);

uint64_t mock_rank_number(const struct mock_process *p, size_t rank,
                          const char *name); // of /mock/cache

#endif
