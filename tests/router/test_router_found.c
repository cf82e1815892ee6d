// SPDX-License-Identifier: Apache-2.0
// Engines that routers find, as workers of a real pool: how they come, and that they go only when no router sees
// them. The places where they are found have tests of their own; here it is files, one for each router.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "client/router/pools/router_pool.h"
#include "client/router/pools/router_registration.h"
#include "rtest_fleet.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

enum { FOUND_ENGINES = 2 };
// Others' renewals are known to within half a second: of shorter times there would be no telling on a busy machine.
#define FOUND_TTL_MS "3000"

static char files[2][200];

// The engines (a bit each) that a router finds, and those that are to leave; replaced at once, as such files should
// be. Each has labels that are the router's to give, and so are left out.
static void write_states(int router, unsigned engines, unsigned leaving) {
    char part[220];
    support_path(files[router], sizeof files[router], "engines-%d", router);
    snprintf(part, sizeof part, "%s.part", files[router]);
    FILE *f = fopen(part, "w");
    fputs("# engines\n", f);
    for (int i = 0; i < FOUND_ENGINES; i++)
        if (engines & 1u << i)
            fprintf(f, "http://127.0.0.1:%d label=by=http label=discovery=gone label=number=%d%s\n",
                    rtest_fleet.engines[i].port, i, leaving & 1u << i ? " state=draining" : "");
    fclose(f);
    cr_assert_eq(rename(part, files[router]), 0);
}

static void write_file(int router, unsigned engines) {
    write_states(router, engines, 0);
}

static void start_router(int router) {
    char source[260];
    snprintf(source, sizeof source, "file://%s every=100 drain=600000", files[router]);
    rtest_router(router, (const char *[]){"--ttl", FOUND_TTL_MS, "--refresh", "100", "--discover",
                                          source, "--migrate", "0", NULL});
}

static void bring_up(unsigned first, unsigned second) {
    rtest_clients_open();
    rtest_redis();
    for (int i = 0; i < FOUND_ENGINES; i++)
        rtest_engine(i, "--no-events --decode-speed 20 --time-scale 1");
    write_file(0, first);
    write_file(1, second);
    start_router(0);
    start_router(1);
    rtest_await_ready(0);
    rtest_await_ready(1);
}

// What the pool says of an engine: its state, and whether it has a label; "none": it isn't there.
static const char *state_of(int engine) {
    static char state[40];
    redisReply *r =
        rtest_command("KVROUTE.WORKER GET kvroute 127.0.0.1:%d", rtest_fleet.engines[engine].port);
    const redisReply *s = support_redis_field(r, "state");
    snprintf(state, sizeof state, "%s", s ? s->str : "none");
    freeReplyObject(r);
    return state;
}

static bool has_label(int engine, const char *label) {
    redisReply *r =
        rtest_command("KVROUTE.WORKER GET kvroute 127.0.0.1:%d", rtest_fleet.engines[engine].port);
    const redisReply *all = support_redis_field(r, "labels");
    bool has = false;
    for (size_t i = 0; all && i < all->elements; i++)
        has |= !strcmp(all->element[i]->str, label);
    freeReplyObject(r);
    return has;
}

// Labels are said when the worker has been seen, which is a little later than the worker.
static void await_label(int engine, const char *label) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !has_label(engine, label);
         rtest_clients_run(10))
        cr_assert(kvr_clock_ms() < end, "it doesn't get the label %s", label);
}

static void await_state(int engine, const char *state) {
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; strcmp(state_of(engine), state) != 0;
         rtest_clients_run(10))
        cr_assert(kvr_clock_ms() < end, "%d is %s, not %s", engine, state_of(engine), state);
}

