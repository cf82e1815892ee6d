// SPDX-License-Identifier: Apache-2.0
// One connection, on the handle's event loop.
//
// hiredis frees a connection by itself when it breaks, and must not be asked to free one inside some
// of its callbacks. So nothing here frees one but kvr_connection_close, and that is called from the handle's
// timer alone; whoever finds a connection wanting fails it, and it counts as closed from then on.
#ifndef KVR_TRANSPORT_CONNECTION_H
#define KVR_TRANSPORT_CONNECTION_H

#include <hiredis/async.h>

#include "reply_builder.h"
#include "url.h"

struct kvr_connection {
    void *owner;
    void (*opened)(struct kvr_connection *l);  // connected: the first commands can go
    void (*changed)(struct kvr_connection *l); // closed or failed: the timer should look
    redisAsyncContext *ac;                     // NULL: closed
    void *tls;                                 // its session; NULL: plain, or closed
    struct kvr_reply_builder builder;
    struct kvr_address address;
    bool open, failed;
    int64_t since;       // ms, when connecting began
    int64_t received_at; // ms, when the last reply came, or when waiting for one began
    char why[128];       // it closed or failed
};

// What a connection is made with.
struct kvr_connection_means {
    const struct kvr_loop *loop;
    void *tls; // NULL: plain
};

void kvr_connection_init(struct kvr_connection *l, const struct kvr_alloc *a, void *owner,
                         void (*opened)(struct kvr_connection *),
                         void (*changed)(struct kvr_connection *));
// Begins to connect; l is closed. 0, or -1 with why.
int kvr_connection_start(struct kvr_connection *l, const struct kvr_address *to,
                         const struct kvr_connection_means *means, int64_t now);
// Sends a command (encoded). fn gets its reply, or NULL when the connection breaks before. 0 or -1.
int kvr_connection_send(struct kvr_connection *l, const char *command, size_t n,
                        redisCallbackFn *fn, void *ctx);
// The same of a few words (split at spaces) and further arguments, of which empty ones are left out.
int kvr_connection_send_words(struct kvr_connection *l, redisCallbackFn *fn, void *ctx,
                              const char *words, const char *const *more, size_t n_more);
void kvr_connection_fail(struct kvr_connection *l, const char *why);
// A reply has come: fn's of kvr_connection_send call this first. false: it is to be treated as none.
bool kvr_connection_received(struct kvr_connection *l, const void *reply, int64_t now);
static inline bool kvr_connection_usable(const struct kvr_connection *l) {
    return l->ac && l->open && !l->failed;
}
size_t kvr_connection_pending(const struct kvr_connection *l); // replies to come
// It holds more of an unfinished reply than any has.
bool kvr_connection_oversized(const struct kvr_connection *l);
void kvr_connection_close(struct kvr_connection *l); // from the timer alone
void kvr_connection_free(struct kvr_connection *l);  // after kvr_connection_close

#endif
