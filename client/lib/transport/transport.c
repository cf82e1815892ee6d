// SPDX-License-Identifier: Apache-2.0
#include "transport.h"

#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "tls.h"

enum {
    RECOVERED = 1000, // ms of service after which failures count from one again
    WATCH = 100,      // ms between two looks at a connection that owes replies
};

static void primary_opened(struct kvr_connection *l) {
    kvr_handshake_begin(l->owner);
}

static void primary_changed(struct kvr_connection *l) {
    struct kvr_handshake *h = l->owner;
    kvr_context_wake(h->context, 0);
}

static struct kvr_transport *transport_of(struct kvr_handshake *h) {
    return (struct kvr_transport *)(void *)((char *)h - offsetof(struct kvr_transport, handshake));
}

// ---- A primary comes and goes --------------------------------------------------------------------

static void primary_ready(struct kvr_connection *l) {
    struct kvr_transport *t = transport_of(l->owner);
    struct kvr_client_stats *stats = &t->context->stats;
    const struct kvr_server_facts *f = &t->handshake.facts;
    int64_t now = kvr_clock_ms(), gap = now - t->down_since;
    t->state = KVR_TRANSPORT_READY;
    t->ready_at = now;
    stats->connects++;
    if (t->ready_before) {
        stats->last_gap = gap;
        if (gap > stats->longest_gap) stats->longest_gap = gap;
    }
    kvr_discover_verified(&t->discovery, now);
    bool same = f->knows_history && t->knows_history && f->history == t->history;
    t->history = f->history;
    t->knows_history = f->knows_history;
    snprintf(t->why, sizeof t->why, "the primary has just been lost");
    t->events.ready(t->events.ctx, same);
    t->ready_before = true;
    kvr_context_wake(t->context, 0);
}

// The primary, or the way to it, has failed. The next try comes after a while.
static void fail(struct kvr_transport *t, const char *why, bool denied, int64_t now) {
    int64_t wait = 0;
    if (t->failures++) {
        wait = KVR_BACKOFF;
        for (unsigned i = 1; i < t->failures && wait < KVR_MAX_BACKOFF; i++)
            wait *= 2;
        wait = kvr_context_jitter(t->context, wait < KVR_MAX_BACKOFF ? wait : KVR_MAX_BACKOFF);
    }
    if (strcmp(t->why, why) != 0) kvr_context_log(t->context, KVR_LOG_INFO, "no primary: %s", why);
    snprintf(t->why, sizeof t->why, "%s", why);
    t->denied = denied;
    t->state = KVR_TRANSPORT_IDLE;
    t->retry_at = now + wait;
    if (!t->discovery.has_target) t->discovery.asking = false;
    kvr_context_wake(t->context, t->retry_at);
}

static void lose_primary(struct kvr_transport *t, int64_t now) {
    char why[sizeof t->primary.why];
    snprintf(why, sizeof why, "%s", t->primary.why);
    if (t->state == KVR_TRANSPORT_READY) {
        t->down_since = now;
        kvr_context_log(t->context, KVR_LOG_WARNING, "primary lost: %s", why);
        if (t->primary.builder.expected) kvr_handshake_note_stale(&t->handshake);
    }
    t->events.lost(t->events.ctx);
    kvr_connection_close(&t->discovery.guide); // it may have been checking
    kvr_subscription_close(&t->subscription);
    fail(t, why, t->state == KVR_TRANSPORT_HANDSHAKE && t->handshake.denied, now);
}

void kvr_transport_redirect(struct kvr_transport *t, const char *error, size_t n,
                            const struct kvr_reply_error *e) {
    if (e->action != KVR_REPLY_ELSEWHERE)
        kvr_discover_redirect(&t->discovery, error, n, e->action == KVR_REPLY_ASK);
    kvr_connection_fail(&t->primary, e->message);
}

// ---- Time ----------------------------------------------------------------------------------------

// A connection that is too slow in coming, or owes replies for too long, or says too much.
static void watch(struct kvr_transport *t, struct kvr_connection *l, bool handshake, int64_t now) {
    if (!l->ac || l->failed) return;
    if (handshake ? now - l->since >= t->topology.connect_timeout
                  : kvr_connection_pending(l) && now - l->received_at >= t->topology.timeout)
        kvr_connection_fail(l, "the server is silent");
    else if (kvr_connection_oversized(l))
        kvr_connection_fail(l, "a reply is too large");
}

