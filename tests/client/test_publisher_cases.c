// SPDX-License-Identifier: Apache-2.0
// The publisher over a port that the test drives, one thing at a time: what chance meets too seldom, or heals too well.
#include <criterion/criterion.h>
#include <string.h>

#include "ctest_publisher.h"
#include "tests/support/support_alloc.h"

enum { A, B, C, D, E, X, Y }; // blocks

static const struct ctest_profile quiet = {.blocks = 10, .straight = 0, .batch_blocks = 4};

static struct ctest_publisher *s;

static void begin(void) {
    s = ctest_publisher_new(&quiet, 1);
    s->port.pool.epoch = 1; // of the life before; our clock is ahead of it
}

static void end(void) {
    ctest_publisher_free(s);
}

TestSuite(publisher_cases, .init = begin);

static void store(int parent, int block) {
    ctest_publisher_store(s, KVR_DEVICE, parent, &block, 1);
}

static void take(int block) {
    ctest_publisher_remove(s, KVR_DEVICE, &block, 1);
}

static void other_stores(int parent, int block) {
    ctest_port_other_stores(&s->port, parent, &block, 1);
    ctest_must(s->port.pool.block[block].others, "somebody else has it");
}

static void work(size_t ms) {
    for (size_t i = 0; i < ms; i++)
        ctest_publisher_work(s);
    ctest_publisher_check(s);
}

static bool fake_pool_has(int block) {
    return s->port.pool.block[block].ours;
}

static struct kvr_publisher_stats stats(void) {
    struct kvr_publisher_stats st;
    kvr_publisher_stats(s->publisher, &st);
    return st;
}

// ---- Epochs --------------------------------------------------------------------------------------

Test(publisher_cases, an_empty_rank_drops_what_was_left) {
    size_t left = 0;
    for (int i = 0; i < (int)quiet.blocks; i++)
        left += fake_pool_has(i);
    cr_assert(left && !kvr_publisher_settled(s->publisher));
    for (int i = 0; i < 60 && !kvr_publisher_settled(s->publisher); i++)
        ctest_publisher_work(s);
    cr_assert(kvr_publisher_settled(s->publisher) && s->port.answered[KVR_CODE_OK] == 1);
    for (int i = 0; i < (int)quiet.blocks; i++)
        cr_assert(!fake_pool_has(i));
    work(5000);
    cr_assert(s->port.sent == 1, "who has nothing to say says nothing");
    end();
}

Test(publisher_cases, a_flush_is_enough_for_that) {
    kvr_publisher_flush(s->publisher);
    ctest_port_tick(&s->port, 0);
    cr_assert(s->port.n == 1);
    end(); // while it is under way
}

Test(publisher_cases, a_clock_that_is_behind) {
    s->port.pool.epoch = (uint64_t)1 << 60;
    store(CTEST_NOBODY, A);
    work(1000);
    cr_assert(fake_pool_has(A) && !stats().superseded);
    cr_assert(s->port.answered[KVR_CODE_STALE] == 1 && stats().epoch > (uint64_t)1 << 60);
    // The next new epoch, too, may find itself behind: nobody has heard of it yet.
    s->port.pool.epoch += 5000;
    kvr_publisher_republish(s->publisher);
    work(1000);
    cr_assert(fake_pool_has(A) && !stats().superseded);
    end();
}

Test(publisher_cases, superseded_and_back) {
    store(CTEST_NOBODY, A);
    work(100);
    s->port.pool.epoch += (uint64_t)1 << 50;
    s->port.pool.block[A] = (struct ctest_pool_block){0};
    uint64_t theirs = s->port.pool.epoch;
    store(A, B);
    work(100);
    cr_assert(stats().superseded && !kvr_publisher_settled(s->publisher));
    size_t sent = s->port.sent;
    store(B, C);
    take(A);
    kvr_publisher_flush(s->publisher);
    ctest_port_failover(&s->port);
    work(1000);
    cr_assert(s->port.sent == sent && s->port.pool.epoch == theirs, "it has stopped");
    kvr_publisher_republish(s->publisher);
    cr_assert(!stats().superseded);
    ctest_publisher_settle(s);
    cr_assert(s->port.pool.epoch > theirs && stats().republished == 1);
    end();
}

