// SPDX-License-Identifier: Apache-2.0
// Workers that a pool no longer lists. One that comes back soon is the same engine (a pool that was emptied is told
// of its engines anew), and what this router knows of it isn't lost.
#ifndef ROUTER_ABSENT_H
#define ROUTER_ABSENT_H

#include <stddef.h>

struct router_worker;
struct absent_worker;

struct router_absent {         // all 0: none
    struct absent_worker *all; // by name; none is listed, none twice
    size_t n;
};

// The pool lists these now, by name. What was there before (in any order) and isn't now is kept, what is back is
// dropped here. Without memory it is forgotten.
void router_absent_update(struct router_absent *a, struct router_worker *now, size_t n_now,
                          const struct router_worker *before, size_t n_before);
// As it was last listed; NULL: it isn't known, or was for too long ago.
const struct router_worker *router_absent_find(const struct router_absent *a, const char *name);
void router_absent_close(struct router_absent *a);

#endif
