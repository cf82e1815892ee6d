// SPDX-License-Identifier: Apache-2.0
// Every sentence of client.h and publisher.h that promises something, and the test that would fail if it
// weren't kept. What no other suite has is tested here; (c) is client.h, (p) publisher.h.
//
//   finds the primary by itself, again whenever it goes (c)     wrong/*, faults/*
//   sends again what was under way, without harm (c)            faults/*, chaos/nothing_is_lost
//   remembers and books back after another history (c)          chaos/*, versions/a_loss_takes_…
//   … or when the pool's version has gone back (c)              promises/a_version_that_goes_back
//   blocking: an answer or the deadline (c)                     faults/*, nomem/*
//   asynchronous: returns at once, calls back later (c)         promises/nothing_is_called_back_at_once
//   … on a caller's loop, or in kvr_client_run (c)              faults/*, wrong/* (each in three forms)
//   replies come in order (c)                                   promises/replies_come_in_order
//   with a loop only the asynchronous form (c)                  calls/blocking_on_a_loop
//   defaults of deadline, timeout, connect_timeout (c)          url/good_ones
//   a silent server counts as dead after timeout (c)            faults/* (hangs)
//   a refusal has changed nothing (c)                           calls/booked_and_then_refused
//   a RELEASE refused is repeated until it goes through (c)     calls/a_release_that_is_refused
//   READONLY, LOADING … never come out (c)                      faults/*
//   TIMEOUT: a SELECT is taken back (c)                         calls/taking_back_is_not_allowed
//   … an UPDATE or RELEASE still reaches the pool (c)           promises/what_timed_out_still_arrives
//   degrading: once the deadline has passed, then at once (c)   promises/degrading_waits_once
//   … the one with the fewest requests of this handle (c)       promises/degraded_choices_are_even
//   … none that was draining (c)                                promises/a_draining_worker_is_passed_over
//   … one with an open circuit only if all were (c)             calls/degrading_past_an_open_circuit
//   … UPDATE, RELEASE OK and carried out later (c)              calls/degrading
//   … CLAIM and the WORKER commands (c)                         promises/degraded_commands_are_kept
//   … REPORT OK and forgotten (c)                               calls/degrading_past_an_open_circuit
//   … booked when a primary is back (c)                         calls/degrading, ha/*
//   max_pending (c)                                             calls/too_many_at_once
//   max_live, max_live_bytes, unremembered (c)                  calls/too_many_to_remember, memory/*
//   a request never ended is forgotten after its lease (c)      promises/silent_requests_are_forgotten
//   65,535 workers, 1,024 deleted, none whose TTL is over (c)   memory/workers_that_came_and_went,
//                                                               memory/as_many_workers_as_a_pool_can_have
//   strings last until the next blocking call (c)               calls/results_last
//   a callback may call anything but … (c)                      calls/closing_in_a_callback, calling_in_…
//   others may update and release it (c)                        promises/others_may_update_and_release
//   kvr_code_name is never NULL (c)                             calls/names_of_codes
//   create: a pool that isn't there is created (c)              promises/a_pool_is_created
//   … NULL: NOPOOL is answered (c)                              promises/a_pool_isnt_created, a_pool_made_by_…
//   … or told only after the handle was opened (c)              promises/a_pool_isnt_created
//   refresh: ms between two looks at the workers (c)            promises/workers_are_looked_at
//   log: a line an event; no ids and no passwords in it (c)     promises/the_log_is_discreet
//   alloc is used, and all given back (c)                       nomem/*, all of calls/ and ends/
//   opening doesn't wait for a connection (c)                   promises/opening_waits_for_nobody
//   NULL with a reason (c)                                      url/opening_with_a_bad_one
//   URLs and their settings (c)                                 url/*
//   name, in CLIENT LIST (c)                                    promises/the_connection_has_a_name
//   role=any (c)                                                promises/a_replica_will_do_for_reading
//   close answers CLOSED (c)                                    calls/calling_in_a_callback
//   … in a callback, out of whatever it came (c)                ends/closing_…
//   … what is live stays booked; NULL may be closed (c)         promises/closing_leaves_what_is_booked
//   results: what each field says (c)                           versions/*, promises/numbers
//   a message never holds the caller's or server's bytes (c)    calls/a_very_long_error
//   sendings (c)                                                promises/sendings_are_counted
//   called once for each call that returned OK (c)              faults/*, wrong/*, nomem/* (each answer counted)
//   INVALID, FULL, NOMEM, CLOSED: nothing is called back (c)    calls/arguments_out_of_range, nomem/*
//   what a call is given is copied (c)                          calls/many_bytes
//   UPDATE books a request back that is gone; 1 (c)             promises/an_update_books_back
//   CLAIM, WORKER SET, WORKER DEL are remembered (c)            versions/a_loss_…, calls/a_worker_whose_end_…
//   … all of what was said of a worker (c)                      promises/all_that_was_said_of_a_worker_…
//   … and forgotten, when that is asked for (c)                 promises/what_was_said_of_a_worker_is_forgotten
//   server: Redis's INFO as fields (c)                          promises/what_the_server_says, faults/*
//   connections: the named ones (c)                             promises/who_is_connected, faults/*
//   pools: in parts (c)                                         promises/which_pools_there_are, faults/*
//   kvr_info_int (c)                                            faults/* (ctest_conversation.c)
//   wait, NOROOM, LIMITED, RELEASED; one subscription (c)       waiting/*, waiting_chaos/*, waiting_faults/*, …_real/*
//   queue, classes and flows (c)                                waiting/what_an_operator_asks, waiting_real/*
//   run and drain (c)                                           idle/*, calls/draining_…
//   stats (c)                                                   promises/stats, calls/too_many_…
//
//   GAP: sent again from the ring, or a new epoch (p)           publisher/outages, publisher_cases/what_is_kept_…
//   NOPARENT: a new epoch (p)                                   publisher/bad_answers
//   BADCHAIN: found, left out, tried again (p)                  publisher_cases/one_of_many_is_refused,
//                                                               refused_removed_and_stored_again, publisher/refused
//   another history: the last event again (p)                   publisher_cases/a_loss_is_noticed_in_silence
//   NOWORKER and the like: tries again (p)                      publisher_cases/back_off
//   the first event drops an earlier life (p)                   publisher_cases/an_empty_rank_drops_…
//   orphans; parents that nobody stores stay (p)                truth/*
//   two publishers: the later one wins (p)                      publisher_cases/superseded_and_back
//   calls only take note, the handle sends (p)                  promises/a_publisher_only_takes_note
//   the ring is bounded (p)                                     publisher_cases/what_is_kept_isnt_enough
//   options and their limits (p)                                publisher_cases/arguments
//   free: what isn't sent is dropped (p)                        ends/a_publisher_takes_along_what_isnt_sent
//   NOMEM, FULL: nothing is applied (p)                         publisher/no_room, publisher/no_memory, truth/no_…
//   stored, removed, cleared (p)                                truth/*, publisher/*
//   flush (p)                                                   publisher_cases/a_flush_is_enough_for_that
//   republish (p)                                               publisher/everything_anew
//   settled: all is acknowledged (p)                            publisher/* (compared with the pool)
//   stats: memory, holdings, orphans, refused (p)               publisher/* (ctest_publisher.c)
//   parent (p)                                                  promises/the_block_before
//   each (p)                                                    publisher/* (take_census)
#include <criterion/criterion.h>
#include <kvroute/publisher.h>
#include <stdio.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/lib/handle.h"
#include "ctest_handle.h"
#include "tests/support/support_home.h"

