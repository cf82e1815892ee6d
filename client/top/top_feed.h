// SPDX-License-Identifier: Apache-2.0
// Asks pools how they are, again and again, and keeps the view. A handle of the library for each pool: these find the primary
// again when it goes.
//
// A round is one look at a pool. The next one begins when it is time and the last one is answered, so that a slow server is
// asked less, not more. What the server's ACL refuses isn't asked again until another server answers.
#ifndef TOP_FEED_H
#define TOP_FEED_H

#include <event2/event.h>

#include "top_view.h"

struct top_feed;

// Called when something has changed; where a list of workers has, the pointers into the old one are gone.
typedef void top_changed(void *ctx);

// The base, the config and the view must outlive it. NULL with a reason: the URL is wrong, or there is no memory.
struct top_feed *top_feed_new(struct event_base *base, const struct top_config *c,
                              struct top_view *v, top_changed *changed, void *ctx, char *error,
                              size_t error_size);
void top_feed_free(struct top_feed *f); // may be NULL
// Of this pool (an index of the view's) everything is asked, of the others only INFO; TOP_MAX_POOLS: everything of all.
void top_feed_watch(struct top_feed *f, size_t pool);
// Whether it is asked, too, whom the pool would choose now.
void top_feed_explain(struct top_feed *f, bool on);
void top_feed_pause(struct top_feed *f, bool paused);
// How many rounds each pool has had, the one that has had least; 0 while there is none.
unsigned top_feed_rounds(const struct top_feed *f);
// Whether the pools have been looked for, if they had to be.
bool top_feed_searched(const struct top_feed *f);

#endif
