// SPDX-License-Identifier: Apache-2.0
// ABANDONED and DONE: what a request has is let go of, here and nowhere else.
#ifndef ROUTER_CLEANUP_H
#define ROUTER_CLEANUP_H

struct router_request;

// All but the request itself: the pool's answer is still to come.
void router_cleanup_abandoned(struct router_request *r);
void router_cleanup_done(struct router_request *r);

#endif