TestSuite(promises, .init = ctest_start, .fini = ctest_stop, .timeout = 300);

static const struct kvr_client_options none, creating = {.create = "BLOCKSIZE 16"},
                                             degrading = {.degrade = true, .refresh = 20};

static void lose_history(void) {
    fake_forget(ctest_server);
    fake_hang_up(ctest_server);
}

static const char *story(const char *about) {
    static char text[20000];
    fake_story(ctest_server, about, text, sizeof text);
    return text;
}

static size_t times(const char *about) { // that the server has heard this
    size_t n = 0;
    for (const char *at = story(about); (at = strstr(at, about)); at++)
        n++;
    return n;
}

// ---- Answers -------------------------------------------------------------------------------------

struct numbered {
    int *next, mine;
    bool in_order;
};

static void in_order(void *ctx, const struct kvr_result *r) {
    struct numbered *n = ctx;
    n->in_order = r->code == KVR_CODE_OK && (*n->next)++ == n->mine;
}

Test(promises, replies_come_in_order) {
    struct kvr_client *c = ctest_open(none, "deadline=20000");
    static struct numbered calls[500];
    int next = 0;
    for (int i = 0; i < 500; i++) {
        calls[i] = (struct numbered){&next, i, false};
        cr_assert(kvr_client_info_async(c, in_order, &calls[i]) == KVR_CODE_OK);
        if (i == 200) kvr_client_run(c, 10);
    }
    for (int64_t end = kvr_clock_ms() + 20000; next < 500 && kvr_clock_ms() < end;)
        kvr_client_run(c, 100);
    for (int i = 0; i < 500; i++)
        cr_expect(calls[i].in_order, "%d", i);
}

// Nothing comes out of the call itself: with a primary, without one, degrading, in the end.
Test(promises, nothing_is_called_back_at_once) {
    struct kvr_client *c = ctest_open(degrading, CTEST_HASTY);
    struct ctest_answers h = {0};
    struct kvr_select_call q = ctest_selection("a");
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 200; i++) {
            int before = h.n;
            cr_assert(kvr_client_select_async(c, &q, ctest_count, &h) == KVR_CODE_OK);
            cr_assert(kvr_client_release_async(c, &q.request, 1, ctest_count, &h) == KVR_CODE_OK);
            cr_assert(h.n == before, "called back within the call");
        }
        ctest_await(c, &h, 400 * (round + 1));
        ctest_without_server(c);
    }
    fake_heal(ctest_server);
}

