// SPDX-License-Identifier: Apache-2.0
// The stream alone: an engine in a few lines, an hour that passes at once, and a rank that knows one
// thing, which batches of which life it has been given without a hole.
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/bridge/batch_order.h"

enum { MAX_BATCHES = 4000, MAX_LATE = 64 };

struct order_payload {
    uint64_t life, seq, bad; // no padding: all bytes count when batches are compared
};

struct order_test {
    struct bridge_order stream;
    int64_t now, wake_at; // -1: not
    // The engine.
    uint64_t life, seq, buffer; // the last `buffer` batches can be replayed
    bool hole[MAX_BATCHES];     // numbers without a batch
    // A replay under way.
    bool asked;
    uint64_t from;
    // What the rank has: batches first … next − 1 of a life.
    bool has;
    uint64_t its_life, first, next;
    size_t requests, forgotten, lives, notes;
};

static bool on_apply(void *ctx, const void *bytes, size_t n) {
    struct order_test *s = ctx;
    struct order_payload p;
    if (n != sizeof p) return false;
    memcpy(&p, bytes, n);
    if (p.bad) return false;
    if (s->has) {
        cr_assert(p.life == s->its_life, "two lives are spliced");
        // Behind a hole that was given up comes a later one only after all was forgotten, unless the
        // rank was to keep what it has.
        cr_assert(s->stream.options.keep ? p.seq >= s->next : p.seq == s->next,
                  "batch %llu after %llu", (unsigned long long)p.seq, (unsigned long long)s->next);
    } else {
        s->first = p.seq;
    }
    s->has = true;
    s->its_life = p.life;
    s->next = p.seq + 1;
    return true;
}

static void on_forget(void *ctx, bool new_life) {
    struct order_test *s = ctx;
    s->has = false;
    s->forgotten++;
    s->lives += new_life;
}

static void on_request(void *ctx, uint64_t from) {
    struct order_test *s = ctx;
    s->asked = true;
    s->from = from;
    s->requests++;
}

static void on_cancel(void *ctx) {
    ((struct order_test *)ctx)->asked = false;
}

static void on_wake(void *ctx, int64_t ms) {
    struct order_test *s = ctx;
    s->wake_at = ms < 0 ? -1 : s->now + ms;
}

static int64_t on_now(void *ctx) {
    return ((struct order_test *)ctx)->now;
}

static void on_note(void *ctx, const char *line) {
    (void)line;
    ((struct order_test *)ctx)->notes++;
}

static struct order_test *test_new(bool replay, bool keep) {
    struct order_test *s = calloc(1, sizeof *s);
    struct bridge_order_options o = {.replay = replay, .keep = keep};
    struct bridge_order_port port = {s,         on_apply, on_forget, on_request,
                                     on_cancel, on_wake,  on_now,    on_note};
    cr_assert(s);
    *s = (struct order_test){.wake_at = -1, .life = 1, .buffer = MAX_BATCHES};
    bridge_order_init(&s->stream, &o, &port);
    return s;
}

static void test_free(struct order_test *s) {
    bridge_order_free(&s->stream);
    free(s);
}

static void live(struct order_test *s, uint64_t life, uint64_t seq, bool bad) {
    struct order_payload p = {.life = life, .seq = seq, .bad = bad};
    bridge_order_live(&s->stream, seq, &p, sizeof p);
}

static void reply(struct order_test *s, uint64_t life, uint64_t seq) {
    struct order_payload p = {.life = life, .seq = seq};
    bridge_order_reply(&s->stream, seq, &p, sizeof p);
}

static void batches(struct order_test *s, uint64_t n) {
    for (uint64_t i = 0; i < n; i++)
        live(s, s->life, s->seq++, false);
}

// Answers the request at hand, if there is one; every `lossy`th reply is lost, of 0 none.
static void answer(struct order_test *s, unsigned lossy, bool end) {
    uint64_t begin = s->seq > s->buffer ? s->seq - s->buffer : 0;
    size_t requests = s->requests;
    if (!s->asked) return;
    for (uint64_t seq = s->from > begin ? s->from : begin; seq < s->seq; seq++) {
        if (s->hole[seq] || (lossy && (seq - s->from) % lossy == lossy - 1)) continue;
        reply(s, s->life, seq);
        if (!s->asked || s->requests != requests) return; // it has led to another
    }
    if (end) bridge_order_end(&s->stream);
}

