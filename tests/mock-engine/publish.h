// SPDX-License-Identifier: Apache-2.0
// The event stream of one rank: a PUB socket, a ROUTER that replays from a buffer, and what can go
// wrong with both.
//
// A batch takes the next sequence number and goes out as three frames: topic, number, payload. What
// goes wrong is ordered by count: the next n batches, or the next n replays, are treated so. If
// several things are due, the one that is first in the list happens.
#ifndef MOCK_PUBLISH_H
#define MOCK_PUBLISH_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum publish_fault {
    FAULT_HOLE,           // the number is used up; neither sent nor in the buffer
    FAULT_POISON,         // cut in half, in the buffer too
    FAULT_MALFORMED,      // cut in half; the buffer has it whole
    FAULT_DROP,           // not sent; the buffer has it
    FAULT_REORDER,        // held until all n are there, then sent last first
    FAULT_DUPLICATE,      // sent twice
    FAULT_REPLAY_MUTE,    // a replay isn't answered
    FAULT_REPLAY_GAP,     // every third batch is missing in the answer
    FAULT_REPLAY_UNENDED, // the end marker is missing
    N_PUBLISH_FAULTS,
};

struct publish_config {
    const char *topic;
    size_t buffer;     // batches, >= 1
    int replay_hwm;    // as ZMQ_SNDHWM
    bool replay_topic; // a frame for the topic in replies
};

struct publisher;

// Endpoints are complete, with the rank's port; replay may be NULL. NULL: errno says why not.
// config must outlive the publisher, which copies the endpoints.
struct publisher *publisher_new(struct event_base *base, void *zmq,
                                const struct publish_config *config, const char *endpoint,
                                bool connect, const char *replay);
void publisher_free(struct publisher *p);
// The payload is copied.
void publisher_send(struct publisher *p, const void *payload, size_t len);
uint64_t publisher_next(const struct publisher *p); // the number of the next batch
size_t publisher_held(const struct publisher *p);   // batches made and not sent yet
void publisher_fault(struct publisher *p, enum publish_fault fault, size_t n);
// Nothing is sent and no replay answered until it ends; then all that has been waiting.
void publisher_hang(struct publisher *p, bool hangs);
void publisher_settle(struct publisher *p); // no fault is due any more; what is held is sent
// As a new process: the next number is 0, the buffer empty, what was held gone. rebind: the sockets
// are closed and opened anew, which subscribers see as a connection lost.
void publisher_restart(struct publisher *p, bool rebind);

#endif