Test(promises, numbers) {
    struct kvr_client *c = ctest_open(none, "");
    struct kvr_select_call q = ctest_selection("a");
    struct kvr_bytes ids[] = {kvr_text("a"), kvr_text("b")}, w = kvr_text("w1");
    cr_expect(kvr_client_update(c, &(struct kvr_update_call){.request = q.request})->number == 0);
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    cr_expect_str_empty(kvr_client_select(c, &q)->message);
    cr_expect(kvr_client_update(c, &(struct kvr_update_call){.request = q.request})->number == 1);
    struct kvr_claim_call k = {.request = ids[1], .worker = w, .blocks = q.blocks};
    cr_expect(kvr_client_claim(c, &k)->number == 1);
    cr_expect(kvr_client_claim(c, &k)->number == 0);
    cr_expect(kvr_client_release(c, ids, 2)->number == 2);
    cr_expect(kvr_client_release(c, ids, 2)->number == 0);
    struct kvr_op op = {.kind = KVR_OP_CLEARED, .tier = -1};
    struct kvr_event_call e = {.worker = w, .epoch = 9, .seq = 4, .ops = &op, .n_ops = 1};
    cr_expect(kvr_client_event(c, &e)->number == 4);
    cr_expect(kvr_client_info(c)->number == -1);
    cr_expect(kvr_client_report(c, w, false)->circuit == KVR_OPEN);
    static const struct {
        const char *error;
        enum kvr_code code;
        int64_t number;
    } errors[] = {{"GAP expected 17", KVR_CODE_GAP, 17},
                  {"STALE epoch 12", KVR_CODE_STALE, 12},
                  {"NOPARENT no", KVR_CODE_NOPARENT, -1},
                  {"OOM command not allowed", KVR_CODE_OOM, -1}};
    for (size_t i = 0; i < 4; i++) {
        fake_lie(ctest_server,
                 &(struct fake_lies){.fails = "KVROUTE.EVENT", .error = errors[i].error});
        const struct kvr_result *r = kvr_client_event(c, &e);
        ctest_expect(r, errors[i].code);
        cr_expect(r->number == errors[i].number && r->message[0]);
    }
    fake_lie(ctest_server, NULL);
}

Test(promises, sendings_are_counted) {
    static const struct fake_fault closes = {"closes", FAKE_FAULT_CLOSE, "", 0};
    struct kvr_client *c = ctest_open(none, "deadline=20000");
    struct kvr_client_stats s;
    cr_expect(kvr_client_info(c)->sendings == 1);
    fake_set_fault(ctest_server, &closes, 1, false);
    cr_expect(kvr_client_info(c)->sendings == 2);
    kvr_client_stats(c, &s);
    cr_expect(s.calls == 2 && s.sendings == 3);
}

Test(promises, stats) {
    struct kvr_client *c = ctest_open(creating, CTEST_HASTY);
    struct kvr_client_stats s;
    struct kvr_select_call q = ctest_selection("a");
    char primary[40];
    kvr_client_stats(c, &s);
    cr_expect(!s.connected && !s.primary[0] && !s.connects && s.calls == 0);
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    kvr_client_stats(c, &s);
    snprintf(primary, sizeof primary, "127.0.0.1:%d", fake_port(ctest_server, 0));
    cr_expect_str_eq(s.primary, primary);
    cr_expect(s.connected && s.connects == 1 && s.live == 1 && !s.unconfirmed && !s.losses);
    ctest_without_server(c);
    kvr_client_stats(c, &s);
    cr_expect(!s.connected && s.timeouts == 1 && s.live == 1);
    fake_heal(ctest_server);
    lose_history();
    cr_expect(kvr_client_drain(c, 20000));
    kvr_client_stats(c, &s);
    cr_expect(s.connects >= 2 && s.losses >= 1 && s.lost == 1 && s.repaired == 1);
    cr_expect(s.last_gap >= 50 && s.longest_gap >= s.last_gap && !s.unconfirmed);
}

// ---- Lost and put back ---------------------------------------------------------------------------

// Nothing closes: it shows in the next choice alone.
Test(promises, a_version_that_goes_back) {
    struct kvr_client *c = ctest_open(creating, "deadline=20000");
    struct kvr_select_call a = ctest_selection("a"), b = ctest_selection("b");
    for (int i = 0; i < 3; i++) // the version grows
        ctest_expect(kvr_client_select(c, i < 2 ? &b : &a), KVR_CODE_OK);
    fake_forget(ctest_server);
    b.request = kvr_text("c");
    ctest_expect(kvr_client_select(c, &b), KVR_CODE_OK);
    cr_expect(kvr_client_drain(c, 20000));
    cr_expect(fake_live(ctest_server) == 3, "%zu", fake_live(ctest_server));
}