// A node has a byte for the epoch in which it was last told of.
Test(publisher_cases, more_epochs_than_nodes_can_tell_apart) {
    store(CTEST_NOBODY, A);
    store(A, B);
    for (int i = 1; i < 600; i++) {
        if (i % 100 == 0) take(B);
        if (i % 100 == 50) store(A, B);
        kvr_publisher_republish(s->publisher);
        ctest_publisher_settle(s);
        ctest_publisher_check(s);
        cr_assert(fake_pool_has(A), "epoch %d", i);
    }
    cr_assert(stats().republished == 599);
    end();
}

Test(publisher_cases, somebody_in_the_same_epoch) {
    store(CTEST_NOBODY, A);
    work(100);
    uint64_t ours = stats().epoch;
    s->port.pool.seq += 1; // an event of theirs
    s->port.pool.block[D] = (struct ctest_pool_block){true, CTEST_NOBODY, 1, 0, 0};
    store(A, B);
    work(100); // its seq is taken: a repeat, says the pool, and says no more than that
    store(B, C);
    s->port.pool.seq += 2;
    ctest_publisher_settle(s);
    cr_assert(stats().epoch > ours && fake_pool_has(C) && !fake_pool_has(D));
    end();
}

Test(publisher_cases, no_epoch_is_left) {
    struct kvr_publisher_options o = {.epoch = INT64_MAX};
    kvr_publisher_free(s->publisher);
    struct kvr_publisher_port port = ctest_port_interface(&s->port);
    s->publisher = kvr_publisher_open(&port, kvr_text("w"), 3, &o);
    store(CTEST_NOBODY, A);
    work(100);
    cr_assert(fake_pool_has(A));
    kvr_publisher_republish(s->publisher);
    work(100);
    cr_assert(stats().superseded);
    end();
}

// ---- Losses --------------------------------------------------------------------------------------

// Nobody has anything new to say, and still the pool gets back what it lost.
Test(publisher_cases, a_loss_is_noticed_in_silence) {
    store(CTEST_NOBODY, A);
    work(100);
    ctest_port_remember(&s->port);
    store(A, B);
    work(100);
    cr_assert(kvr_publisher_settled(s->publisher));
    ctest_port_failover(&s->port);
    cr_assert(!fake_pool_has(B) && !kvr_publisher_settled(s->publisher));
    work(100);
    cr_assert(fake_pool_has(B) && kvr_publisher_settled(s->publisher));
    cr_assert(!stats().republished, "the ring was enough");
    ctest_port_restart(&s->port);
    s->port.pool.exists = true;
    work(500);
    cr_assert(s->port.answered[KVR_CODE_NOWORKER] && !kvr_publisher_settled(s->publisher));
    s->port.pool.has_worker = true;
    work(3000);
    cr_assert(fake_pool_has(A) && fake_pool_has(B) && kvr_publisher_settled(s->publisher));
    end();
}

Test(publisher_cases, a_loss_that_was_none) {
    store(CTEST_NOBODY, A);
    work(100);
    size_t sent = s->port.sent;
    ctest_port_remember(&s->port);
    ctest_port_failover(&s->port);
    work(100);
    cr_assert(s->port.sent == sent + 1 && !stats().republished);
    end();
}

Test(publisher_cases, nothing_sent_nothing_asked) {
    ctest_port_failover(&s->port); // before the first event
    cr_assert(!s->port.sent);
    work(100);
    cr_assert(s->port.sent == 1);
    end();
}

// ---- Refused blocks ------------------------------------------------------------------------------

// X, A, B, C, D in one event, C known elsewhere. The blocks after it wait.
Test(publisher_cases, one_of_many_is_refused) {
    int chain[] = {A, B, C, D};
    other_stores(CTEST_NOBODY, Y);
    other_stores(Y, C);
    store(CTEST_NOBODY, X);
    ctest_publisher_store(s, KVR_HOST, X, chain, 4);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(B) && !fake_pool_has(C) && !fake_pool_has(D));
    cr_assert(stats().refused == 1 && stats().orphans == 1 && stats().badchains == 1);
    // Changes of what is left out are none for the pool.
    size_t sent = s->port.sent;
    store(D, E);
    take(E);
    work(100);
    cr_assert(s->port.sent == sent);
    // The reason is gone; a new epoch finds that out.
    ctest_port_other_removes(&s->port, C);
    kvr_publisher_republish(s->publisher);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(D) && !stats().refused && !stats().orphans);
    end();
}

