// SPDX-License-Identifier: Apache-2.0
// What is said to a pool without waiting for its answer. A handle that takes no more calls (too many are
// under way, or there is no memory) says so at once: then a release is owed, and made again with every look
// at the pool, since a booking that nobody ends weighs on its worker until its lease is over. Everything
// else is said again in time by who says it, or isn't worth it, and is only counted.
#ifndef ROUTER_OWED_H
#define ROUTER_OWED_H

#include <kvroute/client.h>

struct pool;
struct owed;

void owed_release(struct pool *p, struct kvr_bytes id);
void owed_pay(struct pool *p);                       // as far as the handle takes it
void owed_count(struct pool *p, enum kvr_code code); // of a call that nobody waits for
void owed_forget(struct pool *p);                    // the pool ends

#endif