Test(promises, an_update_books_back) {
    struct kvr_client *c = ctest_open(none, "deadline=20000");
    struct kvr_select_call q = ctest_selection("a");
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    struct kvr_client *other = ctest_open(none, "");
    cr_assert(kvr_client_release(other, &q.request, 1)->number == 1); // as the end of a lease does
    const struct kvr_result *r = kvr_client_update(
        c, &(struct kvr_update_call){.request = q.request, .output = 7, .prefilled = true});
    cr_expect(r->code == KVR_CODE_OK && r->number == 1);
    cr_expect(fake_has(ctest_server, "a", 1));
    ctest_expect_said("KVROUTE.CLAIM",
                      "KVROUTE.CLAIM pool a w1 0 HASHES … CACHED 32 OUTPUT 7 PREFILLED");
}

Test(promises, others_may_update_and_release) {
    struct kvr_client *owner = ctest_open(none, ""), *other = ctest_open(none, "");
    struct kvr_select_call q = ctest_selection("a");
    ctest_expect(kvr_client_select(owner, &q), KVR_CODE_OK);
    struct kvr_update_call u = {.request = q.request, .output = 3};
    cr_expect(kvr_client_update(other, &u)->number == 1);
    cr_expect(kvr_client_release(other, &q.request, 1)->number == 1);
    cr_expect(fake_live(ctest_server) == 0);
}

Test(promises, what_timed_out_still_arrives) {
    struct kvr_client *c = ctest_open(none, CTEST_HASTY);
    struct kvr_select_call a = ctest_selection("a"), b = ctest_selection("b");
    ctest_expect(kvr_client_select(c, &a), KVR_CODE_OK);
    ctest_expect(kvr_client_select(c, &b), KVR_CODE_OK);
    ctest_without_server(c);
    struct kvr_update_call u = {.request = a.request, .output = 5, .prefilled = true};
    ctest_expect(kvr_client_update(c, &u), KVR_CODE_TIMEOUT);
    ctest_expect(kvr_client_release(c, &b.request, 1), KVR_CODE_TIMEOUT);
    fake_heal(ctest_server);
    cr_expect(kvr_client_drain(c, 20000));
    ctest_expect_said("KVROUTE.UPDATE", "KVROUTE.UPDATE pool a PREFILLED OUTPUT 5");
    cr_expect(fake_has(ctest_server, "a", 1) && !fake_has(ctest_server, "b", 1));
}

Test(promises, silent_requests_are_forgotten) {
    struct kvr_client *c = ctest_open(none, "deadline=20000");
    struct kvr_select_call a = ctest_selection("a"), b = ctest_selection("b");
    struct kvr_client_stats s;
    a.lease = 1000;
    b.lease = KVR_NO_LEASE;
    ctest_expect(kvr_client_select(c, &b), KVR_CODE_OK);
    ctest_expect(kvr_client_select(c, &a), KVR_CODE_OK);
    struct kvr_remembered *m = &c->recovery.memory;
    struct kvr_live *l = kvr_live_find(m, a.request);
    kvr_list_remove(&l->in); // the oldest first
    kvr_list_unshift(&m->live.confirmed, &l->in);
    l->said_at -= 2 * a.lease + KVR_LEASE_MARGIN - 2000;
    kvr_recovery_soon(&c->recovery);
    kvr_client_run(c, 20);
    kvr_client_stats(c, &s);
    cr_expect(s.live == 2 && !s.forgotten);
    support_sleep_ms(2100);
    kvr_recovery_soon(&c->recovery);
    kvr_client_run(c, 20);
    kvr_client_stats(c, &s);
    cr_expect(s.live == 1 && s.forgotten == 1);
}

// ---- Without a primary ---------------------------------------------------------------------------

static struct kvr_client *without_primary(const struct fake_lies *lies) {
    struct kvr_client *c = ctest_open(degrading, CTEST_HASTY);
    fake_lie(ctest_server, lies);
    ctest_expect(kvr_client_info(c), KVR_CODE_OK);
    ctest_await_workers(c);
    ctest_without_server(c);
    return c;
}

static char degraded_choice(struct kvr_client *c, const char *id) {
    struct kvr_select_call q = ctest_selection(id);
    const struct kvr_result *r = kvr_client_select(c, &q);
    cr_assert(r->code == KVR_CODE_OK && r->degraded, "%s", kvr_code_name(r->code));
    return r->choice.worker.p[1];
}

