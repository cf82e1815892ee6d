// SPDX-License-Identifier: Apache-2.0
// What a publisher uses of a handle: events that are sent until they are answered, news of other
// histories, and time.
#ifndef KVR_LIB_HANDLE_H
#define KVR_LIB_HANDLE_H

#include <kvroute/client.h>

#include "wire.h"

#define NEVER INT64_MAX

// Something that lives on a handle and follows what becomes of it. Its callbacks come out of the
// handle's timer, never out of a call that the follower itself has made.
struct follower {
    struct follower *prev, *next; // the handle's
    int64_t wake_at;              // handle_wake(); NEVER: not at all
    // The pool that answers from now on may lack what had been acknowledged.
    void (*history)(struct follower *f);
    // wake_at is over; it has been set to NEVER.
    void (*wake)(struct follower *f, int64_t now);
};

void handle_follow(struct kvr_client *c, struct follower *f);
void handle_unfollow(struct kvr_client *c, struct follower *f);
void handle_wake(struct kvr_client *c, struct follower *f, int64_t at); // 0: as soon as possible
int64_t handle_now(const struct kvr_client *c);                         // ms, monotonic
const struct kvr_alloc *handle_alloc(const struct kvr_client *c);
struct kvr_bytes handle_pool(const struct kvr_client *c); // the key
void handle_log(struct kvr_client *c, enum kvr_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Sends an EVENT command (the whole of it, encoded) as soon as there is a primary, and again after
// every failure, in the order of the calls: it has no deadline, and max_pending doesn't hold for it.
// Takes over the command's memory when it returns KVR_CODE_OK; else NOMEM, and it is the caller's.
// done gets the pool's answer, or CLOSED.
enum kvr_code handle_send(struct kvr_client *c, struct command *command, kvr_done *done, void *ctx);
// No callback with this ctx comes any more; what isn't on its way is dropped, and the rest isn't sent again.
void handle_detach(struct kvr_client *c, void *ctx);

#endif
