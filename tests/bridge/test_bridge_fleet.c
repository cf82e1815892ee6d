// SPDX-License-Identifier: Apache-2.0
// Engines that bridges aren't told of: they are found, or are workers of the pool that others look after.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "btest_look.h"
#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

static struct btest_fleet w;

static void up(void) {
    btest_fleet_open(&w, false);
}

static void down(void) {
    btest_fleet_close(&w);
}

TestSuite(fleet, .init = up, .fini = down, .timeout = 120);

static struct bench_engine *engine(const char *options, unsigned ranks) {
    struct bench_engine *e = btest_fleet_engine(&w, options, "", ranks, false);
    e->unlisted = true;
    return e;
}

static void say(const char *format, const char *name, int port, unsigned ranks) {
    redisReply *r = support_redis_command(&w.redis, format, name, port, ranks);
    cr_assert(r && r->type == REDIS_REPLY_INTEGER);
    freeReplyObject(r);
}

static void join(const struct bench_engine *e) {
    say("KVROUTE.WORKER SET pool %s ADDR http://127.0.0.1:%d RANKS %u", e->name, e->http, e->ranks);
}

static void run_and_compare(uint64_t seed, const char *after) {
    btest_load_run(&w, seed, 100);
    btest_fleet_becomes_true(&w, BTEST_LOOK_MS, after);
}

// Whoever registers an engine, its address is enough.
Test(fleet, workers_of_the_pool) {
    join(engine("--no-dev-mode", 2));
    join(engine("--schema=sglang", 1));
    btest_fleet_bridges(&w, 1, "--from_pool yes");
    btest_look_says(&w, "/healthz", 200, "e0 ok\n");
    btest_look_says(&w, "/healthz", 200, "e1 ok\n");
    run_and_compare(1, "looking at the pool");
    join(engine("", 1));
    btest_look_says(&w, "/healthz", 200, "e2 ok\n");
    run_and_compare(2, "one more worker");
    // What others have registered is theirs, also at the end.
    say("KVROUTE.WORKER DEL pool %s", "e1", 0, 0);
    btest_look_logs(&w, "e1 isn't there any more");
    join(&w.engines[1]);
    btest_look_says(&w, "/healthz", 200, "e1 ok\n");
    run_and_compare(3, "having been away");
    int status;
    kill(w.bridges[0].pid, SIGTERM);
    cr_expect(support_ends(&w.bridges[0].pid, BTEST_LOOK_MS, &status) && status == 0);
    btest_look_becomes(&w, "e0", "state", "ready");
}

// ---- Found ---------------------------------------------------------------------------------------

// Replaced as a whole, so that nobody reads half of it.
static void write_list(const char *path, size_t from, size_t to) {
    char other[240];
    snprintf(other, sizeof other, "%s.new", path);
    FILE *f = fopen(other, "w");
    fprintf(f, "# engines\n");
    for (size_t i = from; i < to; i++)
        fprintf(f, "http://127.0.0.1:%d name=%s\n", w.engines[i].http, w.engines[i].name);
    fclose(f);
    cr_assert_eq(rename(other, path), 0);
}

Test(fleet, engines_that_are_found) {
    char list[200], config[200], flag[220];
    support_path(list, sizeof list, "engines.txt");
    support_path(config, sizeof config, "bridge.conf");
    FILE *f = fopen(config, "w");
    fprintf(f, "[discover file://%s]\nevery = 100\n", list);
    fclose(f);
    engine("--no-dev-mode", 2);
    engine("--schema=sglang", 1);
    write_list(list, 0, 1);
    snprintf(flag, sizeof flag, "--ttl 900 --config %s", config);
    btest_fleet_bridges(&w, 1, flag);
    btest_look_becomes(&w, "e0", "ranks", "2");
    write_list(list, 0, 2);
    btest_look_becomes(&w, "e1", "state", "ready");
    run_and_compare(1, "being found");
    write_list(list, 1, 2);
    btest_look_becomes(&w, "e0", "state", "expired"); // drained, and nobody renews it
    write_list(list, 0, 2);
    btest_look_becomes(&w, "e0", "state", "ready");
    run_and_compare(2, "being found again");
}

