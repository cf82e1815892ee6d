// SPDX-License-Identifier: Apache-2.0
#include "publisher_stream.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void kvr_publisher_log(struct kvr_publisher *p, enum kvr_level level, const char *format, ...) {
    char line[320];
    int n = snprintf(line, sizeof line, "publisher ");
    for (size_t i = 0; i < p->worker_n && i < 64; i++)
        line[n++] = p->worker[i] > ' ' && p->worker[i] < 127 ? p->worker[i] : '?';
    n += snprintf(line + n, sizeof line - (size_t)n, ":%u: ", (unsigned)p->rank);
    va_list args;
    va_start(args, format);
    vsnprintf(line + n, sizeof line - (size_t)n, format, args);
    va_end(args);
    p->port.log(p->port.handle, level, line);
}

int64_t kvr_publisher_now(const struct kvr_publisher *p) {
    return p->port.now(p->port.handle);
}

// 31 random bits.
static uint64_t draw(struct kvr_publisher *p) {
    p->random = p->random * 6364136223846793005u + 1442695040888963407u;
    return p->random >> 33;
}

int64_t kvr_publisher_backoff(struct kvr_publisher *p, unsigned times, int64_t first, int64_t max) {
    int64_t ms = times < 16 && first << times < max ? first << times : max;
    return ms / 2 + (int64_t)(draw(p) % (uint64_t)ms);
}

// ---- Epochs --------------------------------------------------------------------------------------

// The time, or where clocks are behind, not quite the next number: somebody else may have heard of the
// same epoch just now, and two publishers in one epoch would take each other's events for their own.
bool kvr_publisher_next_epoch(struct kvr_publisher *p, uint64_t at_least) {
    uint64_t date = p->port.date(p->port.handle), step = draw(p) % 1024;
    if (at_least > INT64_MAX) return false;
    if (date >= at_least && date <= INT64_MAX)
        p->epoch = date;
    else
        p->epoch = step < INT64_MAX - at_least ? at_least + step : at_least;
    return true;
}

void kvr_publisher_void(struct kvr_publisher *p, enum kvr_stream_state state) {
    p->state = state;
    kvr_ring_empty(&p->ring);
    kvr_ops_empty(&p->batch);
    p->due = KVR_NEVER;
    p->walk.at = 0;
    p->walking = p->probe = false;
    p->next = 1;
    p->sent = p->acked = p->spent = p->counted = p->hunt_end = p->walk_end = 0;
    p->trouble = KVR_CODE_OK;
}

void kvr_publisher_renew(struct kvr_publisher *p, const char *why) {
    if (p->state != KVR_STREAM_RUNNING) return;
    kvr_publisher_void(p, KVR_STREAM_ANEW);
    kvr_publisher_log(p, KVR_LOG_INFO, "everything is published anew: %s", why);
    p->not_before = 0;
    if (p->renewals)
        p->not_before =
            kvr_publisher_now(p) +
            kvr_publisher_backoff(p, p->renewals - 1, KVR_RENEW_PAUSE, KVR_MAX_RENEW_PAUSE);
    p->renewals++;
}

// ---- Events --------------------------------------------------------------------------------------

void kvr_publisher_seal(struct kvr_publisher *p) {
    // An epoch has at least one event, or the pool would keep what it had.
    if (!p->batch.n && !kvr_ring_made(&p->ring) && !p->walk.at &&
        kvr_ops_cleared(&p->batch, KVR_ALL_TIERS)) {
        kvr_publisher_renew(p, "out of memory");
        return;
    }
    p->due = KVR_NEVER;
    if (!p->batch.n) return;
    uint64_t *words =
        kvr_ring_insert(&p->ring, kvr_ring_made(&p->ring) + 1, p->batch.n, p->batch.blocks);
    if (!words) {
        kvr_publisher_renew(p, "out of memory");
        return;
    }
    memcpy(words, p->batch.words, p->batch.n * sizeof *words);
    kvr_ops_empty(&p->batch);
    kvr_ring_trim(&p->ring, p->acked, p->ring_bytes);
    if (p->ring.bytes > p->ring_bytes && p->ring.n > 1)
        kvr_publisher_renew(p, "more has changed than is kept to be sent");
}
