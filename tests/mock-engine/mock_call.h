// SPDX-License-Identifier: Apache-2.0
// A request whose answer takes time, from its arrival to its end, whoever ends it.
//
// libevent reads nothing from a connection whose request is being answered, so it wouldn't see the
// client go; and its HTTP layer ends the program if bytes come while it doesn't expect any. So
// reading is off during a call, and a second event waits for the connection's end alone.
#ifndef MOCK_CALL_H
#define MOCK_CALL_H

#include "mock_engine.h"

struct mock_call {
    struct mock_engine *mock;
    struct evhttp_request *request;
    struct event *closed, *kill;
    struct mock_call *prev, *next;
    void (*gone)(
        struct mock_call *); // the client went, or the call was killed: ends what works for it
    void *work;
    bool gently;
};

struct mock_call *mock_call_open(struct mock_engine *m, struct evhttp_request *request,
                                 void (*gone)(struct mock_call *), void *work);
// The answer is about to be finished: only the request is left, with whoever calls.
struct evhttp_request *mock_call_close(struct mock_call *c);
// Ends the connection soon, after all that was written has left. gently: closed instead of reset.
void mock_call_kill(struct mock_call *c, bool gently);
void mock_calls_end(struct mock_engine *m); // resets the connections of all, now

#endif
