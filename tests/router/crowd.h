// SPDX-License-Identifier: Apache-2.0
// Many clients at a time, in one process: requests to routers or engines, and what came of them.
#ifndef ROUTER_CROWD_H
#define ROUTER_CROWD_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>

#include "client/http1/h1_client.h"

struct crowd {
    struct event_base *base;
    struct h1_client *upstream;
    size_t open;    // requests without an end
    size_t talking; // of these, the ones of which something has come
};

struct caller {
    struct crowd *crowd;
    struct h1_call *call; // NULL: over
    struct evbuffer *answer;
    int status;    // 0: no head came
    bool complete; // the answer ended as it should
    bool heard;    // something of its body came
    char worker[140], overlap[24], expected[24], id[140], type[80];
};

void crowd_open(struct crowd *c);
void crowd_close(struct crowd *c);
void crowd_start(struct crowd *c, struct caller *who, int port, const char *path,
                 const char *headers, const char *body);
void crowd_run(struct crowd *c, int ms); // so long, or until all have an end
void crowd_finish(struct crowd *c);      // the test fails if that takes too long
void caller_leave(struct caller *who);   // closes the connection in the middle
char *caller_text(struct caller *who);   // the answer; to be freed
void caller_free(struct caller *who);
// One call, from its start to its end.
struct caller call_once(struct crowd *c, int port, const char *path, const char *headers,
                        const char *body);

#endif