Test(promises, degrading_waits_once) {
    struct kvr_client *c = ctest_open(degrading, CTEST_HASTY);
    ctest_expect(kvr_client_info(c), KVR_CODE_OK);
    ctest_await_workers(c);
    fake_set_fault(ctest_server, &(struct fake_fault){"dies", FAKE_FAULT_DIE, "", 0}, 1, true);
    int64_t start = kvr_clock_ms();
    degraded_choice(c, "a");
    int64_t first = kvr_clock_ms() - start;
    start = kvr_clock_ms();
    for (int i = 0; i < 5; i++) {
        char id[8];
        snprintf(id, sizeof id, "b%d", i);
        degraded_choice(c, id);
    }
    cr_expect(first >= CTEST_HASTY_MS - 50, "after %d ms", (int)first);
    cr_expect(kvr_clock_ms() - start < 5 * CTEST_HASTY_MS, "each waits for the deadline");
    fake_heal(ctest_server);
}

Test(promises, degraded_choices_are_even) {
    struct kvr_client *c = without_primary(NULL);
    int n[2] = {0};
    for (int i = 0; i < 10; i++) {
        char id[8];
        snprintf(id, sizeof id, "r%d", i);
        n[degraded_choice(c, id) == '2']++;
    }
    cr_expect(n[0] == 5 && n[1] == 5, "%d and %d", n[0], n[1]);
    // One of them ends: the next one goes there.
    cr_assert(kvr_client_release(c, &(struct kvr_bytes){"r3", 2}, 1)->code == KVR_CODE_OK);
    n[0] = degraded_choice(c, "x");
    n[1] = degraded_choice(c, "y");
    cr_expect(n[0] != 0 && n[1] != 0);
    fake_heal(ctest_server);
    cr_expect(kvr_client_drain(c, 20000));
    cr_expect(fake_live(ctest_server) == 11);
}

Test(promises, a_draining_worker_is_passed_over) {
    struct kvr_client *c = without_primary(&(struct fake_lies){.draining = "w1"});
    for (int i = 0; i < 4; i++) {
        char id[8];
        snprintf(id, sizeof id, "r%d", i);
        cr_expect(degraded_choice(c, id) == '2');
    }
    fake_heal(ctest_server);
}

Test(promises, degraded_commands_are_kept) {
    struct kvr_client *c = without_primary(NULL);
    struct kvr_claim_call k = {.request = kvr_text("a"),
                               .worker = kvr_text("w2"),
                               .blocks = {.hashes = ctest_hashes, .n = 2}};
    struct kvr_worker_call set = {
        .worker = kvr_text("w9"), .set = KVR_WORKER_ADDR, .addr = kvr_text("here")};
    const struct kvr_result *r = kvr_client_claim(c, &k);
    cr_expect(r->code == KVR_CODE_OK && r->degraded && r->number == 1);
    r = kvr_client_worker_set(c, &set);
    cr_expect(r->code == KVR_CODE_OK && r->degraded);
    r = kvr_client_worker_del(c, kvr_text("w3"));
    cr_expect(r->code == KVR_CODE_OK && r->degraded);
    fake_heal(ctest_server);
    cr_expect(kvr_client_drain(c, 20000));
    cr_expect(fake_has(ctest_server, "a", 1));
    ctest_expect_said("KVROUTE.CLAIM", "KVROUTE.CLAIM pool a w2 0 HASHES …");
    cr_expect(strstr(story("WORKER"), "WORKER SET w9") && strstr(story("WORKER"), "WORKER DEL w3"));
}

Test(promises, workers_are_looked_at) {
    struct kvr_client_options o = {.degrade = true, .refresh = 20};
    struct kvr_client *often = ctest_open(o, "");
    ctest_expect(kvr_client_info(often), KVR_CODE_OK);
    int64_t since = kvr_clock_ms();
    size_t n = 0;
    for (int64_t end = since + 60000; n < 10 && kvr_clock_ms() < end; n = times("WORKER LIST"))
        ctest_run(often, 50);
    int64_t took = kvr_clock_ms() - since;
    cr_expect(n >= 10 && n <= (size_t)took / 10 + 1, "%zu times in %d ms", n, (int)took);
    ctest_close(often);
    for (size_t before = 0; before != n; n = times("WORKER LIST")) { // one may be on its way still
        before = n;
        support_sleep_ms(100);
    }
    o.refresh = 0; // 1,000, give or take half
    struct kvr_client *seldom = ctest_open(o, "");
    ctest_expect(kvr_client_info(seldom), KVR_CODE_OK);
    since = kvr_clock_ms();
    while (times("WORKER LIST") == n && kvr_clock_ms() - since < 60000)
        ctest_run(seldom, 10);
    ctest_run(seldom, 450);
    took = kvr_clock_ms() - since;
    n = times("WORKER LIST") - n;
    cr_expect(n >= 1 && n <= 1 + (size_t)took / 500, "%zu times in %d ms", n, (int)took);
}

// ---- Opening and closing -------------------------------------------------------------------------

static char lines[20000];

static void note_line(void *ctx, enum kvr_level level, const char *line) {
    (void)ctx;
    cr_expect(level <= KVR_LOG_ERROR && !strchr(line, '\n'));
    size_t n = strlen(lines);
    snprintf(lines + n, sizeof lines - n, "%s\n", line);
}

