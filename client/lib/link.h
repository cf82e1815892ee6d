// SPDX-License-Identifier: Apache-2.0
// One connection, on the handle's event loop.
//
// hiredis frees a connection by itself when it breaks, and must not be asked to free one inside some
// of its callbacks. So nothing here frees one but link_close, and that is called from the handle's
// timer alone; whoever finds a connection wanting dooms it, and it counts as closed from then on.
#ifndef KVR_LIB_LINK_H
#define KVR_LIB_LINK_H

#include <hiredis/async.h>

#include "parse.h"
#include "url.h"

struct link {
    void *owner;
    void (*opened)(struct link *l);  // connected: the first commands can go
    void (*changed)(struct link *l); // closed or doomed: somebody should look, from the timer
    redisAsyncContext *ac;           // NULL: closed
    struct parse parse;
    struct address address;
    bool open, doomed;
    int64_t since; // ms, when connecting began
    int64_t heard; // ms, when it last kept us waiting no more
    char why[128]; // it closed or was doomed
};

// What a link needs of its handle.
struct link_means {
    const struct kvr_loop *loop;
    void *tls; // NULL: plain
};

void link_init(struct link *l, const struct kvr_alloc *a, void *owner,
               void (*opened)(struct link *), void (*changed)(struct link *));
// Begins to connect; l is closed. 0, or -1 with why.
int link_start(struct link *l, const struct address *to, const struct link_means *means,
               int64_t now);
// Sends a command (encoded). fn gets its reply, or NULL when the link breaks before. 0 or -1.
int link_send(struct link *l, const char *command, size_t n, redisCallbackFn *fn, void *ctx);
// The same of a few words (split at spaces) and further arguments, of which empty ones are left out.
int link_words(struct link *l, redisCallbackFn *fn, void *ctx, const char *words,
               const char *const *more, size_t n_more);
void link_doom(struct link *l, const char *why);
// A reply has come: fn's of link_send call this first. false: it is to be treated as none.
bool link_heard(struct link *l, const void *reply, int64_t now);
static inline bool link_usable(const struct link *l) {
    return l->ac && l->open && !l->doomed;
}
size_t link_owed(const struct link *l);  // replies to come
bool link_swollen(const struct link *l); // it holds more of an unfinished reply than any has
void link_close(struct link *l);         // from the timer alone
void link_free(struct link *l);          // after link_close

#endif
