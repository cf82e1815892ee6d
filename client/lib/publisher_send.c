// SPDX-License-Identifier: Apache-2.0
// Events: how they are made, sent and answered, and when a new epoch begins. See publisher_impl.h.
//
// Up to WINDOW events are under way. The first bad answer stops the sending; when all that was under
// way is answered, it is clear where the pool is, and the answer is acted upon:
//
//   GAP          back to the seq named, if the ring has it, else a new epoch
//   BADCHAIN     publisher_refusal.c
//   NOWORKER, NOPOOL, OOM, and what only an operator can change
//                after a while once more, from the first event that isn't acknowledged
//   NOPARENT, STALE and an acknowledgement of what was never sent make the stream void at once
#include <inttypes.h>
#include <string.h>

#include "publisher_impl.h"

static int64_t now_of(const struct kvr_publisher *p) {
    return p->port.now(p->port.handle);
}

static uint64_t draw(struct kvr_publisher *p) {
    p->random = p->random * 6364136223846793005u + 1442695040888963407u;
    return p->random >> 33;
}

// first * 2^times, not above most, give or take half.
static int64_t backoff(struct kvr_publisher *p, unsigned times, int64_t first, int64_t most) {
    int64_t ms = times < 16 && first << times < most ? first << times : most;
    return ms / 2 + (int64_t)(draw(p) % (uint64_t)ms);
}

// ---- Epochs --------------------------------------------------------------------------------------

// The time, or where clocks are behind, not quite the next number: somebody else may have heard of the
// same epoch just now, and two publishers in one epoch would take each other's events for their own.
bool publisher_mint(struct kvr_publisher *p, uint64_t at_least) {
    uint64_t date = p->port.date(p->port.handle), step = draw(p) % 1024;
    if (at_least > INT64_MAX) return false;
    if (date >= at_least && date <= INT64_MAX)
        p->epoch = date;
    else
        p->epoch = step < INT64_MAX - at_least ? at_least + step : at_least;
    return true;
}

void publisher_void(struct kvr_publisher *p, enum publishing state) {
    p->state = state;
    ring_empty(&p->ring);
    ops_empty(&p->batch);
    p->due = NEVER;
    p->walk.at = 0;
    p->walking = p->probe = false;
    p->next = 1;
    p->sent = p->acked = p->spent = p->counted = p->hunt_end = p->walk_end = 0;
    p->trouble = KVR_CODE_OK;
}

void publisher_renew(struct kvr_publisher *p, const char *why) {
    if (p->state != RUNNING) return;
    publisher_void(p, ANEW);
    publisher_log(p, KVR_LOG_INFO, "everything is published anew: %s", why);
    p->not_before = 0;
    if (p->renewals)
        p->not_before = now_of(p) + backoff(p, p->renewals - 1, ONCE_MORE, ONCE_MORE_MOST);
    p->renewals++;
}

static void supersede(struct kvr_publisher *p, const char *why) {
    publisher_void(p, SUPERSEDED);
    publisher_log(p, KVR_LOG_WARNING, "stops: %s", why);
}

static void begin_epoch(struct kvr_publisher *p) {
    uint64_t last = p->epoch > p->foreign ? p->epoch : p->foreign;
    if (!publisher_mint(p, last + 1)) {
        supersede(p, "there is no epoch left above the pool's");
        return;
    }
    p->state = RUNNING;
    p->round++;
    p->acked_once = false;
    p->stats.republished++;
    truth_forgive_all(&p->truth);
    walk_begin(p, &p->walk, 0);
    p->walking = true;
}

// ---- Making events -------------------------------------------------------------------------------

