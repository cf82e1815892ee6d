// SPDX-License-Identifier: Apache-2.0
#include "publisher_send.h"

#include "publisher_refusal.h"
#include "publisher_walk.h"

// ---- Epochs --------------------------------------------------------------------------------------

static void supersede(struct kvr_publisher *p, const char *why) {
    kvr_publisher_void(p, KVR_STREAM_SUPERSEDED);
    kvr_publisher_log(p, KVR_LOG_WARNING, "stops: %s", why);
}

static void begin_epoch(struct kvr_publisher *p) {
    uint64_t last = p->epoch > p->foreign ? p->epoch : p->foreign;
    if (!kvr_publisher_next_epoch(p, last + 1)) {
        supersede(p, "there is no epoch left above the pool's");
        return;
    }
    p->state = KVR_STREAM_RUNNING;
    if (!++p->round) { // all numbers have been had
        kvr_held_untell(&p->held);
        p->round = 1;
    }
    p->acked_once = false;
    p->stats.republished++;
    kvr_held_forgive_all(&p->held);
    kvr_publisher_walk_begin(p, &p->walk, 0);
    p->walking = true;
}

// Walks until there is another event, or the walk is over.
static void walk_on(struct kvr_publisher *p) {
    uint64_t made = kvr_ring_made(&p->ring);
    while (p->state == KVR_STREAM_RUNNING && p->walk.at && kvr_ring_made(&p->ring) == made)
        kvr_publisher_walk_step(p, &p->walk);
    if (p->state != KVR_STREAM_RUNNING || p->walk.at) return;
    kvr_publisher_seal(p);
    p->walking = false;
    p->walk_end = kvr_ring_made(&p->ring);
}

// ---- Sending -------------------------------------------------------------------------------------

static void event_done(void *ctx, const struct kvr_result *r);

static struct kvr_event_sending *free_flight(struct kvr_publisher *p) {
    unsigned i = 0;
    while (p->flights[i].busy)
        i++;
    return &p->flights[i];
}

static bool send_event(struct kvr_publisher *p, uint64_t seq) {
    const struct kvr_ring_event *e = kvr_ring_at(&p->ring, seq);
    struct kvr_wire w;
    struct kvr_command command;
    kvr_wire_begin(&w, p->port.alloc);
    kvr_wire_expect(&w, e->n * sizeof *e->words);
    kvr_wire_word(&w, "KVROUTE.EVENT");
    kvr_wire_bytes(&w, p->port.pool);
    kvr_wire_arg(&w, p->worker, p->worker_n);
    kvr_wire_u64(&w, p->rank);
    kvr_wire_u64(&w, p->epoch);
    kvr_wire_u64(&w, seq);
    kvr_ops_encode(&w, e->words, e->n);
    if (!kvr_wire_end(&w, &command)) return false;
    struct kvr_event_sending *f = free_flight(p);
    *f = (struct kvr_event_sending){p, true, seq <= p->sent, seq, command.n};
    if (p->port.send(p->port.handle, &command, event_done, f) != KVR_CODE_OK) {
        f->busy = false;
        kvr_command_release(p->port.alloc, &command);
        return false;
    }
    p->under_way++;
    p->bytes_under_way += f->bytes;
    p->probe = false;
    p->stats.resent += f->again;
    if (!f->again) p->sent = seq;
    return true;
}

static bool has_room(const struct kvr_publisher *p) {
    unsigned window = p->hunt_end ? 1 : KVR_EVENT_WINDOW;
    return p->under_way < window && (!p->under_way || p->bytes_under_way < p->window_bytes);
}

static bool wants_to_send(const struct kvr_publisher *p) {
    return p->next <= kvr_ring_made(&p->ring) || p->walking || (p->probe && !p->under_way);
}

static void send_all(struct kvr_publisher *p) {
    bool ok = true;
    while (ok && p->state == KVR_STREAM_RUNNING && has_room(p) && wants_to_send(p)) {
        if (p->next <= kvr_ring_made(&p->ring)) {
            ok = send_event(p, p->next);
            p->next += ok;
        } else if (p->walking) {
            walk_on(p);
        } else { // nothing new to send: the last event, to hear whether the pool has it
            ok = send_event(p, p->sent);
        }
    }
    if (!ok) p->not_before = kvr_publisher_now(p) + KVR_NOMEM_PAUSE;
}

// ---- Answers -------------------------------------------------------------------------------------

static void count(struct kvr_publisher *p) {
    while (p->counted < p->acked) {
        p->stats.events++;
        p->stats.event_blocks += kvr_ring_at(&p->ring, ++p->counted)->blocks;
    }
}

// once: the event can't have been carried out before.
static void applied(struct kvr_publisher *p, uint64_t seq, int64_t number, bool once) {
    if (number < 0 || (uint64_t)number < seq) {
        p->trouble = KVR_CODE_PROTOCOL;
        return;
    }
    if ((uint64_t)number > (once ? seq : p->sent)) {
        kvr_publisher_renew(p, "somebody else has used this epoch");
        return;
    }
    if (p->complained) kvr_publisher_log(p, KVR_LOG_INFO, "events are accepted again");
    p->complained = KVR_CODE_OK;
    p->retries = 0;
    p->acked_once = true;
    p->acked = (uint64_t)number;
    if (p->acked > p->spent) p->spent = p->acked;
    count(p);
    if (p->acked >= p->hunt_end) p->hunt_end = 0;
    if (!p->walking && p->acked >= p->walk_end) p->renewals = 0;
}