// The source says where it is, the engine what it is.
Test(router_found, engines_say_what_they_are, .fini = rtest_fleet_down) {
    rtest_clients_open();
    rtest_redis();
    rtest_engine(0, "--no-events --ranks 2 --blocks 300 --schema sglang --disaggregation sglang "
                    "--role decode");
    write_file(0, 1);
    start_router(0);
    bool known = false;
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; !known; rtest_clients_run(10)) {
        cr_assert(kvr_clock_ms() < end, "it has said nothing");
        redisReply *r =
            rtest_command("KVROUTE.WORKER GET kvroute 127.0.0.1:%d", rtest_fleet.engines[0].port);
        const redisReply *ranks = support_redis_field(r, "ranks");
        const redisReply *capacity = support_redis_field(r, "capacity");
        const redisReply *role = support_redis_field(r, "role");
        known = ranks && ranks->elements == 2 && capacity && capacity->integer == 300 && role &&
                !strcmp(role->str, "decode");
        freeReplyObject(r);
    }
}

// One stream, which is at engine 0 because no other is there.
static char *start_stream(struct rtest_client *who) {
    char *body;
    rtest_slow_streams(who, 1, &body, 1, 200);
    return body;
}

Test(router_found, served_by_what_is_found, .fini = rtest_fleet_down) {
    bring_up(3, 3);
    await_state(0, "ready");
    await_state(1, "ready");
    await_label(1, "number=1");
    cr_assert_not(has_label(1, "by=http"));
    cr_assert_not(has_label(1, "discovery=gone"));
    rtest_ask_well(0, "hello", 4, true);
    rtest_ask_well(1, "hello", 4, true);
    char name[300];
    snprintf(name, sizeof name, "discovery_engines{source=\"file://%s\"}", files[0]);
    cr_assert_eq(rtest_router_metric(0, name), 2);
}

// Says so, and loses nobody.
Test(router_found, broken_sources_are_problems, .fini = rtest_fleet_down) {
    bring_up(1, 1);
    await_state(0, "ready");
    cr_assert_eq(unlink(files[0]), 0);
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS;; rtest_clients_run(100)) {
        struct support_response r = rtest_get(rtest_fleet.routers[0].port, "/v1/status");
        bool says = r.body && strstr(r.body, "discovery_failing") &&
                    strstr(r.body, "No such file") && strstr(r.body, "The 1 engine known there");
        support_response_free(&r);
        if (says) break;
        cr_assert(kvr_clock_ms() < end);
    }
    write_file(1, 2);
    rtest_clients_run(6000);
    cr_assert_str_eq(state_of(0), "ready");
}

// Before Redis is there, too.
Test(router_found, served_without_redis, .fini = rtest_fleet_down) {
    rtest_clients_open();
    rtest_redis();
    rtest_kill_redis(SIGKILL);
    rtest_engine(0, "--no-events --time-scale 0");
    write_file(0, 1);
    start_router(0);
    struct rtest_client who = {.status = 0};
    for (int64_t end = kvr_clock_ms() + RTEST_WAIT_MS; who.status != 200;) {
        cr_assert(kvr_clock_ms() < end, "%d", who.status);
        who = rtest_ask(0, "hello", 4, false);
        rtest_client_free(&who);
    }
}

// Its stream ends, and then it isn't there any more.
Test(router_found, drained_when_nobody_sees_it, .fini = rtest_fleet_down) {
    struct rtest_client who;
    bring_up(1, 1);
    await_state(0, "ready");
    char *body = start_stream(&who);
    write_file(0, 2);
    write_file(1, 2);
    await_state(1, "ready");
    await_state(0, "draining");
    cr_assert(has_label(0, "discovery=gone"));
    cr_assert(has_label(0, "number=0"));
    rtest_clients_finish();
    cr_assert(who.status == 200 && who.complete);
    await_state(0, "none");
    rtest_client_free(&who);
    free(body);
}

Test(router_found, stays_while_another_router_sees_it, .fini = rtest_fleet_down) {
    bring_up(3, 3);
    await_state(0, "ready");
    await_state(1, "ready");
    write_file(0, 2);
    rtest_clients_run(10000); // three TTLs: both have had their turns
    cr_assert_str_eq(state_of(0), "ready");
    rtest_expect_log(0, "is drained", false);
    rtest_expect_log(1, "is drained", false);
    write_file(1, 2);
    await_state(0, "none");
}

