// SPDX-License-Identifier: Apache-2.0
// The publisher over a port that the test drives, one thing at a time: what chance meets too seldom, or heals too well.
#include <criterion/criterion.h>
#include <string.h>

#include "ctest_publisher.h"

enum { A, B, C, D, E, X, Y }; // blocks

static const struct ctest_profile quiet = {.blocks = 10, .straight = 0, .batch_blocks = 4};

static struct ctest_publisher *begin(void) {
    struct ctest_publisher *s = ctest_publisher_new(&quiet, 1);
    s->port.pool.epoch = 1; // of the life before; our clock is ahead of it
    return s;
}

static void store(struct ctest_publisher *s, int parent, int block) {
    ctest_publisher_store(s, KVR_DEVICE, parent, &block, 1);
}

static void take(struct ctest_publisher *s, int block) {
    ctest_publisher_remove(s, KVR_DEVICE, &block, 1);
}

static void other_stores(struct ctest_publisher *s, int parent, int block) {
    ctest_port_other_stores(&s->port, parent, &block, 1);
    ctest_must(s->port.pool.block[block].others, "somebody else has it");
}

static void work(struct ctest_publisher *s, size_t ms) {
    for (size_t i = 0; i < ms; i++)
        ctest_publisher_work(s);
    ctest_publisher_check(s);
}

static bool fake_pool_has(const struct ctest_publisher *s, int block) {
    return s->port.pool.block[block].ours;
}

static struct kvr_publisher_stats stats(const struct ctest_publisher *s) {
    struct kvr_publisher_stats st;
    kvr_publisher_stats(s->publisher, &st);
    return st;
}

// ---- Epochs --------------------------------------------------------------------------------------

Test(publisher_cases, an_empty_rank_drops_what_was_left) {
    struct ctest_publisher *s = begin();
    size_t left = 0;
    for (int i = 0; i < (int)quiet.blocks; i++)
        left += fake_pool_has(s, i);
    cr_assert(left && !kvr_publisher_settled(s->publisher));
    for (int i = 0; i < 60 && !kvr_publisher_settled(s->publisher); i++)
        ctest_publisher_work(s);
    cr_assert(kvr_publisher_settled(s->publisher) && s->port.answered[KVR_CODE_OK] == 1);
    for (int i = 0; i < (int)quiet.blocks; i++)
        cr_assert(!fake_pool_has(s, i));
    work(s, 5000);
    cr_assert(s->port.sent == 1, "who has nothing to say says nothing");
    ctest_publisher_free(s);
}

Test(publisher_cases, a_flush_is_enough_for_that) {
    struct ctest_publisher *s = begin();
    kvr_publisher_flush(s->publisher);
    ctest_port_tick(&s->port, 0);
    cr_assert(s->port.n == 1);
    ctest_publisher_free(s); // while it is under way
}

Test(publisher_cases, a_clock_that_is_behind) {
    struct ctest_publisher *s = begin();
    s->port.pool.epoch = (uint64_t)1 << 60;
    store(s, CTEST_NOBODY, A);
    work(s, 1000);
    cr_assert(fake_pool_has(s, A) && !stats(s).superseded);
    cr_assert(s->port.answered[KVR_CODE_STALE] == 1 && stats(s).epoch > (uint64_t)1 << 60);
    // The next new epoch, too, may find itself behind: nobody has heard of it yet.
    s->port.pool.epoch += 5000;
    kvr_publisher_republish(s->publisher);
    work(s, 1000);
    cr_assert(fake_pool_has(s, A) && !stats(s).superseded);
    ctest_publisher_free(s);
}

