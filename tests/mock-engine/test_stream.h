// SPDX-License-Identifier: Apache-2.0
// The other end of an engine's event stream: a subscriber, replays, and the cache that events describe.
#ifndef MOCK_TEST_STREAM_H
#define MOCK_TEST_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "test_process.h"

struct message {
    bool got;   // or it was silent
    bool topic; // a replay's reply with a frame for it
    uint64_t seq;
    char *payload;
    size_t len;
};

struct stream {
    void *zmq, *sub, *dealer;
    uint64_t seq; // of the last message that showed that the subscription stands
};

// Subscribes, and publishes empty batches until one arrives. Without events this is a replay client.
struct stream stream_open(const struct process *p, size_t rank, bool live);
void stream_close(struct stream *s);
struct message stream_next(struct stream *s, int ms); // waits so long
void stream_ask(struct stream *s, uint64_t from);
struct message stream_reply(struct stream *s, int ms);
void message_free(struct message *m);
bool message_is_end(const struct message *m); // a replay's end marker

// The cache as events tell it: the engine's names, and the prefix hashes recomputed from tokens.
struct fold_block {
    uint64_t name, prefix, seed;
    size_t copies; // with the GPU
    bool cpu;
};

struct fold {
    struct fold_block *blocks;
    size_t n, room;
    uint64_t next; // the batch that has to come now
    size_t cleared, unknown;
};

bool fold_batch(struct fold *f, const char *payload, size_t len); // false: it isn't well-formed
void fold_free(struct fold *f);
// Reads the stream up to the engine's last batch, every number of which must come in its turn.
void fold_follow(struct fold *f, struct stream *s, const struct process *p, size_t rank);
// The same by a replay from f->next.
void fold_replay(struct fold *f, struct stream *s);
// Fails the test unless the rank holds exactly this.
void fold_check(const struct fold *f, const struct process *p, size_t rank);
uint64_t rank_number(const struct process *p, size_t rank, const char *name); // of /mock/cache

#endif