Test(router_found, returns_from_its_drain, .fini = rtest_fleet_down) {
    struct rtest_client who;
    bring_up(1, 1);
    await_state(0, "ready");
    char *body = start_stream(&who);
    write_file(0, 2);
    write_file(1, 2);
    await_state(0, "draining");
    write_file(1, 3);
    await_state(0, "ready");
    cr_assert_not(has_label(0, "discovery=gone"));
    rtest_clients_finish();
    cr_assert(who.status == 200 && who.complete);
    rtest_client_free(&who);
    free(body);
    rtest_clients_run(6000);
    cr_assert_str_eq(state_of(0), "ready");
}

// What one router's source knows goes before what another's doesn't know yet. One that has just begun may take the
// worker for one that has come back, once.
Test(router_found, leaves_when_its_source_says_so, .fini = rtest_fleet_down) {
    bring_up(3, 3);
    await_state(0, "ready");
    await_state(1, "ready");
    write_states(0, 3, 1);
    await_state(0, "draining");
    cr_assert(has_label(0, "discovery=leaving"));
    rtest_clients_run(6000);
    await_state(0, "draining");
    cr_assert_leq(support_log_count(rtest_fleet.logs[0], "is drained"), 2);
    rtest_expect_log(1, "is drained", false);
    write_states(0, 3, 0);
    await_state(0, "ready");
    cr_assert_not(has_label(0, "discovery=leaving"));
    cr_assert(has_label(0, "number=0"));
}

Test(router_found, operators_drains_stay, .fini = rtest_fleet_down) {
    bring_up(3, 3);
    await_state(0, "ready");
    freeReplyObject(rtest_command("KVROUTE.WORKER SET kvroute 127.0.0.1:%d STATE draining",
                                  rtest_fleet.engines[0].port));
    rtest_kill(&rtest_fleet.routers[1], SIGKILL);
    start_router(1); // what finds it anew doesn't know who drained it
    rtest_await_ready(1);
    rtest_clients_run(6000);
    cr_assert_str_eq(state_of(0), "draining");
}

// Nobody is left to drain it.
Test(router_found, expires_with_its_routers, .fini = rtest_fleet_down) {
    bring_up(1, 1);
    await_state(0, "ready");
    rtest_kill(&rtest_fleet.routers[0], SIGKILL);
    rtest_clients_run(6000);
    cr_assert_str_eq(state_of(0), "ready");
    rtest_kill(&rtest_fleet.routers[1], SIGKILL);
    await_state(0, "expired");
}

// A worker that somebody deletes by mistake is there again, whole.
Test(router_found, deleted_is_registered_anew, .fini = rtest_fleet_down) {
    bring_up(1, 1);
    await_state(0, "ready");
    freeReplyObject(
        rtest_command("KVROUTE.WORKER DEL kvroute 127.0.0.1:%d", rtest_fleet.engines[0].port));
    await_state(0, "ready");
    await_label(0, "number=0");
    rtest_ask_well(0, "hello", 4, true);
}

// Made again by somebody who knows where it is, but not which labels it has.
Test(router_found, deleted_gets_its_labels_again, .fini = rtest_fleet_down) {
    static const char make_anew[] =
        "redis.call('KVROUTE.WORKER', 'DEL', KEYS[1], ARGV[1]) "
        "redis.call('KVROUTE.WORKER', 'SET', KEYS[1], ARGV[1], 'ADDR', ARGV[2], 'TTL', 60000) "
        "return 1";
    char name[40], addr[60];
    bring_up(1, 1);
    await_state(0, "ready");
    await_label(0, "number=0");
    rtest_clients_run(3000); // both have said all that they have to say
    snprintf(name, sizeof name, "127.0.0.1:%d", rtest_fleet.engines[0].port);
    snprintf(addr, sizeof addr, "http://%s", name);
    cr_assert_eq(rtest_integer("EVAL %s 1 kvroute %s %s", make_anew, name, addr), 1);
    await_label(0, "number=0");
}

