// SPDX-License-Identifier: Apache-2.0
// An event with some of its values replaced and some of its members left out; all other bytes stay as they are.
#ifndef ROUTER_REWRITE_H
#define ROUTER_REWRITE_H

#include <event2/buffer.h>

#include "router_event.h"

enum { ROUTER_MAX_REWRITES = 20 };

struct router_rewrites {
    struct router_rewrite {
        size_t from, to;  // of the event's text
        const char *with; // NULL: a member that is left out
        size_t n;
        char number[24];
    } all[ROUTER_MAX_REWRITES];
    size_t n;
};

// A field that isn't there stays so. `with` has to stay until the rewrites are applied.
void router_rewrite_remove(struct router_rewrites *w, const struct router_event *e,
                           enum router_event_field f);
void router_rewrite_set(struct router_rewrites *w, const struct router_event *e,
                        enum router_event_field f, const char *with, size_t n);
void router_rewrite_set_number(struct router_rewrites *w, const struct router_event *e,
                               enum router_event_field f, int64_t number);
// `size` bytes at `whole`, in which the n bytes of the event's JSON are, rewritten, to the end of `out`. False: no
// memory; some may be there.
bool router_rewrite_apply(struct router_rewrites *w, const struct router_event *e,
                          const char *whole, size_t size, size_t n, struct evbuffer *out);

#endif
