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

enum mock_publish_fault {
    MOCK_FAULT_HOLE,           // the number is used up; neither sent nor in the buffer
    MOCK_FAULT_POISON,         // cut in half, in the buffer too
    MOCK_FAULT_MALFORMED,      // cut in half; the buffer has it whole
    MOCK_FAULT_DROP,           // not sent; the buffer has it
    MOCK_FAULT_REORDER,        // held until all n are there, then sent last first
    MOCK_FAULT_DUPLICATE,      // sent twice
    MOCK_FAULT_REPLAY_MUTE,    // a replay isn't answered
    MOCK_FAULT_REPLAY_GAP,     // every third batch is missing in the answer
    MOCK_FAULT_REPLAY_UNENDED, // the end marker is missing
    MOCK_N_PUBLISH_FAULTS,
};

struct mock_publish_config {
    const char *topic;
    size_t buffer;     // batches, >= 1
    int replay_hwm;    // as ZMQ_SNDHWM
    bool replay_topic; // a frame for the topic in replies
};

struct mock_publisher;

// Endpoints are complete, with the rank's port; replay may be NULL. NULL: errno says why not.
// config must outlive the publisher, which copies the endpoints.
struct mock_publisher *mock_publisher_new(struct event_base *base, void *zmq,
                                          const struct mock_publish_config *config,
                                          const char *endpoint, bool connect, const char *replay);
void mock_publisher_free(struct mock_publisher *p);
// The payload is copied.
void mock_publisher_send(struct mock_publisher *p, const void *payload, size_t len);
uint64_t mock_publisher_next(const struct mock_publisher *p); // the number of the next batch
size_t mock_publisher_held(const struct mock_publisher *p);   // batches made and not sent yet
void mock_publisher_fault(struct mock_publisher *p, enum mock_publish_fault fault, size_t n);
// Nothing is sent and no replay answered until it ends; then all that has been waiting.
void mock_publisher_hang(struct mock_publisher *p, bool hangs);
void mock_publisher_settle(
    struct mock_publisher *p); // no fault is due any more; what is held is sent
// As a new process: the next number is 0, the buffer empty, what was held gone. rebind: the sockets
// are closed and opened anew, which subscribers see as a connection lost.
void mock_publisher_restart(struct mock_publisher *p, bool rebind);

#endif