static void pass(struct order_test *s, int64_t ms) {
    for (int64_t end = s->now + ms; s->wake_at >= 0 && s->wake_at <= end;) {
        s->now = s->wake_at > s->now ? s->wake_at : s->now;
        s->wake_at = -1;
        bridge_order_woken(&s->stream);
        answer(s, 0, true);
    }
    s->now += ms;
}

static void settle(struct order_test *s) {
    for (unsigned i = 0; i < 200 && s->asked; i++)
        answer(s, 0, true);
}

static void connect_to(struct order_test *s, uint64_t life, uint64_t seq) {
    s->life = life, s->seq = seq;
    bridge_order_connected(&s->stream);
    settle(s);
}

static void is_true(struct order_test *s, uint64_t first) {
    cr_assert(bridge_order_complete(&s->stream));
    cr_assert(s->has && s->its_life == s->life, "another life's");
    cr_assert(s->first == first && s->next == s->seq, "%llu to %llu, of %llu to %llu",
              (unsigned long long)s->first, (unsigned long long)s->next, (unsigned long long)first,
              (unsigned long long)s->seq);
}

static struct order_test *connected(bool replay, bool keep, uint64_t n) {
    struct order_test *s = test_new(replay, keep);
    connect_to(s, 1, replay ? n : 0);
    if (!replay) batches(s, n);
    is_true(s, 0);
    return s;
}

Test(stream, begins_with_a_replay) {
    struct order_test *s = test_new(true, false);
    s->seq = 10;
    bridge_order_connected(&s->stream);
    cr_assert(s->asked && s->from == 0);
    batches(s, 5); // wait for the replay
    cr_assert_not(s->has);
    answer(s, 0, true);
    is_true(s, 0);
    batches(s, 3);
    is_true(s, 0);
    test_free(s);
}

Test(stream, repeats_and_the_wrong_order) {
    struct order_test *s = connected(false, false, 4);
    live(s, 1, 3, false);
    live(s, 1, 0, false);
    cr_expect_eq(s->stream.stats.repeats, 2);
    live(s, 1, 6, false);
    live(s, 1, 5, false);
    live(s, 1, 5, false);
    s->seq = 4;
    is_true((live(s, 1, 4, false), s->seq = 7, s), 0);
    cr_expect_eq(s->forgotten, 0);
    pass(s, 1000); // and nothing is missed any more
    is_true(s, 0);
    test_free(s);
}

Test(stream, a_loss_without_a_replay) {
    struct order_test *s = connected(false, false, 4);
    s->seq += 2;
    batches(s, 3);
    cr_expect_not(bridge_order_complete(&s->stream));
    pass(s, 40);
    cr_expect(s->has && s->next == 4);
    pass(s, 20); // the grace is over
    is_true(s, 6);
    cr_expect_eq(s->stream.stats.lost, 2);
    test_free(s);
    s = connected(false, true, 4);
    s->seq += 2;
    batches(s, 3);
    pass(s, 60);
    is_true(s, 0); // it keeps what it had
    cr_expect_eq(s->forgotten, 0);
    test_free(s);
}

Test(stream, a_gap_is_filled_by_a_replay) {
    struct order_test *s = connected(true, false, 4);
    s->seq += 2;
    batches(s, 3);
    pass(s, 60);
    is_true(s, 0);
    cr_expect_eq(s->stream.stats.lost, 0);
    cr_expect_eq(s->forgotten, 0);
    test_free(s);
}

Test(stream, a_hole_is_given_up) {
    struct order_test *s = connected(true, false, 4);
    s->hole[4] = s->hole[5] = true;
    s->seq += 2;
    batches(s, 3);
    pass(s, 20000);
    is_true(s, 6);
    cr_expect_eq(s->stream.stats.lost, 2);
    cr_expect_eq(s->lives, 0);
    test_free(s);
}

// What was applied before it is unknown, too, though nothing was in order yet.
Test(stream, a_hole_in_the_first_replay) {
    struct order_test *s = test_new(true, false);
    s->seq = 10;
    s->hole[4] = s->hole[5] = true;
    bridge_order_connected(&s->stream);
    settle(s);
    pass(s, 20000);
    is_true(s, 6);
    cr_expect_eq(s->stream.stats.lost, 2);
    test_free(s);
}

Test(stream, a_lost_end_is_found_by_an_audit) {
    struct order_test *s = connected(true, false, 4);
    s->seq += 2; // the last of a burst, and nothing after
    pass(s, 1000);
    is_true(s, 0);
    s->seq++;
    pass(s, 11000);
    is_true(s, 0);
    test_free(s);
}