Test(promises, a_pool_is_created) {
    fake_forget(ctest_server);
    struct kvr_client *c =
        ctest_open((struct kvr_client_options){.create = "BLOCKSIZE 16 LEASE 60000"}, "");
    struct kvr_select_call q = ctest_selection("a");
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    ctest_expect_said("KVROUTE.CREATE", "KVROUTE.CREATE pool BLOCKSIZE 16 LEASE 60000");
}

Test(promises, a_pool_isnt_created) {
    fake_forget(ctest_server);
    struct kvr_client *c = ctest_open(none, "");
    struct kvr_select_call q = ctest_selection("a");
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_NOPOOL);
    ctest_expect(kvr_client_info(c), KVR_CODE_NOPOOL);
    cr_expect(times("CREATE") == 0);
    cr_assert(kvr_client_create_with(c, "BLOCKSIZE 16"));
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    cr_expect(times("CREATE") == 1);
}

// The log says why, once; and again of another option.
Test(promises, a_pool_that_is_refused) {
    fake_forget(ctest_server);
    struct kvr_client_options o = {.create = "NOSUCH 1", .log = note_line};
    struct kvr_client *c = ctest_open(o, "deadline=300");
    struct kvr_select_call q = ctest_selection("a");
    for (int i = 0; i < 3; i++)
        cr_expect(kvr_client_select(c, &q)->code != KVR_CODE_OK);
    cr_expect(times("CREATE") > 1, "%zu", times("CREATE"));
    const char *why =
        "the pool can't be created: ERR syntax error at argument 2 (options: NOSUCH 1)";
    const char *first = strstr(lines, why);
    cr_expect(first && !strstr(first + strlen(why), "the pool"), "%s", lines);
    cr_assert(kvr_client_create_with(c, "BLOCKSIZE 16"));
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
}

// It isn't said to another history, which all else is.
Test(promises, what_was_said_of_a_worker_is_forgotten) {
    struct kvr_client *c = ctest_open(creating, "deadline=20000");
    for (int i = 0; i < 2; i++) {
        struct kvr_worker_call set = {
            .worker = kvr_text(i ? "w2" : "w1"), .set = KVR_WORKER_ADDR, .addr = kvr_text("here")};
        ctest_expect(kvr_client_worker_set(c, &set), KVR_CODE_OK);
    }
    cr_expect(kvr_client_worker_forget(c, kvr_text("w1")));
    cr_expect(kvr_client_worker_forget(c, kvr_text("nobody")));
    size_t before = times("WORKER");
    fake_forget(ctest_server);
    fake_hang_up(ctest_server);
    cr_assert(kvr_client_drain(c, 20000));
    cr_expect_eq(times("WORKER"), before + 1);
}

// What is said of it meanwhile is a part, and doesn't make up for what a history, or a call that was refused, lacks.
Test(promises, all_that_was_said_of_a_worker_is_said_again) {
    static const struct fake_lies full = {.fails = "KVROUTE.WORKER", .error = "OOM full"};
    struct kvr_client *c = ctest_open(creating, "deadline=20000");
    struct kvr_bytes label = kvr_text("a=b");
    struct kvr_worker_call all = {.worker = kvr_text("w9"),
                                  .set = KVR_WORKER_ADDR | KVR_WORKER_LABELS,
                                  .addr = kvr_text("here"),
                                  .labels = &label,
                                  .n_labels = 1},
                           part = {.worker = kvr_text("w9"), .set = KVR_WORKER_TTL, .ttl = 60000};
    for (int refused = 0; refused < 2; refused++) {
        if (refused) fake_lie(ctest_server, &full);
        ctest_expect(kvr_client_worker_set(c, &all), refused ? KVR_CODE_OOM : KVR_CODE_OK);
        fake_lie(ctest_server, &full);
        size_t before = times("WORKER SET");
        if (!refused) lose_history();
        while (times("WORKER SET") == before)
            ctest_run(c, 5);
        before = times("WORKER SET");
        fake_lie(ctest_server, NULL);
        ctest_expect(kvr_client_worker_set(c, &part), KVR_CODE_OK);
        cr_assert(kvr_client_drain(c, 20000));
        cr_expect(times("WORKER SET") >= before + 2, "%s", story("WORKER SET"));
    }
}

// What the server says of itself isn't the pool's word: one that never was isn't lost.
Test(promises, a_server_without_the_pool) {
    struct kvr_client_stats s;
    fake_forget(ctest_server);
    struct kvr_client *c = ctest_open(none, "");
    ctest_expect(kvr_client_server(c), KVR_CODE_OK);
    ctest_expect(kvr_client_connections(c), KVR_CODE_OK);
    ctest_expect(kvr_client_pools(c, 0), KVR_CODE_OK);
    ctest_expect(kvr_client_info(c), KVR_CODE_NOPOOL);
    kvr_client_stats(c, &s);
    cr_expect(s.losses == 0);
}