Test(publisher_cases, refused_removed_and_stored_again) {
    int chain[] = {A, B};
    other_stores(CTEST_NOBODY, Y);
    other_stores(Y, A);
    ctest_publisher_store(s, KVR_DEVICE, CTEST_NOBODY, chain, 2);
    ctest_publisher_settle(s);
    cr_assert(stats().refused == 1 && stats().orphans == 1);
    take(A); // B keeps it
    ctest_port_other_removes(&s->port, A);
    work(100);
    cr_assert(stats().refused == 1);
    store(CTEST_NOBODY, A);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(A) && fake_pool_has(B) && !stats().republished);
    // And again, so that nothing of it stays here.
    take(B);
    take(A);
    ctest_publisher_settle(s);
    other_stores(Y, A);
    store(CTEST_NOBODY, A);
    ctest_publisher_settle(s);
    cr_assert(stats().refused == 1);
    take(A);
    cr_assert(!stats().refused && !stats().blocks);
    ctest_port_other_removes(&s->port, A);
    store(CTEST_NOBODY, A);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(A) && !stats().republished);
    end();
}

Test(publisher_cases, refused_below_refused) {
    other_stores(CTEST_NOBODY, Y);
    other_stores(Y, B);
    store(CTEST_NOBODY, A);
    store(A, B);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(A) && stats().refused == 1);
    take(A);
    ctest_publisher_settle(s);
    other_stores(Y, A);
    store(CTEST_NOBODY, A);
    ctest_publisher_settle(s);
    cr_assert(stats().refused == 2);
    take(A);
    ctest_port_other_removes(&s->port, A);
    size_t badchains = s->port.answered[KVR_CODE_BADCHAIN];
    store(CTEST_NOBODY, A); // told of with all that is below it, but not B
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(A) && stats().refused == 1);
    cr_assert(s->port.answered[KVR_CODE_BADCHAIN] == badchains);
    end();
}

// A is held by nobody, and all below it is refused: the pool forgets it, and hears of it again from
// somebody else, in another place. What we store below it then must not stay when A is refused.
Test(publisher_cases, a_parent_that_was_forgotten) {
    other_stores(CTEST_NOBODY, Y);
    other_stores(Y, B);
    other_stores(Y, C);
    store(CTEST_NOBODY, A);
    store(A, B);
    store(A, C);
    ctest_publisher_settle(s);
    cr_assert(stats().refused == 2);
    take(A);
    ctest_publisher_settle(s);
    cr_assert(!s->port.pool.block[A].known);
    other_stores(Y, A);
    ctest_port_other_removes(&s->port, B);
    take(B);
    store(A, B);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(B));
    store(CTEST_NOBODY, A);
    ctest_publisher_settle(s);
    cr_assert(!fake_pool_has(B) && stats().refused == 2 && stats().orphans == 1);
    end();
}

// All is sent before the refusal is heard: B has left its bad place then, and has a good one.
Test(publisher_cases, refused_and_moved_meanwhile) {
    other_stores(CTEST_NOBODY, Y);
    other_stores(Y, B);
    store(CTEST_NOBODY, Y);
    store(CTEST_NOBODY, X);
    store(X, B);
    store(B, C);
    take(C);
    take(B);
    store(Y, B);
    store(B, C);
    store(C, D);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(D) && fake_pool_has(B) && !stats().refused);
    cr_assert(s->port.answered[KVR_CODE_BADCHAIN] && !stats().republished);
    end();
}

// The only event of an epoch has nothing left: the pool must drop what it had all the same.
Test(publisher_cases, nothing_is_left_of_the_first_event) {
    other_stores(CTEST_NOBODY, Y);
    other_stores(Y, A);
    s->port.pool.block[B] = (struct ctest_pool_block){true, CTEST_NOBODY, 1, 0, 0};
    store(CTEST_NOBODY, A);
    ctest_publisher_settle(s); // looks at B, too
    cr_assert(stats().refused == 1);
    ctest_port_restart(
        &s->port); // and so must one that has lost it all, and that nobody tells anything new
    ctest_publisher_settle(s);
    cr_assert(s->port.pool.epoch == stats().epoch);
    end();
}