Test(stream, a_bad_batch_is_had_from_the_replay) {
    struct order_test *s = connected(true, false, 4);
    live(s, 1, 4, true);
    s->seq = 5;
    batches(s, 2);
    pass(s, 60);
    is_true(s, 0);
    cr_expect_eq(s->stream.stats.bad, 1);
    cr_expect_eq(s->forgotten, 0);
    test_free(s);
}

Test(stream, new_lives) {
    struct order_test *s = connected(true, false, 20);
    connect_to(s, 2, 5); // a reconnect shows a shorter one
    pass(s, 10000);
    is_true(s, 0);
    connect_to(s, 3, 30); // a longer one: batch 4 differs
    is_true(s, 0);
    s->life = 4, s->seq = 0; // in place: no connection has ended
    batches(s, 6);
    settle(s);
    is_true(s, 0);
    cr_expect_eq(s->lives, 3);
    test_free(s);
    // The same life again is no new one.
    s = connected(true, false, 20);
    connect_to(s, s->life, s->seq + 3);
    is_true(s, 0);
    cr_expect_eq(s->forgotten, 0);
    test_free(s);
    // Without a replay nobody can tell, so it is.
    s = connected(false, false, 4);
    s->life = 2, s->seq = 0;
    bridge_order_connected(&s->stream);
    batches(s, 2);
    is_true(s, 0);
    test_free(s);
}

Test(stream, replies_that_nobody_asked_for) {
    struct order_test *s = connected(true, false, 10);
    reply(s, 1, 10); // no replay is under way
    bridge_order_end(&s->stream);
    is_true(s, 0);
    bridge_order_connected(&s->stream);
    cr_assert_eq(s->from, 9);
    reply(s, 2, 8); // of another life, but below the request
    for (unsigned again = 0; again < 3; again++)
        reply(s, 1, 9);
    bridge_order_end(&s->stream);
    is_true(s, 0);
    cr_expect_eq(s->forgotten, 0);
    test_free(s);
}

Test(stream, a_buffer_without_the_beginning) {
    struct order_test *s = test_new(true, false);
    s->seq = 50, s->buffer = 10;
    bridge_order_connected(&s->stream);
    for (unsigned i = 0; i < 10 && s->asked; i++) {
        answer(s, 0, true);
        batches(s, 1); // meanwhile
    }
    settle(s);
    cr_expect(bridge_order_complete(&s->stream));
    cr_expect_eq(s->next, s->seq);
    cr_expect_eq(s->stream.stats.lost, s->first);
    uint64_t first = s->first;
    batches(s, 9);
    is_true(s, first);
    test_free(s);
}

Test(stream, a_replay_that_never_answers) {
    struct order_test *s = test_new(true, false);
    s->seq = 3;
    bridge_order_connected(&s->stream);
    batches(s, 3);
    for (unsigned i = 0; i < 40; i++) { // nobody answers for 40 s
        s->asked = false;
        s->now += 1000;
        if (s->wake_at >= 0 && s->wake_at <= s->now) {
            s->wake_at = -1;
            bridge_order_woken(&s->stream);
        }
    }
    cr_expect(s->has && s->first == 3 && s->next == 6);
    cr_expect_gt(s->stream.stats.quiet, 3);
    test_free(s);
}

Test(stream, what_waits_is_bounded) {
    struct order_test *s = test_new(true, false);
    bridge_order_connected(&s->stream);
    for (uint64_t seq = 1; seq < 3 * BRIDGE_ORDER_MAX_WAITING; seq++) {
        live(s, 1, seq, false);
        cr_assert(s->stream.n_held <= BRIDGE_ORDER_MAX_WAITING);
    }
    cr_expect_gt(s->stream.stats.dropped, 0);
    test_free(s);
    // By bytes, too.
    static uint8_t large[1 << 20];
    s = test_new(true, false);
    bridge_order_connected(&s->stream);
    for (uint64_t seq = 1; seq < 100; seq++)
        bridge_order_live(&s->stream, seq, large, sizeof large);
    cr_expect_leq(s->stream.held_bytes, (size_t)32 << 20);
    cr_expect_gt(s->stream.stats.dropped, 0);
    test_free(s);
}