// One that gets another name, or another pool, is no worker under the old one; and who loses one that another source has
// leaves it to that.
Test(fleet, names_that_change_and_sources_that_overlap) {
    char one[200], two[200], config[200], flag[220];
    const char *const lists[] = {one, two};
    support_path(one, sizeof one, "one.txt");
    support_path(two, sizeof two, "two.txt");
    support_path(config, sizeof config, "bridge.conf");
    FILE *f = fopen(config, "w");
    for (int i = 0; i < 2; i++)
        fprintf(f, "[discover file://%s]\nevery = 100\n", lists[i]);
    fclose(f);
    engine("--no-dev-mode", 1);
    write_list(lists[0], 0, 1);
    write_list(lists[1], 0, 1);
    snprintf(flag, sizeof flag, "--ttl 900 --config %s", config);
    btest_fleet_bridges(&w, 1, flag);
    btest_look_becomes(&w, "e0", "state", "ready");
    // Whoever was first: both lose it in turn.
    for (int i = 0; i < 2; i++) {
        write_list(lists[i], 0, 0);
        support_sleep_ms(2000);
        btest_look_becomes(&w, "e0", "state", "ready");
        write_list(lists[i], 0, 1);
        support_sleep_ms(500);
    }
    write_list(lists[1], 0, 0);
    f = fopen(lists[0], "w");
    fprintf(f, "http://127.0.0.1:%d name=other\n", w.engines[0].http);
    fclose(f);
    btest_look_becomes(&w, "other", "state", "ready");
    btest_look_becomes(&w, "e0", "state", "expired");
    f = fopen(lists[0], "w");
    fprintf(f, "http://127.0.0.1:%d name=other pool=elsewhere\n", w.engines[0].http);
    fclose(f);
    btest_look_becomes(&w, "other", "state", "expired");
}

// ---- Begun anew ----------------------------------------------------------------------------------

static void write_settings(const char *path, const struct bench_engine *e, const char *more) {
    FILE *f = fopen(path, "w");
    fprintf(f, "[engine %s]\nhttp = http://127.0.0.1:%d\n%s", e->name, e->http, more);
    fclose(f);
}

// Same process, other settings; what they don't name any more isn't drained, as its successor may be elsewhere.
Test(fleet, begun_anew_in_its_own_place) {
    char config[200], flag[240];
    support_path(config, sizeof config, "bridge.conf");
    snprintf(flag, sizeof flag, "--ttl 60000 --config %s", config);
    write_settings(config, engine("--no-dev-mode", 1), "");
    btest_fleet_bridges(&w, 1, flag);
    pid_t pid = w.bridges[0].pid;
    run_and_compare(1, "its first settings");
    write_settings(config, &w.engines[0], "nosuch = 1\n");
    kill(pid, SIGUSR2);
    btest_look_logs(&w, "not begun anew: ");
    run_and_compare(2, "settings that are wrong");
    write_settings(config, engine("--no-dev-mode", 1), "");
    kill(pid, SIGUSR2);
    btest_look_becomes(&w, "e1", "state", "ready");
    btest_look_becomes(&w, "e0", "state", "ready");
    btest_look_says(&w, "/healthz", 200, "e1 ok\n");
    int status;
    kill(pid, SIGTERM);
    cr_expect(support_ends(&w.bridges[0].pid, BTEST_LOOK_MS, &status) && status == 0);
    btest_look_becomes(&w, "e1", "state", "draining");
    btest_look_becomes(&w, "e0", "state", "ready");
}

// ---- The pool ------------------------------------------------------------------------------------

// What `create` leaves open, the first engine says.
Test(fleet, a_pool_of_the_engines_block_size) {
    btest_fleet_engine(&w, "--no-dev-mode", "", 1, false);
    btest_fleet_bridges(&w, 1, "--ttl 900");
    btest_look_becomes(&w, "e0", "state", "ready");
    support_end(&w.bridges[0].pid, SIGKILL);
    redisReply *r = support_redis_words(&w.redis, "DEL pool");
    cr_assert(r);
    freeReplyObject(r);
    w.bridges[0].create = "POLICY delay";
    btest_fleet_restart_bridge(&w, 0);
    btest_look_says(&w, "/healthz", 200, "e0 ok\n");
    run_and_compare(1, "a pool of its size");
}