// A block had been accepted by a pool whose history was lost; the one that answers now refuses it. Then
// the first history is back. One seq must not have meant two things.
Test(publisher_cases, the_first_history_comes_back) {
    store(CTEST_NOBODY, A);
    ctest_publisher_settle(s);
    struct ctest_pool early = s->port.pool;
    store(A, B);
    ctest_publisher_settle(s);
    struct ctest_pool first = s->port.pool;
    s->port.snapshots[0] = early;
    s->port.n_snapshots = 1;
    ctest_port_failover(&s->port);
    other_stores(CTEST_NOBODY, Y);
    other_stores(Y, B);
    ctest_publisher_settle(s);
    cr_assert(!fake_pool_has(B) && stats().refused == 1);
    s->port.snapshots[0] = first;
    ctest_port_failover(&s->port);
    ctest_publisher_settle(s);
    end();
}

// ---- Patience ------------------------------------------------------------------------------------

// How many events are sent in a minute of nothing but this answer.
static size_t sent_in_a_minute(enum kvr_code code) {
    size_t before = s->port.sent;
    for (int64_t end = s->port.now + 60000; s->port.now < end;) {
        ctest_port_tick(&s->port, 5);
        while (ctest_port_carry_out(&s->port)) {
            struct kvr_result *r = &s->port.queue[s->port.n - 1].answer;
            *r = (struct kvr_result){.code = code, .message = "", .number = -1, .sendings = 1};
            ctest_port_answer(&s->port);
        }
    }
    return s->port.sent - before;
}

Test(publisher_cases, back_off) {
    static const int codes[] = {KVR_CODE_NOWORKER, KVR_CODE_NOPOOL,   KVR_CODE_OOM,
                                KVR_CODE_DENIED,   KVR_CODE_REFUSED,  KVR_CODE_WRONGTYPE,
                                KVR_CODE_PROTOCOL, KVR_CODE_NOPARENT, KVR_CODE_GAP,
                                KVR_CODE_TIMEOUT,  KVR_CODE_BADCHAIN};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        store(CTEST_NOBODY, A);
        take(A); // BADCHAIN: until there is nothing to refuse any more
        size_t n = sent_in_a_minute(codes[i]);
        ctest_must(n >= 10 && n <= 200, "%zu events after %s", n, kvr_code_name(codes[i]));
        ctest_must(s->port.logged <= n, "one line for each change at the most");
        s->port.pool.epoch = s->port.pool.seq = 0;
        ctest_publisher_settle(s);
        end();
        begin();
    }
    end();
}

Test(publisher_cases, said_once) {
    store(CTEST_NOBODY, A);
    sent_in_a_minute(KVR_CODE_DENIED);
    cr_assert(s->port.logged == 1);
    sent_in_a_minute(KVR_CODE_OOM);
    cr_assert(s->port.logged == 2);
    ctest_publisher_settle(s);
    cr_assert(s->port.logged == 3);
    end();
}

// ---- Sizes ---------------------------------------------------------------------------------------

Test(publisher_cases, what_is_kept_isnt_enough) {
    kvr_publisher_free(s->publisher);
    struct kvr_publisher_port port = ctest_port_interface(&s->port);
    struct kvr_publisher_options o = {.ring_bytes = 1};
    s->publisher = kvr_publisher_open(&port, kvr_text("w"), 3, &o);
    struct ctest_pool early = s->port.pool;
    for (int i = 0; i < 300; i++) {
        store(CTEST_NOBODY, A);
        kvr_publisher_flush(s->publisher);
        take(A);
        kvr_publisher_flush(s->publisher);
        ctest_publisher_work(s);
    }
    store(CTEST_NOBODY, B);
    ctest_publisher_settle(s);
    cr_assert(stats().seq == 601 && !stats().republished);
    early.epoch = 0;
    s->port.snapshots[0] = early;
    s->port.n_snapshots = 1;
    ctest_port_failover(&s->port);
    ctest_publisher_settle(s);
    cr_assert(stats().republished == 1 && stats().seq == 1 && stats().gaps == 1);
    end();
}