// One damaged number is no loss: of nothing, however high it is, and whenever it comes.
Test(stream, a_number_that_cannot_be) {
    static const uint64_t numbers[] = {UINT64_MAX - 1, (uint64_t)1 << 62,
                                       BRIDGE_ORDER_MAX_LEAP + 4u, 1000000,
                                       BRIDGE_ORDER_MAX_WAITING + 4};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct order_test *s = connected(true, false, 4);
        live(s, 1, numbers[i], false);
        batches(s, 3);
        pass(s, 20000);
        is_true(s, 0);
        cr_expect(s->stream.stats.lost == 0 && s->stream.stats.wild == 1 && s->forgotten == 0,
                  "%llu", (unsigned long long)numbers[i]);
        test_free(s);
        // Before anything is known of the engine.
        s = test_new(true, false);
        s->seq = 3;
        bridge_order_connected(&s->stream);
        live(s, 1, numbers[i], false);
        pass(s, 20000);
        batches(s, 3);
        settle(s);
        is_true(s, 0);
        cr_expect_eq(s->stream.stats.lost, 0, "%llu", (unsigned long long)numbers[i]);
        test_free(s);
    }
    // Without a replay nobody can say what is right, but that far no engine is ahead.
    struct order_test *s = connected(false, false, 4);
    live(s, 1, (uint64_t)1 << 62, false);
    batches(s, 3);
    pass(s, 1000);
    is_true(s, 0);
    cr_expect(s->stream.stats.lost == 0 && s->stream.stats.wild == 1);
    test_free(s);
    // And an engine that counts from somewhere else is followed, and has lost next to nothing.
    s = test_new(true, false);
    bridge_order_connected(&s->stream);
    uint64_t first = 1700000000000000000;
    for (unsigned again = 0; again < BRIDGE_ORDER_TRIES; again++)
        reply(s, 1, first);
    bridge_order_end(&s->stream);
    live(s, 1, first + 1, false);
    cr_expect(s->has && s->next == first + 2 && bridge_order_complete(&s->stream));
    cr_expect_eq(s->stream.stats.lost, 1);
    test_free(s);
}

// ---- By chance -----------------------------------------------------------------------------------
// Everything that can happen between an engine and the stream, in any order; then it becomes quiet.

struct chance {
    uint64_t random;
    struct {
        uint64_t life, seq;
    } late[MAX_LATE]; // batches under way
    size_t n;
};

static unsigned below(struct chance *c, unsigned n) {
    c->random ^= c->random << 13, c->random ^= c->random >> 7, c->random ^= c->random << 17;
    return (unsigned)((c->random >> 20) % n);
}

static void publish(struct order_test *s, struct chance *c) {
    uint64_t seq = s->seq++;
    unsigned draw = below(c, 100);
    if (draw < 10) return; // lost
    for (unsigned copies = draw < 20 ? 2 : 1; copies; copies--) {
        if (below(c, 10) || c->n == MAX_LATE) {
            live(s, s->life, seq, below(c, 40) == 0);
        } else {
            c->late[c->n].life = s->life;
            c->late[c->n++].seq = seq;
        }
    }
    if (c->n && below(c, 3) == 0) {
        c->n--;
        live(s, c->late[c->n].life, c->late[c->n].seq, false);
    }
}

static void restart(struct order_test *s, struct chance *c) {
    s->life++;
    s->seq = 0;
    c->n = 0;                                // what was under way ends with the connection
    s->seq = below(c, 2) ? 0 : below(c, 30); // told to nobody
    bridge_order_connected(&s->stream);
}

static void play(uint64_t seed) {
    struct order_test *s = test_new(true, false);
    struct chance c = {.random = seed * 7919 + 1};
    bridge_order_connected(&s->stream);
    for (unsigned i = 0; i < 3000 && s->seq < MAX_BATCHES - 100; i++) {
        unsigned draw = below(&c, 100);
        if (draw < 60)
            publish(s, &c);
        else if (draw < 85)
            answer(s, below(&c, 3) ? 0 : 2 + below(&c, 9), below(&c, 4) != 0);
        else if (draw < 98)
            pass(s, below(&c, 300));
        else if (draw < 99)
            bridge_order_connected(&s->stream);
        else
            restart(s, &c);
    }
    for (unsigned i = 0; i < 40; i++)
        pass(s, 2000);
    is_true(s, 0);
    cr_assert_eq(s->stream.n_held, 0);
    test_free(s);
}

Test(stream, by_chance) {
    for (uint64_t seed = 1; seed <= 150; seed++)
        play(seed);
}