// Nor by a handle that came before the pool; but it knows when it has lost one that others made meanwhile.
Test(promises, a_pool_made_by_others_can_be_lost) {
    struct kvr_client_stats s;
    fake_forget(ctest_server);
    struct kvr_client *c = ctest_open(none, CTEST_HASTY), *maker = ctest_open(creating, "");
    ctest_expect(kvr_client_info(c), KVR_CODE_NOPOOL);
    ctest_expect(kvr_client_info(maker), KVR_CODE_OK);
    ctest_expect(kvr_client_info(c), KVR_CODE_OK);
    kvr_client_stats(c, &s);
    cr_expect_eq(s.losses, 0);
    ctest_close(maker);
    fake_forget(ctest_server);
    const struct kvr_result *r = kvr_client_info(c);
    cr_expect(r->code == KVR_CODE_NOPOOL || r->code == KVR_CODE_TIMEOUT);
    kvr_client_stats(c, &s);
    cr_expect_eq(s.losses, 1);
}

Test(promises, the_log_is_discreet) {
    struct kvr_client_options o = {
        .create = "BLOCKSIZE 16", .degrade = true, .refresh = 20, .log = note_line};
    struct kvr_client *c = ctest_open(o, CTEST_HASTY "&user=me&password=hush-hush");
    struct kvr_select_call q = ctest_selection("a-secret-id");
    q.session = kvr_text("a-secret-session");
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    lose_history();
    cr_expect(kvr_client_drain(c, 20000));
    ctest_without_server(c);
    fake_heal(ctest_server);
    cr_expect(kvr_client_drain(c, 20000));
    cr_expect(strstr(story("AUTH"), "AUTH me"));
    cr_expect(strstr(lines, "primary lost") && strstr(lines, "another history"), "%s", lines);
    cr_expect(!strstr(lines, "hush") && !strstr(lines, "secret"), "%s", lines);
}

Test(promises, opening_waits_for_nobody) {
    ctest_stop();
    ctest_start();
    fake_set_fault(ctest_server, &(struct fake_fault){"hangs", FAKE_FAULT_HANG, "", 0}, 1, true);
    int64_t start = kvr_clock_ms();
    struct kvr_client *c = ctest_open(none, "deadline=3000");
    cr_expect(kvr_clock_ms() - start < 2900);
    ctest_expect(kvr_client_info(c), KVR_CODE_TIMEOUT);
    fake_heal(ctest_server);
}

Test(promises, the_connection_has_a_name) {
    struct kvr_client *c = ctest_open(none, "");
    ctest_expect(kvr_client_info(c), KVR_CODE_OK);
    cr_expect(strstr(story("CLIENT"), "CLIENT SETNAME kvroute"));
    ctest_close(c);
    c = ctest_open(none, "name=front-7");
    ctest_expect(kvr_client_info(c), KVR_CODE_OK);
    cr_expect(strstr(story("CLIENT"), "CLIENT SETNAME front-7"));
}

static const char *value_of(const struct kvr_result *r, const char *name) {
    for (size_t i = 0; i < r->n; i++)
        if (!strcmp(r->fields[i].name.p, name)) return r->fields[i].value.p;
    return "";
}

Test(promises, what_the_server_says) {
    struct kvr_client *c = ctest_open(none, "");
    const struct kvr_result *r = kvr_client_server(c);
    ctest_expect(r, KVR_CODE_OK);
    cr_expect_str_eq(value_of(r, "redis_version"), "7.0.15");
    cr_expect_str_eq(value_of(r, "role"), "master");
    cr_expect(kvr_info_int(r, "connected_slaves", -1) == 0 && kvr_info_int(r, "gone", -1) == -1);
    for (size_t i = 0; i < r->n; i++) // headings and empty lines are none
        cr_expect(r->fields[i].name.n && r->fields[i].name.p[0] != '#' &&
                  !strpbrk(r->fields[i].value.p, "\r\n"));
}

Test(promises, who_is_connected) {
    struct kvr_client *c = ctest_open(none, "");
    const struct kvr_result *r = kvr_client_connections(c);
    ctest_expect(r, KVR_CODE_OK);
    cr_assert_eq(r->n, 2); // those without a name are left out
    cr_expect_str_eq(value_of(r, "front-7"), "127.0.0.1:40001");
    cr_expect_str_eq(value_of(r, "front-8"), "[::1]:40003");
    // Lines without an end, without a name, without anything.
    static const struct {
        const char *text;
        size_t n;
    } odd[] = {{"$0\r\n\r\n", 0},
               {"$6\r\n name=\r\n", 0},
               {"$7\r\nname=ab\r\n", 0}, // of something else: pairs follow a space
               {"$16\r\n\n\n name=z addr=\n\r\n", 1},
               {"$8\r\n name=zz\r\n", 1},
               {"$2\r\n\r\n\r\n", 0}};
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
        fake_set_fault(ctest_server, &(struct fake_fault){"odd", FAKE_FAULT_SAY, odd[i].text, 0}, 1,
                       false);
        r = kvr_client_connections(c);
        ctest_expect(r, KVR_CODE_OK);
        cr_expect(r->n == odd[i].n, "%zu: %zu", i, r->n);
        fake_heal(ctest_server);
    }
    fake_set_fault(ctest_server, &(struct fake_fault){"a number", FAKE_FAULT_SAY, ":1\r\n", 0}, 1,
                   false);
    ctest_expect(kvr_client_connections(c), KVR_CODE_PROTOCOL);
    fake_heal(ctest_server);
}