Test(publisher_cases, arguments) {
    struct kvr_publisher *p = s->publisher;
    uint64_t one = 7;
    char name[200] = {0};
    struct kvr_publisher_port port = ctest_port_interface(&s->port);
    struct kvr_publisher_options late = {.epoch = (uint64_t)INT64_MAX + 1};
    cr_assert(!kvr_publisher_open(&port, (struct kvr_bytes){name, 0}, 0, NULL));
    cr_assert(!kvr_publisher_open(&port, (struct kvr_bytes){name, KVR_MAX_NAME + 1}, 0, NULL));
    cr_assert(!kvr_publisher_open(&port, kvr_text("w"), KVR_MAX_RANKS, NULL));
    cr_assert(!kvr_publisher_open(&port, kvr_text("w"), 0, &late));
    int bad[] = {-1, KVR_TIERS};
    for (int i = 0; i < 2; i++) {
        cr_assert(kvr_publisher_stored(p, bad[i], NULL, &one, 1) == KVR_CODE_INVALID);
        cr_assert(kvr_publisher_removed(p, bad[i], &one, 1) == KVR_CODE_INVALID);
    }
    cr_assert(kvr_publisher_stored(p, KVR_HOST, NULL, NULL, 1) == KVR_CODE_INVALID);
    cr_assert(kvr_publisher_stored(p, KVR_HOST, NULL, &one, KVR_MAX_BLOCKS + 1) ==
              KVR_CODE_INVALID);
    cr_assert(kvr_publisher_removed(p, KVR_HOST, NULL, 1) == KVR_CODE_INVALID);
    cr_assert(kvr_publisher_cleared(p, -2) == KVR_CODE_INVALID);
    cr_assert(kvr_publisher_cleared(p, KVR_TIERS) == KVR_CODE_INVALID);
    cr_assert(kvr_publisher_stored(p, KVR_HOST, &one, NULL, 0) == KVR_CODE_OK);
    cr_assert(kvr_publisher_removed(p, KVR_HOST, NULL, 0) == KVR_CODE_OK);
    cr_assert(!stats().blocks);
    ctest_publisher_settle(s);
    end();
    kvr_publisher_free(NULL);
}

// ---- Memory --------------------------------------------------------------------------------------

Test(publisher_cases, opening_without_memory) {
    kvr_publisher_free(s->publisher);
    struct kvr_publisher_port port = ctest_port_interface(&s->port);
    for (uint64_t k = 1;; k++) {
        s->port.memory.fail_at = s->port.memory.calls + k;
        s->port.memory.failures = 0;
        s->publisher = kvr_publisher_open(&port, kvr_text("w"), 3, NULL);
        cr_assert(!s->publisher == !!s->port.memory.failures);
        if (s->publisher) break;
        cr_assert(!s->port.follower && !s->port.memory.bytes);
    }
    end();
}

// A stretch of random steps, each of its allocations failing in turn, and with `from` all after it.
static bool without_memory(const struct ctest_profile *f, uint64_t seed, uint64_t k, bool from) {
    struct ctest_publisher *t = ctest_publisher_new(f, seed);
    for (size_t i = 0; i < f->steps; i++)
        ctest_publisher_step(t);
    struct support_alloc *m = &t->port.memory;
    m->fail_at = m->calls + k;
    m->fail_from = from;
    m->one_in = UINT32_MAX; // calls may be answered NOMEM
    for (size_t i = 0; i < 12; i++)
        ctest_publisher_step(t);
    bool failed = m->failures;
    m->fail_at = 0;
    ctest_publisher_settle(t);
    ctest_publisher_free(t);
    return failed;
}

static void every_allocation(void *ctx, uint64_t seed) {
    for (int from = 0; from < 2; from++) {
        uint64_t k = 1;
        while (without_memory(ctx, seed, k, from))
            k++;
        ctest_must(k < 10000, "it doesn't end");
    }
}

Test(publisher_cases, each_allocation_fails) {
    static struct ctest_profile f = {.blocks = 40,
                                     .straight = 60,
                                     .steps = 60,
                                     .batch_blocks = 6,
                                     .nonsense = 10,
                                     .clears = 3,
                                     .republishes = 50,
                                     .failovers = 30,
                                     .others = 100};
    ctest_with_seeds(20, every_allocation, &f);
    end();
}