void kvr_transport_watch(struct kvr_transport *t, int64_t now) {
    struct kvr_connection *guide = &t->discovery.guide;
    watch(t, guide, true, now);
    watch(t, &t->primary, t->state == KVR_TRANSPORT_HANDSHAKE, now);
    if (guide->failed) kvr_connection_close(guide);
    if (t->primary.failed) kvr_connection_close(&t->primary);
    if (t->state >= KVR_TRANSPORT_HANDSHAKE && !t->primary.ac) lose_primary(t, now);
}

static void look_for_primary(struct kvr_transport *t, int64_t now) {
    struct kvr_discovery *d = &t->discovery;
    if (t->state == KVR_TRANSPORT_IDLE && now >= t->retry_at && !d->guide.ac) {
        kvr_discover_begin(d);
        t->state = KVR_TRANSPORT_DISCOVERY;
    }
    if (t->state != KVR_TRANSPORT_DISCOVERY) return;
    switch (kvr_discover_step(d, now)) {
    case KVR_DISCOVER_PENDING:
        break;
    case KVR_DISCOVER_FOUND:
        d->has_target = false;
        t->state = KVR_TRANSPORT_HANDSHAKE;
        if (kvr_connection_start(&t->primary, &d->target, &t->means, now))
            fail(t, t->primary.why, false, now);
        break;
    case KVR_DISCOVER_FAILED:
        fail(t, d->why, false, now);
        break;
    }
}

void kvr_transport_step(struct kvr_transport *t, int64_t now) {
    if (t->state != KVR_TRANSPORT_READY) {
        look_for_primary(t, now);
        return;
    }
    if (now - t->ready_at >= RECOVERED) t->failures = 0;
    kvr_discover_check(&t->discovery, now);
    kvr_subscription_step(&t->subscription, &t->discovery.known, now);
}

static void sooner(int64_t *at, int64_t candidate) {
    if (candidate < *at) *at = candidate;
}

int64_t kvr_transport_wake_at(const struct kvr_transport *t, int64_t now) {
    const struct kvr_discovery *d = &t->discovery;
    int64_t at = KVR_NEVER;
    if (d->guide.failed || t->primary.failed) return now;
    if (d->guide.ac) sooner(&at, d->guide.since + t->topology.connect_timeout);
    switch (t->state) {
    case KVR_TRANSPORT_IDLE:
        sooner(&at, t->retry_at);
        break;
    case KVR_TRANSPORT_DISCOVERY:
        break;
    case KVR_TRANSPORT_HANDSHAKE:
        sooner(&at, t->primary.since + t->topology.connect_timeout);
        break;
    case KVR_TRANSPORT_READY:
        if (kvr_connection_pending(&t->primary)) {
            sooner(&at, t->primary.received_at + t->topology.timeout);
            sooner(&at, now + WATCH);
        }
        if (d->asking) sooner(&at, d->asking_until);
        if (t->topology.kind == KVR_TOPOLOGY_SENTINEL) sooner(&at, d->check_at);
        sooner(&at, kvr_subscription_wake_at(&t->subscription, now));
        break;
    }
    return at;
}

// ---- Opening and closing -------------------------------------------------------------------------

const char *kvr_transport_open(struct kvr_transport *t) {
    struct kvr_context *c = t->context;
    const char *wrong = "TLS";
    kvr_connection_init(&t->primary, &c->alloc, &t->handshake, primary_opened, primary_changed);
    kvr_discover_init(&t->discovery, c, &t->topology, &t->means, &t->primary);
    t->handshake = (struct kvr_handshake){.context = c,
                                          .topology = &t->topology,
                                          .discovery = &t->discovery,
                                          .connection = &t->primary,
                                          .done = primary_ready};
    t->subscription.context = c;
    t->subscription.topology = &t->topology;
    t->subscription.means = &t->means;
    kvr_subscription_init(&t->subscription);
    t->down_since = kvr_clock_ms();
    snprintf(t->why, sizeof t->why, "no primary has been reached yet");
    if (kvr_handshake_init(&t->handshake)) return "out of memory";
    if (!t->topology.tls) return NULL;
    t->means.tls = kvr_tls_new(&t->topology, &wrong);
    return t->means.tls ? NULL : wrong;
}

void kvr_transport_disconnect(struct kvr_transport *t) {
    kvr_connection_close(&t->primary);
    kvr_connection_close(&t->discovery.guide);
    kvr_subscription_close(&t->subscription);
}

void kvr_transport_free(struct kvr_transport *t) {
    if (!t->handshake.context) return; // it was never opened
    kvr_connection_free(&t->primary);
    kvr_discover_free(&t->discovery);
    kvr_subscription_free(&t->subscription);
    kvr_handshake_free(&t->handshake);
    kvr_tls_free(t->means.tls);
}