Test(router_found, sighup_takes_sources_away, .fini = rtest_fleet_down) {
    char file[200];
    bring_up(1, 0);
    await_state(0, "ready");
    support_path(file, sizeof file, "router.conf");
    FILE *f = fopen(file, "w");
    fprintf(f,
            "[router]\nttl = " FOUND_TTL_MS "\nrefresh = 100\n[discover file://%s]\nevery = 100\n",
            files[0]);
    fclose(f);
    rtest_router(2, (const char *[]){"--config", file, NULL});
    rtest_await_ready(2);
    rtest_kill(&rtest_fleet.routers[0], SIGKILL);
    f = fopen(file, "w");
    fprintf(f,
            "[router]\nttl = " FOUND_TTL_MS "\nrefresh = 100\n[discover file://%s]\nevery = 100\n",
            files[1]);
    fclose(f);
    kill(rtest_fleet.routers[2].pid, SIGHUP);
    await_state(0, "none");
    rtest_expect_log(2, "settings read", true);
}

// A list that was long under way seems to say that others renew what this router has renewed.
Test(found_parts, a_list_that_is_late) {
    enum { TTL = 5000, LATE_MS = 1500 };
    int64_t now = kvr_clock_us();
    struct router_worker w = {.state = KVR_READY, .name = "h:1", .addr = "http://h:1"};
    struct router_pool p = {.workers = &w, .n_workers = 1, .seen_us = now, .sent_us = now};
    struct discovery_engine e = {.url = w.addr, .name = w.name, .pool = "", .ranks = 1};
    struct router_registration g;
    cr_assert(router_registration_init(&g, &e, 1000));
    router_registration_lose(&g);
    g.own_us = g.since_us = now - LATE_MS * 1000;
    w.ttl_left = TTL - LATE_MS; // by the list that came at once: nobody else does
    cr_expect(router_registration_tick(&g, &p, TTL));
    w.ttl_left = TTL; // as it was when the list left Redis
    p.sent_us = now - LATE_MS * 1000;
    cr_expect(router_registration_tick(&g, &p, TTL), "the next list will tell");
    p.sent_us = now;
    cr_expect(!router_registration_tick(&g, &p, TTL), "somebody does");
    router_registration_close(&g);
}

// Until the pool has been seen there may be as many as a source finds, in whatever order.
Test(found_parts, workers_that_are_supposed) {
    enum { SUPPOSED = 997 }; // a prime
    struct router_pool p = {0};
    char name[20];
    for (size_t turn = 0; turn < 2; turn++) // twice the same
        for (size_t i = 0, k = 0; i < SUPPOSED; i++, k = (k + 421) % SUPPOSED) {
            snprintf(name, sizeof name, "w%zu", k);
            cr_assert(router_pool_suppose(&p, name, "http://h:1", KVR_ROLE_BOTH, (uint32_t)k, 0));
        }
    cr_assert_eq(p.n_workers, SUPPOSED);
    for (size_t k = 0; k < SUPPOSED; k++) {
        snprintf(name, sizeof name, "w%zu", k);
        const struct router_worker *w = router_pool_worker(&p, kvr_text(name));
        cr_assert(w && !strcmp(w->name, name) && w->ranks == k);
    }
    cr_assert_str_eq(p.workers[1].name, "w421", "they stay as they came");
    cr_assert(!router_pool_worker(&p, kvr_text("w")) && !router_pool_worker(&p, kvr_text("x")));
    cr_assert(!router_pool_worker(&p, kvr_text("w0 ")) && !router_pool_worker(&p, kvr_text("")));
    free(p.workers);
    free(p.supposed);
}