Test(promises, which_pools_there_are) {
    struct kvr_client *c = ctest_open(none, "");
    const struct kvr_result *r = kvr_client_pools(c, 0);
    ctest_expect(r, KVR_CODE_OK);
    cr_assert(r->n == 1 && r->cursor == 17);
    cr_expect_str_eq(r->fields[0].name.p, "pool");
    cr_expect(r->fields[0].value.n == 0);
    r = kvr_client_pools(c, r->cursor);
    ctest_expect(r, KVR_CODE_OK);
    cr_assert(r->n == 1 && r->cursor == 0);
    cr_expect_str_eq(r->fields[0].name.p, "other");
    static const char *const wrong[] = {":1\r\n", "*1\r\n$1\r\n0\r\n", "*2\r\n$1\r\n0\r\n:3\r\n",
                                        "*2\r\n$1\r\nx\r\n*0\r\n", "*2\r\n$1\r\n0\r\n*1\r\n:3\r\n"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        fake_set_fault(ctest_server, &(struct fake_fault){"odd", FAKE_FAULT_SAY, wrong[i], 0}, 1,
                       false);
        cr_expect(kvr_client_pools(c, 0)->code == KVR_CODE_PROTOCOL, "%zu", i);
        fake_heal(ctest_server);
    }
}

Test(promises, a_replica_will_do_for_reading) {
    fake_lie(ctest_server, &(struct fake_lies){.role = "slave"});
    struct kvr_client *c = ctest_open(none, CTEST_HASTY);
    ctest_expect(kvr_client_info(c), KVR_CODE_TIMEOUT);
    ctest_close(c);
    c = ctest_open(none, CTEST_HASTY "&role=any");
    ctest_expect(kvr_client_info(c), KVR_CODE_OK);
    ctest_close(c);
    fake_lie(ctest_server, NULL);
}

Test(promises, closing_leaves_what_is_booked) {
    struct kvr_client *c = ctest_open(none, "");
    struct kvr_select_call q = ctest_selection("a");
    ctest_expect(kvr_client_select(c, &q), KVR_CODE_OK);
    ctest_close(c);
    cr_expect(fake_has(ctest_server, "a", 1));
    kvr_client_close(NULL);
    kvr_publisher_free(NULL);
}

// ---- Publishers ----------------------------------------------------------------------------------

Test(promises, a_publisher_only_takes_note) {
    struct kvr_client *c = ctest_open(none, "");
    ctest_expect(kvr_client_info(c), KVR_CODE_OK);
    struct kvr_publisher *p = kvr_publisher_new(c, kvr_text("w1"), 0, NULL);
    for (uint64_t block = 100; block < 200; block++)
        cr_assert(kvr_publisher_stored(p, KVR_DEVICE, NULL, &block, 1) == KVR_CODE_OK);
    kvr_publisher_flush(p);
    support_sleep_ms(20);
    cr_expect(times("EVENT") == 0);
    // A blocking call lets it work, too.
    ctest_expect(kvr_client_info(c), KVR_CODE_OK);
    ctest_expect(kvr_client_info(c), KVR_CODE_OK);
    cr_expect(times("EVENT") >= 1);
    kvr_publisher_free(p);
}

Test(promises, the_block_before) {
    struct kvr_client *c = ctest_open(none, "");
    struct kvr_publisher *p = kvr_publisher_new(c, kvr_text("w1"), 0, NULL);
    uint64_t chain[] = {5, 6, 7}, orphan = 9, unknown = 8, parent = 0;
    bool has_parent = true;
    cr_assert(kvr_publisher_stored(p, KVR_HOST, NULL, chain, 3) == KVR_CODE_OK);
    cr_assert(kvr_publisher_stored(p, KVR_HOST, &unknown, &orphan, 1) == KVR_CODE_OK);
    cr_expect(kvr_publisher_parent(p, 5, &parent, &has_parent) && !has_parent);
    cr_expect(kvr_publisher_parent(p, 7, &parent, &has_parent) && has_parent && parent == 6);
    cr_expect(kvr_publisher_parent(p, 9, &parent, &has_parent) && has_parent && parent == 8);
    cr_expect(!kvr_publisher_parent(p, 8, &parent, &has_parent), "only known as a parent");
    cr_expect(!kvr_publisher_parent(p, 4, &parent, &has_parent));
    kvr_publisher_free(p);
}