Test(publisher_cases, superseded_and_back) {
    struct ctest_publisher *s = begin();
    store(s, CTEST_NOBODY, A);
    work(s, 100);
    s->port.pool.epoch += (uint64_t)1 << 50;
    s->port.pool.block[A] = (struct ctest_pool_block){0};
    uint64_t theirs = s->port.pool.epoch;
    store(s, A, B);
    work(s, 100);
    cr_assert(stats(s).superseded && !kvr_publisher_settled(s->publisher));
    size_t sent = s->port.sent;
    store(s, B, C);
    take(s, A);
    kvr_publisher_flush(s->publisher);
    ctest_port_failover(&s->port);
    work(s, 1000);
    cr_assert(s->port.sent == sent && s->port.pool.epoch == theirs, "it has stopped");
    kvr_publisher_republish(s->publisher);
    cr_assert(!stats(s).superseded);
    ctest_publisher_settle(s);
    cr_assert(s->port.pool.epoch > theirs && stats(s).republished == 1);
    ctest_publisher_free(s);
}

Test(publisher_cases, somebody_in_the_same_epoch) {
    struct ctest_publisher *s = begin();
    store(s, CTEST_NOBODY, A);
    work(s, 100);
    uint64_t ours = stats(s).epoch;
    s->port.pool.seq += 1; // an event of theirs
    s->port.pool.block[D] = (struct ctest_pool_block){true, CTEST_NOBODY, 1, 0, 0};
    store(s, A, B);
    work(s, 100); // its seq is taken: a repeat, says the pool, and says no more than that
    store(s, B, C);
    s->port.pool.seq += 2;
    ctest_publisher_settle(s);
    cr_assert(stats(s).epoch > ours && fake_pool_has(s, C) && !fake_pool_has(s, D));
    ctest_publisher_free(s);
}

Test(publisher_cases, no_epoch_is_left) {
    struct ctest_publisher *s = begin();
    struct kvr_publisher_options o = {.epoch = INT64_MAX};
    kvr_publisher_free(s->publisher);
    struct kvr_publisher_port port = ctest_port_interface(&s->port);
    s->publisher = kvr_publisher_open(&port, kvr_text("w"), 3, &o);
    store(s, CTEST_NOBODY, A);
    work(s, 100);
    cr_assert(fake_pool_has(s, A));
    kvr_publisher_republish(s->publisher);
    work(s, 100);
    cr_assert(stats(s).superseded);
    ctest_publisher_free(s);
}

// ---- Losses --------------------------------------------------------------------------------------

// Nobody has anything new to say, and still the pool gets back what it lost.
Test(publisher_cases, a_loss_is_noticed_in_silence) {
    struct ctest_publisher *s = begin();
    store(s, CTEST_NOBODY, A);
    work(s, 100);
    ctest_port_remember(&s->port);
    store(s, A, B);
    work(s, 100);
    cr_assert(kvr_publisher_settled(s->publisher));
    ctest_port_failover(&s->port);
    cr_assert(!fake_pool_has(s, B) && !kvr_publisher_settled(s->publisher));
    work(s, 100);
    cr_assert(fake_pool_has(s, B) && kvr_publisher_settled(s->publisher));
    cr_assert(!stats(s).republished, "the ring was enough");
    ctest_port_restart(&s->port);
    s->port.pool.exists = true;
    work(s, 500);
    cr_assert(s->port.answered[KVR_CODE_NOWORKER] && !kvr_publisher_settled(s->publisher));
    s->port.pool.has_worker = true;
    work(s, 3000);
    cr_assert(fake_pool_has(s, A) && fake_pool_has(s, B) && kvr_publisher_settled(s->publisher));
    ctest_publisher_free(s);
}

Test(publisher_cases, a_loss_that_was_none) {
    struct ctest_publisher *s = begin();
    store(s, CTEST_NOBODY, A);
    work(s, 100);
    size_t sent = s->port.sent;
    ctest_port_remember(&s->port);
    ctest_port_failover(&s->port);
    work(s, 100);
    cr_assert(s->port.sent == sent + 1 && !stats(s).republished);
    ctest_publisher_free(s);
}

Test(publisher_cases, nothing_sent_nothing_asked) {
    struct ctest_publisher *s = begin();
    ctest_port_failover(&s->port); // before the first event
    cr_assert(!s->port.sent);
    work(s, 100);
    cr_assert(s->port.sent == 1);
    ctest_publisher_free(s);
}