void publisher_seal(struct kvr_publisher *p) {
    // An epoch has at least one event, or the pool would keep what it had.
    if (!p->batch.n && !ring_made(&p->ring) && !p->walk.at &&
        ops_cleared(&p->batch, KVR_ALL_TIERS)) {
        publisher_renew(p, "out of memory");
        return;
    }
    p->due = NEVER;
    if (!p->batch.n) return;
    uint64_t *words = ring_insert(&p->ring, ring_made(&p->ring) + 1, p->batch.n, p->batch.blocks);
    if (!words) {
        publisher_renew(p, "out of memory");
        return;
    }
    memcpy(words, p->batch.words, p->batch.n * sizeof *words);
    ops_empty(&p->batch);
    ring_trim(&p->ring, p->acked, p->ring_bytes);
    if (p->ring.bytes > p->ring_bytes && p->ring.n > 1)
        publisher_renew(p, "more has changed than is kept to be sent");
}

// Walks until there is another event, or the walk is over.
static void walk_on(struct kvr_publisher *p) {
    uint64_t made = ring_made(&p->ring);
    while (p->state == RUNNING && p->walk.at && ring_made(&p->ring) == made)
        walk_step(p, &p->walk);
    if (p->state != RUNNING || p->walk.at) return;
    publisher_seal(p);
    p->walking = false;
    p->walk_end = ring_made(&p->ring);
}

// ---- Sending -------------------------------------------------------------------------------------

static void event_done(void *ctx, const struct kvr_result *r);

static struct flight *free_flight(struct kvr_publisher *p) {
    unsigned i = 0;
    while (p->flights[i].busy)
        i++;
    return &p->flights[i];
}

