// SPDX-License-Identifier: Apache-2.0
// What all parts of a handle share: memory, chance, the log, the timer, the statistics.
#ifndef KVR_TRANSPORT_CONTEXT_H
#define KVR_TRANSPORT_CONTEXT_H

#include <kvroute/client.h>

#define KVR_NEVER INT64_MAX // a time that doesn't come

struct kvr_context {
    struct kvr_alloc alloc;
    const char *pool;                                               // the key
    uint64_t random;                                                // a secret at first
    void (*log)(void *ctx, enum kvr_level level, const char *line); // the caller's; may be NULL
    void *log_ctx;
    void (*wake)(void *handle, int64_t at);
    void *handle;
    // The caller's functions on the stack, those of the log among them: each of them may ask to close the
    // handle, so it must be there when they return.
    unsigned callbacks;
    bool in_tick;                  // it sets the timer at its end
    struct kvr_client_stats stats; // the counters
};

int64_t kvr_context_jitter(struct kvr_context *c, int64_t ms); // half to one and a half of it
void kvr_context_wake(struct kvr_context *c, int64_t at);      // the tick comes not later than this
void kvr_context_log(struct kvr_context *c, enum kvr_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
