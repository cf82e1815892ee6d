// SPDX-License-Identifier: Apache-2.0
// A real pool whose instances have room for one request each, engines that answer when a test says so, and
// routers before them: so a test decides who waits and when room comes, and no clock does.
#ifndef ROUTER_TEST_WAITING_H
#define ROUTER_TEST_WAITING_H

#include "rtest_fleet.h"

enum { RTEST_HOLDERS = 2 };

// Engines are the workers w0 and w1 of the pool `kvroute`. more: flags of the routers, NULL at the end.
void rtest_waiting_up(int engines, int routers, const char *const *more);
void rtest_waiting_router(int i, const char *const *more);
void rtest_waiting_down(void);
void rtest_waiting_worker(int engine); // registers it
void rtest_waiting_say(const char *format, ...) __attribute__((format(printf, 1, 2))); // a command

// Begins a request to a router; `id` is its X-Request-Id, `headers` (may be NULL) go with it.
void rtest_waiting_start(struct rtest_client *who, int router, const char *id, const char *headers);
void rtest_waiting_start_body(struct rtest_client *who, int router, const char *id,
                              const char *headers, const char *body);
// Until an engine has that request, or so many wait in the pool; the test fails if it doesn't come to that.
void rtest_waiting_await_held(const char *id);
void rtest_waiting_await_waiting(long long n);
bool rtest_waiting_is_held(const char *id);
// The engine answers it well, or breaks off.
void rtest_waiting_answer(const char *id);
void rtest_waiting_break(const char *id);
size_t rtest_waiting_seen(const char *id); // times that engines have got it
// Until the client has the whole answer: with this status, and, of an error, this code.
void rtest_waiting_expect(struct rtest_client *who, int status, const char *code);

#endif
