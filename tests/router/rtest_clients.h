// SPDX-License-Identifier: Apache-2.0
// Many clients at a time, in one process: requests to routers or engines, and what came of them.
#ifndef RTEST_CLIENTS_H
#define RTEST_CLIENTS_H

#include <event2/buffer.h>
#include <stdbool.h>
#include <stddef.h>

#include "client/http1/h1_client.h"
#include "tests/support/support_http.h"

struct rtest_clients {
    struct event_base *base;
    struct h1_client *upstream;
    size_t open;    // requests without an end
    size_t talking; // of these, the ones of which something has come
};

extern struct rtest_clients rtest_callers;

struct rtest_client {
    struct h1_call *call; // NULL: over
    struct evbuffer *answer;
    int status;    // 0: no head came
    bool complete; // the answer ended as it should
    bool heard;    // something of its body came
    char worker[140], prefill[140], overlap[24], expected[24], waited[24], retry_after[24], id[140],
        type[80], kept[80];
};

void rtest_clients_open(void);
void rtest_clients_close(void);
// A body is JSON unless the headers say what it is.
void rtest_client_start(struct rtest_client *who, int port, const char *path, const char *headers,
                        const char *body);
void rtest_clients_run(int ms);  // so long, or until all have an end; without a loop it only waits
void rtest_clients_finish(void); // the test fails if that takes too long
void rtest_client_leave(struct rtest_client *who); // closes the connection in the middle
char *rtest_client_text(struct rtest_client *who); // the answer; to be freed
void rtest_client_free(struct rtest_client *who);
// One call, from its start to its end.
struct rtest_client rtest_client_call(int port, const char *path, const char *headers,
                                      const char *body);
// The answer on a socket while the loop runs, for those that a server in this process makes (support_http_response
// alone would keep that server waiting).
struct support_response rtest_clients_answer(int fd, bool head_only);

#endif