// ---- Refused blocks ------------------------------------------------------------------------------

// X, A, B, C, D in one event, C known elsewhere. The blocks after it wait.
Test(publisher_cases, one_of_many_is_refused) {
    struct ctest_publisher *s = begin();
    int chain[] = {A, B, C, D};
    other_stores(s, CTEST_NOBODY, Y);
    other_stores(s, Y, C);
    store(s, CTEST_NOBODY, X);
    ctest_publisher_store(s, KVR_HOST, X, chain, 4);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(s, B) && !fake_pool_has(s, C) && !fake_pool_has(s, D));
    cr_assert(stats(s).refused == 1 && stats(s).orphans == 1 && stats(s).badchains == 1);
    // Changes of what is left out are none for the pool.
    size_t sent = s->port.sent;
    store(s, D, E);
    take(s, E);
    work(s, 100);
    cr_assert(s->port.sent == sent);
    // The reason is gone; a new epoch finds that out.
    ctest_port_other_removes(&s->port, C);
    kvr_publisher_republish(s->publisher);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(s, D) && !stats(s).refused && !stats(s).orphans);
    ctest_publisher_free(s);
}

Test(publisher_cases, refused_removed_and_stored_again) {
    struct ctest_publisher *s = begin();
    int chain[] = {A, B};
    other_stores(s, CTEST_NOBODY, Y);
    other_stores(s, Y, A);
    ctest_publisher_store(s, KVR_DEVICE, CTEST_NOBODY, chain, 2);
    ctest_publisher_settle(s);
    cr_assert(stats(s).refused == 1 && stats(s).orphans == 1);
    take(s, A); // B keeps it
    ctest_port_other_removes(&s->port, A);
    work(s, 100);
    cr_assert(stats(s).refused == 1);
    store(s, CTEST_NOBODY, A);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(s, A) && fake_pool_has(s, B) && !stats(s).republished);
    // And again, so that nothing of it stays here.
    take(s, B);
    take(s, A);
    ctest_publisher_settle(s);
    other_stores(s, Y, A);
    store(s, CTEST_NOBODY, A);
    ctest_publisher_settle(s);
    cr_assert(stats(s).refused == 1);
    take(s, A);
    cr_assert(!stats(s).refused && !stats(s).blocks);
    ctest_port_other_removes(&s->port, A);
    store(s, CTEST_NOBODY, A);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(s, A) && !stats(s).republished);
    ctest_publisher_free(s);
}

Test(publisher_cases, refused_below_refused) {
    struct ctest_publisher *s = begin();
    other_stores(s, CTEST_NOBODY, Y);
    other_stores(s, Y, B);
    store(s, CTEST_NOBODY, A);
    store(s, A, B);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(s, A) && stats(s).refused == 1);
    take(s, A);
    ctest_publisher_settle(s);
    other_stores(s, Y, A);
    store(s, CTEST_NOBODY, A);
    ctest_publisher_settle(s);
    cr_assert(stats(s).refused == 2);
    take(s, A);
    ctest_port_other_removes(&s->port, A);
    size_t badchains = s->port.answered[KVR_CODE_BADCHAIN];
    store(s, CTEST_NOBODY, A); // told of with all that is below it, but not B
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(s, A) && stats(s).refused == 1);
    cr_assert(s->port.answered[KVR_CODE_BADCHAIN] == badchains);
    ctest_publisher_free(s);
}

// A is held by nobody, and all below it is refused: the pool forgets it, and hears of it again from
// somebody else, in another place. What we store below it then must not stay when A is refused.
Test(publisher_cases, a_parent_that_was_forgotten) {
    struct ctest_publisher *s = begin();
    other_stores(s, CTEST_NOBODY, Y);
    other_stores(s, Y, B);
    other_stores(s, Y, C);
    store(s, CTEST_NOBODY, A);
    store(s, A, B);
    store(s, A, C);
    ctest_publisher_settle(s);
    cr_assert(stats(s).refused == 2);
    take(s, A);
    ctest_publisher_settle(s);
    cr_assert(!s->port.pool.block[A].known);
    other_stores(s, Y, A);
    ctest_port_other_removes(&s->port, B);
    take(s, B);
    store(s, A, B);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(s, B));
    store(s, CTEST_NOBODY, A);
    ctest_publisher_settle(s);
    cr_assert(!fake_pool_has(s, B) && stats(s).refused == 2 && stats(s).orphans == 1);
    ctest_publisher_free(s);
}