static bool send_event(struct kvr_publisher *p, uint64_t seq) {
    const struct event *e = ring_at(&p->ring, seq);
    struct wire w;
    struct command command;
    wire_begin(&w, p->port.alloc);
    wire_word(&w, "KVROUTE.EVENT");
    wire_bytes(&w, p->port.pool);
    wire_arg(&w, p->worker, p->worker_n);
    wire_u64(&w, p->rank);
    wire_u64(&w, p->epoch);
    wire_u64(&w, seq);
    ops_encode(&w, e->words, e->n);
    if (!wire_end(&w, &command)) return false;
    struct flight *f = free_flight(p);
    *f = (struct flight){p, true, seq <= p->sent, seq, command.n};
    if (p->port.send(p->port.handle, &command, event_done, f) != KVR_CODE_OK) {
        f->busy = false;
        kvr_alloc_free(p->port.alloc, command.base);
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
    unsigned window = p->hunt_end ? 1 : WINDOW;
    return p->under_way < window && (!p->under_way || p->bytes_under_way < p->window_bytes);
}

static bool wants_to_send(const struct kvr_publisher *p) {
    return p->next <= ring_made(&p->ring) || p->walking || (p->probe && !p->under_way);
}

static void send_all(struct kvr_publisher *p) {
    bool ok = true;
    while (ok && p->state == RUNNING && has_room(p) && wants_to_send(p)) {
        if (p->next <= ring_made(&p->ring)) {
            ok = send_event(p, p->next);
            p->next += ok;
        } else if (p->walking) {
            walk_on(p);
        } else { // nothing new to send: the last event, to hear whether the pool has it
            ok = send_event(p, p->sent);
        }
    }
    if (!ok) p->not_before = now_of(p) + AGAIN_AFTER;
}

// ---- Answers -------------------------------------------------------------------------------------

static void count(struct kvr_publisher *p) {
    while (p->counted < p->acked) {
        p->stats.events++;
        p->stats.event_blocks += ring_at(&p->ring, ++p->counted)->blocks;
    }
}

// once: the event can't have been carried out before.
static void applied(struct kvr_publisher *p, uint64_t seq, int64_t number, bool once) {
    if (number < 0 || (uint64_t)number < seq) {
        p->trouble = KVR_CODE_PROTOCOL;
        return;
    }
    if ((uint64_t)number > (once ? seq : p->sent)) {
        publisher_renew(p, "somebody else has used this epoch");
        return;
    }
    if (p->complained) publisher_log(p, KVR_LOG_INFO, "events are accepted again");
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
        publisher_renew(p, "the pool has heard of a later epoch");
}

static void take_answer(struct kvr_publisher *p, const struct flight *f,
                        const struct kvr_result *r) {
    switch (r->code) {
    case KVR_CODE_OK:
        applied(p, f->seq, r->number, !f->again && r->sendings == 1);
        return;
    case KVR_CODE_STALE:
        outdated(p, r->number);
        return;
    case KVR_CODE_NOPARENT:
        publisher_renew(p, "the pool doesn't know a parent");
        return;
    case KVR_CODE_GAP:
        p->stats.gaps++;
        break;
    case KVR_CODE_BADCHAIN:
        break;
    default:
        if (r->code != p->complained)
            publisher_log(p, KVR_LOG_WARNING, "an event is answered %s %s; trying on",
                          kvr_code_name(r->code), r->message ? r->message : "");
        p->complained = r->code;
    }
    p->trouble = r->code;
    p->trouble_seq = f->seq;
    p->trouble_number = r->number;
}

static void event_done(void *ctx, const struct kvr_result *r) {
    struct flight *f = ctx;
    struct kvr_publisher *p = f->publisher;
    f->busy = false;
    p->under_way--;
    p->bytes_under_way -= f->bytes;
    // It has been carried out, or may have been by a server whose answer was lost.
    if (p->state == RUNNING && (r->code == KVR_CODE_OK || r->sendings > 1) && f->seq > p->spent)
        p->spent = f->seq;
    if (r->code == KVR_CODE_CLOSED)
        publisher_void(p, CLOSED);
    else if (p->state == RUNNING && !p->trouble)
        take_answer(p, f, r);
    publisher_pump(p);
}

static void go_back(struct kvr_publisher *p, int64_t expected) {
    if (expected < (int64_t)p->ring.first || (uint64_t)expected > p->sent) {
        publisher_renew(p, "the pool has missed more than is kept");
        return;
    }
    p->next = (uint64_t)expected;
    p->acked = p->next - 1;
    publisher_log(p, KVR_LOG_INFO, "the pool has missed events; sending again");
}

static void try_again(struct kvr_publisher *p, int64_t first, int64_t most) {
    p->not_before = now_of(p) + backoff(p, p->retries++, first, most);
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
            publisher_renew(p, "a block is refused now that had been accepted");
        else
            publisher_refused(p, p->trouble_seq);
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

void publisher_pump(struct kvr_publisher *p) {
    int64_t now = now_of(p);
    if (p->trouble && !p->under_way) deal_with_trouble(p);
    if (p->state == ANEW && !p->under_way && now >= p->not_before) begin_epoch(p);
    if (p->state == RUNNING && now >= p->due) publisher_seal(p);
    if (p->state == RUNNING && !p->trouble && now >= p->not_before) send_all(p);
    publisher_arm(p);
}

void publisher_arm(struct kvr_publisher *p) {
    int64_t at = NEVER;
    if (p->state == ANEW && !p->under_way) {
        at = p->not_before;
    } else if (p->state == RUNNING) {
        at = p->due;
        bool can_go_on = p->trouble ? !p->under_way : has_room(p) && wants_to_send(p);
        if (can_go_on && p->not_before < at) at = p->not_before;
    }
    if (at == p->armed) return;
    p->armed = at;
    p->port.wake(p->port.handle, &p->follower, at);
}

void publisher_wake(struct follower *f, int64_t now) {
    (void)now;
    struct kvr_publisher *p = (struct kvr_publisher *)f;
    p->armed = NEVER;
    publisher_pump(p);
}

void publisher_history(struct follower *f) {
    struct kvr_publisher *p = (struct kvr_publisher *)f;
    if (p->state != RUNNING) return;
    p->probe = p->sent > 0;
    publisher_pump(p);
}
