// SPDX-License-Identifier: Apache-2.0
// Routers, mock engines that they register, and clients: what tests of the proxy need.
#ifndef RTEST_FLEET_H
#define RTEST_FLEET_H

#include "rtest_clients.h"
#include "rtest_cluster.h"

// One more engine, which routers don't know and which doesn't wait: what it answers is what the others
// must have. There is none if a test takes all engines.
enum { RTEST_REFERENCE = RTEST_ENGINES - 1 };

// Redis if there is none yet, engines with these options, and routers with these flags (NULL at the end).
void rtest_fleet_up(int engines, const char *engine_options, int routers, const char *const *more);
void rtest_fleet_routers(int engines, int routers, const char *const *more); // the routers alone
// Until the router, which is ready with its first worker, knows so many; the others may come with the next look.
void rtest_await_workers(int router, int engines);
// Until so many engines have said what they serve: only then the router knows of which kind each is, and so how a
// stream of its can go on elsewhere.
void rtest_await_asked(int router, int engines);
// Routers that still live end well, and have nothing left that a sanitizer would find.
void rtest_fleet_down(void);
void rtest_await(bool (*holds)(void), const char *what);
bool rtest_nothing_booked(void);

void rtest_fault(int engine, const char *query);
int rtest_engine_metric(int engine, const char *name);    // vllm:NAME of rank 0; −1: no answer
double rtest_router_metric(int router, const char *name); // with its labels; −1: it isn't there
int rtest_failed_tries(int router);                       // of all engines

char *rtest_chat(const char *text, int tokens, bool stream); // a body; to be freed
struct rtest_client rtest_ask(int router, const char *text, int tokens, bool stream);
void rtest_ask_well(int router, const char *text, int tokens, bool stream); // it must be answered
// Slow streams over all routers, until all of them have begun.
void rtest_slow_streams(struct rtest_client *who, size_t n, char **bodies, int routers, int tokens);
// Compares with the reference; those that `left_out` says (every third from it on, −1: none) broke off.
// Frees the answers and the bodies.
void rtest_check_answers(struct rtest_client *who, char **bodies, int n, int left_out);
bool rtest_same_answer(struct rtest_client *a, struct rtest_client *b);
bool rtest_answer_has(struct rtest_client *who, const char *text);
bool rtest_answer_ends(struct rtest_client *who, const char *text);

#endif