// All is sent before the refusal is heard: B has left its bad place then, and has a good one.
Test(publisher_cases, refused_and_moved_meanwhile) {
    struct ctest_publisher *s = begin();
    other_stores(s, CTEST_NOBODY, Y);
    other_stores(s, Y, B);
    store(s, CTEST_NOBODY, Y);
    store(s, CTEST_NOBODY, X);
    store(s, X, B);
    store(s, B, C);
    take(s, C);
    take(s, B);
    store(s, Y, B);
    store(s, B, C);
    store(s, C, D);
    ctest_publisher_settle(s);
    cr_assert(fake_pool_has(s, D) && fake_pool_has(s, B) && !stats(s).refused);
    cr_assert(s->port.answered[KVR_CODE_BADCHAIN] && !stats(s).republished);
    ctest_publisher_free(s);
}

// The only event of an epoch has nothing left: the pool must drop what it had all the same.
Test(publisher_cases, nothing_is_left_of_the_first_event) {
    struct ctest_publisher *s = begin();
    other_stores(s, CTEST_NOBODY, Y);
    other_stores(s, Y, A);
    s->port.pool.block[B] = (struct ctest_pool_block){true, CTEST_NOBODY, 1, 0, 0};
    store(s, CTEST_NOBODY, A);
    ctest_publisher_settle(s); // looks at B, too
    cr_assert(stats(s).refused == 1);
    ctest_port_restart(
        &s->port); // and so must one that has lost it all, and that nobody tells anything new
    ctest_publisher_settle(s);
    cr_assert(s->port.pool.epoch == stats(s).epoch);
    ctest_publisher_free(s);
}

// A block had been accepted by a pool whose history was lost; the one that answers now refuses it. Then
// the first history is back. One seq must not have meant two things.
Test(publisher_cases, the_first_history_comes_back) {
    struct ctest_publisher *s = begin();
    store(s, CTEST_NOBODY, A);
    ctest_publisher_settle(s);
    struct ctest_pool early = s->port.pool;
    store(s, A, B);
    ctest_publisher_settle(s);
    struct ctest_pool first = s->port.pool;
    s->port.snapshots[0] = early;
    s->port.n_snapshots = 1;
    ctest_port_failover(&s->port);
    other_stores(s, CTEST_NOBODY, Y);
    other_stores(s, Y, B);
    ctest_publisher_settle(s);
    cr_assert(!fake_pool_has(s, B) && stats(s).refused == 1);
    s->port.snapshots[0] = first;
    ctest_port_failover(&s->port);
    ctest_publisher_settle(s);
    ctest_publisher_free(s);
}

// ---- Patience ------------------------------------------------------------------------------------

// How many events are sent in a minute of nothing but this answer.
static size_t sent_in_a_minute(struct ctest_publisher *s, enum kvr_code code) {
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
    static const enum kvr_code codes[] = {KVR_CODE_NOWORKER, KVR_CODE_NOPOOL,   KVR_CODE_OOM,
                                          KVR_CODE_DENIED,   KVR_CODE_REFUSED,  KVR_CODE_WRONGTYPE,
                                          KVR_CODE_PROTOCOL, KVR_CODE_NOPARENT, KVR_CODE_GAP,
                                          KVR_CODE_TIMEOUT,  KVR_CODE_BADCHAIN};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        struct ctest_publisher *s = begin();
        store(s, CTEST_NOBODY, A);
        take(s, A); // BADCHAIN: until there is nothing to refuse any more
        size_t n = sent_in_a_minute(s, codes[i]);
        ctest_must(n >= 10 && n <= 200, "%zu events after %s", n, kvr_code_name(codes[i]));
        ctest_must(s->port.logged <= n, "one line for each change at the most");
        s->port.pool.epoch = s->port.pool.seq = 0;
        ctest_publisher_settle(s);
        ctest_publisher_free(s);
    }
}

