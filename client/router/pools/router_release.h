// SPDX-License-Identifier: Apache-2.0
// Releases that nobody waits for, and those that have to be tried again.
//
// A libkvroute handle may refuse a call: too many are under way, or there is no memory. A booking that is
// never released weighs on its worker until its lease ends, so a refused release is kept and tried again at
// every refresh of the pool.
#ifndef ROUTER_RELEASE_H
#define ROUTER_RELEASE_H

#include <kvroute/client.h>

struct router_refused_release;

struct router_releases { // all 0 at first
    struct router_refused_release *first;
};

// What the handle said to it; if it was FULL or NOMEM, the release is kept here.
enum kvr_code router_release_send(struct router_releases *r, struct kvr_client *client,
                                  struct kvr_bytes id);
void router_release_retry(struct router_releases *r, struct kvr_client *client);
void router_release_drop(struct router_releases *r); // the pool closes

#endif
