// SPDX-License-Identifier: Apache-2.0
// A request whose answer takes time, from its arrival to its end, whoever ends it.
//
// libevent reads nothing from a connection whose request is being answered, so it wouldn't see the
// client go; and its HTTP layer ends the program if bytes come while it doesn't expect any. So
// reading is off during a call, and a second event waits for the connection's end alone.
#ifndef MOCK_CALL_H
#define MOCK_CALL_H

#include "mock.h"

struct call {
    struct mock *mock;
    struct evhttp_request *request;
    struct event *closed, *kill;
    struct call *prev, *next;
    void (*gone)(struct call *); // the client went, or the call was killed: ends what works for it
    void *work;
    bool gently;
};

struct call *call_open(struct mock *m, struct evhttp_request *request, void (*gone)(struct call *),
                       void *work);
// The answer is about to be finished: only the request is left, with whoever calls.
struct evhttp_request *call_close(struct call *c);
// Ends the connection soon, after all that was written has left. gently: closed instead of reset.
void call_kill(struct call *c, bool gently);
void calls_end(struct mock *m); // resets the connections of all, now

#endif