Test(publisher_cases, said_once) {
    struct ctest_publisher *s = begin();
    store(s, CTEST_NOBODY, A);
    sent_in_a_minute(s, KVR_CODE_DENIED);
    cr_assert(s->port.logged == 1);
    sent_in_a_minute(s, KVR_CODE_OOM);
    cr_assert(s->port.logged == 2);
    ctest_publisher_settle(s);
    cr_assert(s->port.logged == 3);
    ctest_publisher_free(s);
}

// ---- Sizes ---------------------------------------------------------------------------------------

Test(publisher_cases, what_is_kept_isnt_enough) {
    struct ctest_publisher *s = begin();
    kvr_publisher_free(s->publisher);
    struct kvr_publisher_port port = ctest_port_interface(&s->port);
    struct kvr_publisher_options o = {.ring_bytes = 1};
    s->publisher = kvr_publisher_open(&port, kvr_text("w"), 3, &o);
    struct ctest_pool early = s->port.pool;
    for (int i = 0; i < 300; i++) {
        store(s, CTEST_NOBODY, A);
        kvr_publisher_flush(s->publisher);
        take(s, A);
        kvr_publisher_flush(s->publisher);
        ctest_publisher_work(s);
    }
    store(s, CTEST_NOBODY, B);
    ctest_publisher_settle(s);
    cr_assert(stats(s).seq == 601 && !stats(s).republished);
    early.epoch = 0;
    s->port.snapshots[0] = early;
    s->port.n_snapshots = 1;
    ctest_port_failover(&s->port);
    ctest_publisher_settle(s);
    cr_assert(stats(s).republished == 1 && stats(s).seq == 1 && stats(s).gaps == 1);
    ctest_publisher_free(s);
}

Test(publisher_cases, arguments) {
    struct ctest_publisher *s = begin();
    struct kvr_publisher *p = s->publisher;
    uint64_t one = 7;
    char name[200] = {0};
    struct kvr_publisher_port port = ctest_port_interface(&s->port);
    struct kvr_publisher_options late = {.epoch = (uint64_t)INT64_MAX + 1};
    cr_assert(!kvr_publisher_open(&port, (struct kvr_bytes){name, 0}, 0, NULL));
    cr_assert(!kvr_publisher_open(&port, (struct kvr_bytes){name, KVR_MAX_NAME + 1}, 0, NULL));
    cr_assert(!kvr_publisher_open(&port, kvr_text("w"), KVR_MAX_RANKS, NULL));
    cr_assert(!kvr_publisher_open(&port, kvr_text("w"), 0, &late));
    enum kvr_tier bad[] = {(enum kvr_tier) - 1, KVR_TIERS};
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
    cr_assert(!stats(s).blocks);
    ctest_publisher_settle(s);
    ctest_publisher_free(s);
    kvr_publisher_free(NULL);
}

// ---- Memory --------------------------------------------------------------------------------------

Test(publisher_cases, opening_without_memory) {
    struct ctest_publisher *s = begin();
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
    ctest_publisher_free(s);
}

// A stretch of random steps, each of its allocations failing in turn, and with `from` all after it.
static bool without_memory(const struct ctest_profile *f, uint64_t seed, uint64_t k, bool from) {
    struct ctest_publisher *s = ctest_publisher_new(f, seed);
    for (size_t i = 0; i < f->steps; i++)
        ctest_publisher_step(s);
    struct testmem *m = &s->port.memory;
    m->fail_at = m->calls + k;
    m->fail_from = from;
    m->one_in = UINT32_MAX; // calls may be answered NOMEM
    for (size_t i = 0; i < 12; i++)
        ctest_publisher_step(s);
    bool failed = m->failures;
    m->fail_at = 0;
    ctest_publisher_settle(s);
    ctest_publisher_free(s);
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
}
