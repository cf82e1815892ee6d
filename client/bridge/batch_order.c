// SPDX-License-Identifier: Apache-2.0
#include "batch_order.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

static void note(struct bridge_order *s, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void note(struct bridge_order *s, const char *format, ...) {
    char line[200];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    s->port.note(s->port.ctx, line);
}

static int64_t or_default(int64_t value, int64_t otherwise) {
    return value > 0 ? value : otherwise;
}

void bridge_order_init(struct bridge_order *s, const struct bridge_order_options *options,
                       const struct bridge_order_port *port) {
    memset(s, 0, sizeof *s);
    s->options = *options;
    s->port = *port;
    if (!s->options.room) s->options.room = (size_t)32 << 20;
    s->options.grace = or_default(options->grace, 50);
    s->options.idle = or_default(options->idle, 2000);
    s->options.pause = or_default(options->pause, 100);
    s->options.patience = or_default(options->patience, 30000);
    s->options.audit = or_default(options->audit, 10000);
}

// ---- What waits ----------------------------------------------------------------------------------

static struct bridge_order_held *place_of(struct bridge_order *s, uint64_t seq) {
    return &s->held[seq % BRIDGE_ORDER_MAX_WAITING];
}

static void let_go(struct bridge_order *s, struct bridge_order_held *h) {
    if (!h->payload) return;
    s->n_held--;
    s->held_bytes -= h->n;
    free(h->payload);
    h->payload = NULL;
}

static void let_all_go(struct bridge_order *s) {
    for (size_t i = 0; s->n_held && i < BRIDGE_ORDER_MAX_WAITING; i++)
        let_go(s, &s->held[i]);
}

void bridge_order_free(struct bridge_order *s) {
    let_all_go(s);
}

// The earlier of two batches of one seq stays, unless they differ: then the later one is of another
// life, or the earlier; the check will tell.
static void hold(struct bridge_order *s, uint64_t seq, const void *payload, size_t n, bool live) {
    struct bridge_order_held *h = place_of(s, seq);
    bool fits = seq - s->next < BRIDGE_ORDER_MAX_WAITING;
    if (fits && h->payload) {
        s->stats.repeats++;
        if (h->n == n && memcmp(h->payload, payload, n) == 0) return;
        let_go(s, h);
    }
    void *copy = fits && s->held_bytes + n <= s->options.room ? malloc(n) : NULL;
    if (!copy) {
        s->stats.dropped++;
        return;
    }
    memcpy(copy, payload, n);
    *h = (struct bridge_order_held){copy, n, live};
    s->n_held++;
    s->held_bytes += n;
}

// ---- Applying ------------------------------------------------------------------------------------

static uint64_t digest(const void *payload, size_t n) {
    return XXH3_64bits(payload, n);
}

static void forget(struct bridge_order *s, bool new_life) {
    s->stats.lives += new_life;
    s->port.forget(s->port.ctx, new_life);
}

// Nobody can have missed as many as that: the engine counts from another number.
static void count_lost(struct bridge_order *s, uint64_t batches) {
    s->stats.lost += batches < BRIDGE_ORDER_MAX_LEAP ? batches : 1;
}

// What the rank holds is unknown from here on.
static void lose(struct bridge_order *s, uint64_t batches) {
    count_lost(s, batches);
    if (!s->options.keep) forget(s, false);
}

// The batch `next`. False: a live one that can't be read, and may yet be had in a better copy.
static bool apply(struct bridge_order *s, const void *payload, size_t n, bool live) {
    bool good = s->port.apply(s->port.ctx, payload, n);
    s->stats.bad += !good;
    if (!good && live && s->options.replay) return false;
    s->digests[s->next % BRIDGE_ORDER_DIGESTS] = digest(payload, n);
    s->next++;
    if (s->next - s->first_known > BRIDGE_ORDER_DIGESTS)
        s->first_known = s->next - BRIDGE_ORDER_DIGESTS;
    if (s->top < s->next) s->top = s->next;
    s->stats.applied += good;
    if (!good) lose(s, 1);
    return true;
}

static void apply_held(struct bridge_order *s) {
    bool good = true;
    while (good && s->n_held) {
        struct bridge_order_held *h = place_of(s, s->next), one = *h;
        if (!one.payload) return;
        h->payload = NULL;
        s->n_held--;
        s->held_bytes -= one.n;
        good = apply(s, one.payload, one.n, one.live);
        free(one.payload);
    }
}

static bool is_known(const struct bridge_order *s, uint64_t seq) {
    return seq < s->next && seq >= s->first_known;
}

static bool is_same(const struct bridge_order *s, uint64_t seq, const void *payload, size_t n) {
    return s->digests[seq % BRIDGE_ORDER_DIGESTS] == digest(payload, n);
}

// ---- Replays -------------------------------------------------------------------------------------

static void arm(struct bridge_order *s, int64_t ms) {
    s->deadline = ms < 0 ? -1 : s->port.now(s->port.ctx) + ms;
    s->port.wake(s->port.ctx, ms);
}

static void ask(struct bridge_order *s, uint64_t from) {
    s->from = from;
    s->asked = true;
    s->answered = false;
    s->progress = s->next;
    s->waiting_grace = false;
    s->stats.requests++;
    s->port.request(s->port.ctx, from);
    arm(s, s->options.idle);
}

// From the last one applied, so that each answer begins by showing whose it is.
static void ask_again(struct bridge_order *s) {
    ask(s, s->next == s->first_known ? s->next : s->next - 1);
}

static void in_order(struct bridge_order *s) {
    s->asked = false;
    s->state = BRIDGE_ORDER_LIVE;
    s->waiting_grace = false;
    s->tries = 0;
    if (s->options.replay) s->port.cancel(s->port.ctx);
    arm(s, !s->options.replay ? -1 : s->audited ? s->options.audit : BRIDGE_ORDER_FIRST_AUDIT_MS);
}

static void start_over(struct bridge_order *s) {
    s->next = s->first_known = s->top = 0;
    s->state = BRIDGE_ORDER_FRESH;
    s->same_life = false;
    s->tries = 0;
    s->quiet_since = s->port.now(s->port.ctx);
    if (s->options.replay) ask(s, 0);
}

// All that came so far was of another life's. With a replay the new one is had from its start.
static void begin_life(struct bridge_order *s) {
    note(s, "a new life of the engine, after batch %" PRIu64, s->next - 1);
    let_all_go(s);
    forget(s, true);
    start_over(s);
}

static void begin_check(struct bridge_order *s) {
    s->audited = false;
    if (s->next == 0) {
        start_over(s);
    } else if (s->state == BRIDGE_ORDER_FRESH || s->next == s->first_known) {
        begin_life(s); // half of one replay can't be continued by another, nor what has no digest
    } else {
        s->state = BRIDGE_ORDER_CHECK;
        s->same_life = false;
        s->tries = 0;
        s->quiet_since = s->port.now(s->port.ctx);
        ask_again(s);
    }
}

// Now and then, though nothing seems to be wrong: the last batch of a burst may have been lost, or an
// engine replaced while it had nothing to say. Live batches don't wait for it.
static void begin_audit(struct bridge_order *s) {
    s->audited = true;
    s->state = BRIDGE_ORDER_CHECK;
    s->same_life = true;
    s->tries = 0;
    s->quiet_since = s->port.now(s->port.ctx);
    ask_again(s);
}

// Goes on at a later batch; what is before it is lost.
static void skip_to(struct bridge_order *s, uint64_t seq) {
    bool unknown = s->state == BRIDGE_ORDER_CHECK && !s->same_life;
    if (unknown) forget(s, true); // it couldn't be shown to be the same life
    if (seq > s->next && (s->state != BRIDGE_ORDER_FRESH || s->next)) {
        note(s, "batches %" PRIu64 " to %" PRIu64 " are lost", s->next, seq - 1);
        lose(s, seq - s->next);
    } else {
        count_lost(s, seq - s->next);
    }
    s->next = s->first_known = seq;
    if (s->top < seq) s->top = seq;
    s->state = BRIDGE_ORDER_CHECK;
    s->same_life = true;
    s->tries = 0;
}

// A gap that nothing fills: on to the first batch that waits, or past all that was heard of.
static void give_up(struct bridge_order *s) {
    uint64_t seq = s->next;
    if (s->n_held)
        while (!place_of(s, seq)->payload)
            seq++;
    else
        seq = s->top;
    skip_to(s, seq);
    apply_held(s);
    if (s->top <= s->next)
        in_order(s);
    else if (s->options.replay)
        ask_again(s);
    else
        arm(s, s->options.grace), s->waiting_grace = true, s->state = BRIDGE_ORDER_LIVE;
}

// Whole replays end before the highest number heard of, and the batch that had it isn't here: whatever it
// was, the engine hasn't got so far.
static void disbelieve(struct bridge_order *s) {
    note(s, "no batch up to %" PRIu64 " is there, though one was heard of", s->top - 1);
    s->stats.wild++;
    s->top = s->next;
    in_order(s);
}

void bridge_order_end(struct bridge_order *s) {
    if (!s->asked) return;
    s->quiet_since = s->port.now(s->port.ctx);
    // Asked for what we have, the engine had nothing: its head is below, so it is another life.
    bool vanished = !s->answered && s->from < s->progress;
    if (vanished) s->same_life = false;
    if (!vanished && s->next >= s->top) {
        in_order(s);
        return;
    }
    s->tries = s->next > s->progress ? 0 : s->tries + 1;
    if (s->tries < BRIDGE_ORDER_TRIES)
        ask_again(s);
    else if (vanished)
        begin_life(s);
    else if (s->answered && !s->n_held)
        disbelieve(s);
    else
        give_up(s);
}

// A reply that begins behind what was asked for: what is missing is in the engine's buffer no more, or
// was lost on the way. Which, shows when it is asked again. True: it is to be taken as it is.
static bool late_start(struct bridge_order *s, uint64_t seq) {
    if (++s->tries < BRIDGE_ORDER_TRIES) {
        ask(s, s->from);
        return false;
    }
    // What waits behind it stays: a short buffer may have lost it by the time it is asked for.
    if (seq - s->next >= BRIDGE_ORDER_MAX_WAITING) let_all_go(s);
    for (uint64_t lost = s->next; s->n_held && lost < seq; lost++)
        let_go(s, place_of(s, lost));
    skip_to(s, seq);
    return true;
}

void bridge_order_reply(struct bridge_order *s, uint64_t seq, const void *payload, size_t n) {
    s->stats.replayed++;
    if (!s->asked || seq < s->from) return;
    bool first = !s->answered;
    s->answered = true;
    s->quiet_since = s->port.now(s->port.ctx);
    if (first)
        arm(s, s->options.pause);
    else
        s->deadline = s->quiet_since + s->options.pause; // looked at when the timer fires
    if (first && seq > s->from && seq >= s->next && !late_start(s, seq)) return;
    if (seq >= s->top) s->top = seq + 1;
    if (seq < s->next) {
        if (!is_known(s, seq)) return;
        if (!is_same(s, seq, payload, n)) {
            begin_life(s);
            return;
        }
        s->same_life = true;
        apply_held(s);
        return;
    }
    if (seq == s->next && (s->state == BRIDGE_ORDER_FRESH || s->same_life)) {
        let_go(s, place_of(s, seq)); // a live one of the same seq is the same
        apply(s, payload, n, false);
        apply_held(s);
    } else {
        hold(s, seq, payload, n, false);
    }
}

// ---- Live ----------------------------------------------------------------------------------------

// A batch from the past: a repeat, or the first that is seen of another life.
static void from_the_past(struct bridge_order *s, uint64_t seq, const void *payload, size_t n) {
    if (is_known(s, seq) && is_same(s, seq, payload, n)) {
        s->stats.repeats++;
        return;
    }
    if (!is_known(s, seq) && s->options.replay) { // too long ago to say
        if (s->asked && !s->same_life) return;
        let_all_go(s);
        begin_check(s);
        return;
    }
    begin_life(s);
    bridge_order_live(s, seq, payload, n);
}

static void expect_missing(struct bridge_order *s) {
    if (s->asked || s->waiting_grace) return;
    s->stats.gaps++;
    if (s->state == BRIDGE_ORDER_FRESH) {
        begin_check(s);
        return;
    }
    s->waiting_grace = true;
    arm(s, s->options.grace);
}

void bridge_order_live(struct bridge_order *s, uint64_t seq, const void *payload, size_t n) {
    s->stats.live++;
    if (seq < s->next) {
        from_the_past(s, seq, payload, n);
        return;
    }
    if (s->state != BRIDGE_ORDER_FRESH && seq - s->next >= BRIDGE_ORDER_MAX_LEAP) {
        s->stats.wild++;
        return;
    }
    if (seq >= s->top) s->top = seq + 1;
    if (s->state == BRIDGE_ORDER_FRESH &&
        !s->options.replay) { // what was before we came is unknown
        s->next = s->first_known = seq;
        s->state = BRIDGE_ORDER_LIVE;
    }
    bool trusted =
        s->state == BRIDGE_ORDER_LIVE || (s->state == BRIDGE_ORDER_CHECK && s->same_life);
    if (seq != s->next || !trusted) {
        hold(s, seq, payload, n, true);
        expect_missing(s);
        return;
    }
    if (apply(s, payload, n, true)) apply_held(s);
    if (s->next < s->top) {
        expect_missing(s);
    } else if (s->waiting_grace) {
        in_order(s);
    }
}

void bridge_order_connected(struct bridge_order *s) {
    if (s->options.replay) {
        let_all_go(s); // perhaps another life's; what is of this one comes with the replay
        begin_check(s);
    } else if (s->state == BRIDGE_ORDER_LIVE && !s->options.keep) {
        begin_life(s);
    }
}

void bridge_order_restart(struct bridge_order *s) {
    let_all_go(s);
    forget(s, true);
    if (s->options.replay) start_over(s);
}

void bridge_order_woken(struct bridge_order *s) {
    int64_t now = s->port.now(s->port.ctx);
    if (s->deadline < 0) return;
    if (now < s->deadline) { // replies came meanwhile
        s->port.wake(s->port.ctx, s->deadline - now);
        return;
    }
    if (s->waiting_grace) {
        s->waiting_grace = false;
        if (s->options.replay)
            begin_check(s);
        else
            give_up(s);
        return;
    }
    if (!s->asked) {
        if (s->options.replay && s->state == BRIDGE_ORDER_LIVE) begin_audit(s);
        return;
    }
    // A pause is believed only after something new: what brings nothing four times is given up.
    int64_t silent = now - s->quiet_since;
    if (s->answered && s->next == s->progress && silent < s->options.idle) {
        arm(s, s->options.idle - silent);
        return;
    }
    if (!s->answered) s->stats.quiet++;
    // An engine that is down answers nothing and sends nothing: that is no loss, and it is waited for.
    bool hopeless = !s->answered && now - s->quiet_since >= s->options.patience && s->n_held;
    if (hopeless) note(s, "replays aren't answered");
    if (hopeless || (s->answered && s->next == s->progress && ++s->tries >= BRIDGE_ORDER_TRIES))
        give_up(s);
    else
        ask_again(s);
}

bool bridge_order_complete(const struct bridge_order *s) {
    bool audit = s->asked && s->audited && s->same_life && !s->tries;
    return s->next >= s->top && !s->n_held && !s->waiting_grace &&
           (audit || ((s->state == BRIDGE_ORDER_LIVE || !s->options.replay) && !s->asked));
}