static void outdated(struct kvr_publisher *p, int64_t current) {
    uint64_t epoch = current > 0 ? (uint64_t)current : p->epoch;
    if (epoch > p->foreign) p->foreign = epoch;
    // Who is answered so at once starts with a clock that is behind. Who had been heard before has
    // been replaced.
    if (p->acked_once)
        supersede(p, "another publisher speaks for this rank now");
    else
        kvr_publisher_renew(p, "the pool has heard of a later epoch");
}

// At first it is usual that the worker or the pool isn't there yet.
static enum kvr_level trouble_level(const struct kvr_publisher *p, enum kvr_code code) {
    bool early = !p->stats.events && (code == KVR_CODE_NOWORKER || code == KVR_CODE_NOPOOL);
    return early ? KVR_LOG_INFO : KVR_LOG_WARNING;
}

static void take_answer(struct kvr_publisher *p, const struct kvr_event_sending *f,
                        const struct kvr_result *r) {
    switch (r->code) {
    case KVR_CODE_OK:
        applied(p, f->seq, r->number, !f->again && r->sendings == 1);
        return;
    case KVR_CODE_STALE:
        outdated(p, r->number);
        return;
    case KVR_CODE_NOPARENT:
        kvr_publisher_renew(p, "the pool doesn't know a parent");
        return;
    case KVR_CODE_GAP:
        p->stats.gaps++;
        break;
    case KVR_CODE_BADCHAIN:
        break;
    default:
        if (r->code != p->complained)
            kvr_publisher_log(p, trouble_level(p, r->code), "an event is answered %s %s; trying on",
                              kvr_code_name(r->code), r->message ? r->message : "");
        p->complained = r->code;
    }
    p->trouble = r->code;
    p->trouble_seq = f->seq;
    p->trouble_number = r->number;
}

static void pump(struct kvr_publisher *p);

static void event_done(void *ctx, const struct kvr_result *r) {
    struct kvr_event_sending *f = ctx;
    struct kvr_publisher *p = f->publisher;
    f->busy = false;
    p->under_way--;
    p->bytes_under_way -= f->bytes;
    // It has been carried out, or may have been by a server whose answer was lost.
    if (p->state == KVR_STREAM_RUNNING && (r->code == KVR_CODE_OK || r->sendings > 1) &&
        f->seq > p->spent)
        p->spent = f->seq;
    if (r->code == KVR_CODE_CLOSED)
        kvr_publisher_void(p, KVR_STREAM_CLOSED);
    else if (p->state == KVR_STREAM_RUNNING && !p->trouble)
        take_answer(p, f, r);
    pump(p);
}

static void go_back(struct kvr_publisher *p, int64_t expected) {
    if (expected < (int64_t)p->ring.first || (uint64_t)expected > p->sent) {
        kvr_publisher_renew(p, "the pool has missed more than is kept");
        return;
    }
    p->next = (uint64_t)expected;
    p->acked = p->next - 1;
    kvr_publisher_log(p, KVR_LOG_INFO, "the pool has missed events; sending again");
}

static void try_again(struct kvr_publisher *p, int64_t first, int64_t max) {
    p->not_before = kvr_publisher_now(p) + kvr_publisher_backoff(p, p->retries++, first, max);
    p->next = p->acked + 1;
    p->probe = p->sent > 0; // if there is nothing after it, the answer is still owed
}

static void deal_with_trouble(struct kvr_publisher *p) {
    enum kvr_code trouble = p->trouble;
    p->trouble = KVR_CODE_OK;
    switch (trouble) {
    case KVR_CODE_GAP:
        go_back(p, p->trouble_number);
        break;
    case KVR_CODE_BADCHAIN:
        // What a server may have applied must never come under the same number with another content:
        // that server's history could come back.
        if (p->trouble_seq <= p->spent)
            kvr_publisher_renew(p, "a block is refused now that had been accepted");
        else
            kvr_publisher_refused(p, p->trouble_seq);
        break;
    case KVR_CODE_NOWORKER:
    case KVR_CODE_NOPOOL:
    case KVR_CODE_OOM:
        try_again(p, 20, 1000);
        break;
    default:
        try_again(p, 50, 5000);
    }
}

// ---- Time ----------------------------------------------------------------------------------------

// Does whatever can be done now; out of the handle only.
static void pump(struct kvr_publisher *p) {
    int64_t now = kvr_publisher_now(p);
    if (p->trouble && !p->under_way) deal_with_trouble(p);
    if (p->state == KVR_STREAM_ANEW && !p->under_way && now >= p->not_before) begin_epoch(p);
    if (p->state == KVR_STREAM_RUNNING && now >= p->due) kvr_publisher_seal(p);
    if (p->state == KVR_STREAM_RUNNING && !p->trouble && now >= p->not_before) send_all(p);
    kvr_publisher_arm(p);
}

void kvr_publisher_arm(struct kvr_publisher *p) {
    int64_t at = KVR_NEVER;
    if (p->state == KVR_STREAM_ANEW && !p->under_way) {
        at = p->not_before;
    } else if (p->state == KVR_STREAM_RUNNING) {
        at = p->due;
        bool can_go_on = p->trouble ? !p->under_way : has_room(p) && wants_to_send(p);
        if (can_go_on && p->not_before < at) at = p->not_before;
    }
    if (at == p->armed) return;
    p->armed = at;
    p->port.wake(p->port.handle, &p->follower, at);
}

void kvr_publisher_wake(struct kvr_follower *f, int64_t now) {
    (void)now;
    struct kvr_publisher *p = (struct kvr_publisher *)f;
    p->armed = KVR_NEVER;
    pump(p);
}

void kvr_publisher_history(struct kvr_follower *f) {
    struct kvr_publisher *p = (struct kvr_publisher *)f;
    if (p->state != KVR_STREAM_RUNNING) return;
    p->probe = p->sent > 0;
    pump(p);
}
