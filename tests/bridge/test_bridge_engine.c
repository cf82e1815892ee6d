// SPDX-License-Identifier: Apache-2.0
// What the bridge says of an engine as a whole: that it is there or not, how many ranks it has and of
// what size its blocks are; and what the bridge says of itself.
#define _GNU_SOURCE // prlimit
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/common/bench_engines.h"
#include "btest_look.h"
#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_http.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"
#include "tests/support/support_redis.h"

static struct btest_fleet w;

static void up(void) {
    btest_fleet_open(&w, false);
}

static void down(void) {
    btest_fleet_close(&w);
}

TestSuite(engine, .init = up, .fini = down, .timeout = 120);

static void becomes(const char *name, const char *field, const char *value) {
    btest_look_becomes(&w, name, field, value);
}

static void says(const char *path, int status, const char *text) {
    btest_look_says(&w, path, status, text);
}

// ---- There or not --------------------------------------------------------------------------------

Test(engine, that_does_not_answer) {
    static const struct {
        const char *words, *state;
    } ways[] = {{"", "expired"}, {"down=drain", "draining"}, {"down=remove", "none"}};
    for (size_t i = 0; i < 3; i++)
        btest_fleet_engine(&w, "--blocks=100", ways[i].words, 1, false);
    btest_fleet_bridges(&w, 1, "--ttl 600");
    btest_load_run(&w, 1, 60);
    for (size_t i = 0; i < 3; i++)
        becomes(w.engines[i].name, "state", "ready");
    btest_fleet_becomes_true(&w, BTEST_LOOK_MS, "the beginning");
    for (unsigned round = 0; round < 2; round++) {
        // Once only its health, once all of it.
        for (size_t i = 0; i < 3; i++)
            if (round)
                support_end(&w.engines[i].pid, SIGKILL);
            else
                btest_fleet_fault(&w, i, "unhealthy");
        for (size_t i = 0; i < 3; i++)
            becomes(w.engines[i].name, "state", ways[i].state);
        says("/healthz", 200, "e2 doesn't answer\n");
        for (size_t i = 0; i < 3; i++)
            if (round)
                btest_fleet_restart_engine(&w, i);
            else
                btest_fleet_fault(&w, i, "clear");
        for (size_t i = 0; i < 3; i++)
            becomes(w.engines[i].name, "state", "ready");
        btest_load_run(&w, 2 + round, 60);
        btest_fleet_becomes_true(&w, BTEST_LOOK_MS, "its absence");
    }
}

// From the beginning: the log says so, and where it was looked for.
Test(engine, that_was_never_there) {
    btest_fleet_engine(&w, "", "", 1, false);
    support_end(&w.engines[0].pid, SIGKILL);
    btest_fleet_bridges(&w, 1, "--ttl 600");
    btest_look_logs(&w, "e0 doesn't answer (http://127.0.0.1:");
    btest_fleet_restart_engine(&w, 0);
    btest_look_logs(&w, "e0 is up (http://127.0.0.1:");
    becomes("e0", "state", "ready");
}

Test(engine, a_state_set_by_hand_stays) {
    btest_fleet_engine(&w, "", "down=drain", 1, false);
    btest_fleet_bridges(&w, 1, "--ttl 300");
    becomes("e0", "state", "ready");
    redisReply *r = support_redis_command(&w.redis, "KVROUTE.WORKER SET pool e0 STATE draining");
    cr_assert(r);
    freeReplyObject(r);
    support_sleep_ms(800);
    becomes("e0", "state", "draining");
}

// What the bridge itself is short of says nothing of engines.
Test(engine, that_cannot_be_asked_stays_as_it_was) {
    struct rlimit few = {1, 1}, before; // what it has stays open, and no number below that is free
    btest_fleet_engine(&w, "", "down=drain", 1, false);
    btest_fleet_engine(&w, "", "down=remove", 1, false);
    btest_fleet_bridges(&w, 1, "--ttl 600");
    for (size_t i = 0; i < 2; i++)
        becomes(w.engines[i].name, "state", "ready");
    says("/healthz", 200, "e1 ok\n");
    few.rlim_max = getrlimit(RLIMIT_NOFILE, &before) ? 1024 : before.rlim_max;
    cr_assert(prlimit(w.bridges[0].pid, RLIMIT_NOFILE, &few, NULL) == 0);
    btest_look_logs(&w, "e0 can't be asked: descriptors or memory are short here");
    support_sleep_ms(1500); // longer than they would live without a renewal
    for (size_t i = 0; i < 2; i++)
        becomes(w.engines[i].name, "state", "ready");
    cr_expect_not(btest_look_logged(&w, "doesn't answer"));
    few.rlim_cur = few.rlim_max;
    cr_assert(prlimit(w.bridges[0].pid, RLIMIT_NOFILE, &few, NULL) == 0);
    says("/healthz", 200, "e1 ok\n");
}

// Each engine costs some five descriptors, more than many systems give unasked.
Test(engine, descriptors_are_raised) {
    struct rlimit before, few, its;
    cr_assert(getrlimit(RLIMIT_NOFILE, &before) == 0);
    few = (struct rlimit){256, before.rlim_max};
    setrlimit(RLIMIT_NOFILE, &few); // of this process, and so of those it starts
    btest_fleet_engine(&w, "", "", 1, false);
    btest_fleet_bridges(&w, 1, "--ttl 600");
    setrlimit(RLIMIT_NOFILE, &before);
    becomes("e0", "state", "ready");
    cr_assert(prlimit(w.bridges[0].pid, RLIMIT_NOFILE, NULL, &its) == 0);
    cr_expect_eq(its.rlim_cur, its.rlim_max);
}

// ---- What it is ----------------------------------------------------------------------------------

Test(engine, ranks_and_block_size_are_learned) {
    btest_fleet_engine(&w, "", "ranks=0", 3, false);
    btest_fleet_engine(&w, "", "ranks=0 kind=sglang copies=set", 2, false);
    snprintf(w.engines[1].options + strlen(w.engines[1].options), 40, " --schema=sglang");
    btest_fleet_restart_engine(&w, 1);
    btest_fleet_bridges(&w, 1, "--ttl 600");
    becomes("e0", "ranks", "3");
    becomes("e1", "ranks", "2");
    btest_load_run(&w, 1, 100);
    btest_fleet_becomes_true(&w, BTEST_LOOK_MS, "learning");
    w.engines[0].ranks = 2; // comes back with fewer
    btest_fleet_restart_engine(&w, 0);
    becomes("e0", "ranks", "2");
    btest_load_run(&w, 2, 100);
    btest_fleet_becomes_true(&w, BTEST_LOOK_MS, "learning again");
}

// vLLM tells it among its metrics, SGLang in what it says of itself; a setting goes before both.
Test(engine, capacity_is_learned) {
    struct bench_engine *e = btest_fleet_engine(&w, "--blocks=300", "", 2, false);
    btest_fleet_engine(&w, "--blocks=150", "kind=sglang ranks=1 block_size=4", 1, false);
    snprintf(w.engines[1].options + strlen(w.engines[1].options), 40, " --schema=sglang");
    btest_fleet_restart_engine(&w, 1);
    btest_fleet_engine(&w, "--blocks=200", "capacity=77 role=prefill", 1, false);
    // In blocks of the pool's size, whatever the engine's are.
    btest_fleet_engine(&w, "--blocks=100 --block-size=8", "block_size=4", 1, false);
    btest_fleet_bridges(&w, 1, "--ttl 600");
    becomes("e0", "capacity", "300");
    becomes("e1", "capacity", "150");
    becomes("e2", "capacity", "77");
    becomes("e2", "role", "prefill");
    becomes("e3", "role", "both");
    becomes("e3", "capacity", "200");
    says("/metrics", 200, "kvroute_bridge_capacity_blocks{worker=\"e0\"} 300\n");
    // It comes back with more memory.
    snprintf(e->options, sizeof e->options, "--time-scale=0 --block-size=4 --blocks=400");
    btest_fleet_restart_engine(&w, 0);
    becomes("e0", "capacity", "400");
}

Test(engine, of_another_block_size_is_refused) {
    struct bench_engine *e = btest_fleet_engine(&w, "--block-size=8", "", 1, false);
    btest_fleet_engine(&w, "", "", 1, false);
    btest_fleet_bridges(&w, 1, "--ttl 600");
    says("/healthz", 503, "e0 refused: its blocks have 8 tokens, the pool's have 4\n");
    btest_look_logs(
        &w, "e0 is refused: its blocks have 8 tokens, those of pool pool have 4. Start the engine "
            "with that block size, or use a pool created with BLOCKSIZE 8");
    btest_load_run(&w, 1, 60);
    becomes("e0", "state", "none");
    becomes("e1", "state", "ready");
    says("/metrics", 200, "kvroute_bridge_refused{worker=\"e0\"} 1\n");
    says("/metrics", 200, "kvroute_bridge_refused{worker=\"e1\"} 0\n");
    // It comes back as it should be.
    snprintf(e->options, sizeof e->options, "--time-scale=0 --block-size=4");
    btest_fleet_restart_engine(&w, 0);
    becomes("e0", "state", "ready");
    btest_load_run(&w, 2, 60);
    btest_fleet_becomes_true(&w, BTEST_LOOK_MS, "another block size");
    says("/healthz", 200, "e0 ok\n");
}

// The settings are wrong, or the engine doesn't tell its block size: it tells it with every block.
Test(engine, of_another_block_size_in_its_events) {
    struct bench_engine *e = btest_fleet_engine(&w, "--block-size=8", "block_size=4", 1, false);
    btest_fleet_bridges(&w, 1, "--ttl 600");
    becomes("e0", "state", "ready");
    btest_load_run(&w, 1, 60);
    btest_look_logs(&w, "e0:0: its blocks have 8 tokens, the pool's have 4; they are left out");
    btest_look_logs(&w, "e0 is refused: its blocks have 8 tokens, those of pool pool have 4. ");
    says("/healthz", 503, "e0 refused: its blocks have 8 tokens, the pool's have 4\n");
    says("/metrics", 200, "kvroute_bridge_refused{worker=\"e0\"} 1\n");
    becomes("e0", "state", "expired");
    // It comes back with blocks of the right size.
    snprintf(e->options, sizeof e->options, "--time-scale=0 --block-size=4");
    btest_fleet_restart_engine(&w, 0);
    becomes("e0", "state", "ready");
    btest_load_run(&w, 2, 60);
    btest_fleet_becomes_true(&w, BTEST_LOOK_MS, "another block size");
    says("/healthz", 200, "e0 ok\n");
}

// ---- The end -------------------------------------------------------------------------------------

Test(engine, leaves_as_told) {
    static const struct {
        const char *words, *state;
    } ways[] = {{"--ttl 60000 --exit drain", "draining"},
                {"--ttl 60000 --exit remove", "none"},
                {"--ttl 60000 --exit leave", "ready"}};
    int status;
    btest_fleet_engine(&w, "", "", 1, false);
    btest_fleet_engine(&w, "", "", 1, true);
    btest_fleet_bridges(&w, 1, ways[0].words);
    for (size_t i = 0; i < 3; i++) {
        w.bridges[0].more = ways[i].words;
        btest_fleet_restart_bridge(&w, 0);
        becomes("e0", "state", "ready");
        becomes("e1", "state", "ready");
        kill(w.bridges[0].pid, SIGTERM);
        cr_expect(support_ends(&w.bridges[0].pid, BTEST_LOOK_MS, &status) && status == 0);
        for (size_t k = 0; k < 2; k++)
            becomes(w.engines[k].name, "state", ways[i].state);
    }
    // Without Redis it ends as well, and soon.
    btest_fleet_restart_bridge(&w, 0);
    says("/healthz", 200, "e1 ok\n");
    support_redis_end(&w.redis, SIGKILL);
    kill(w.bridges[0].pid, SIGTERM);
    cr_expect(support_ends(&w.bridges[0].pid, BTEST_LOOK_MS, &status) && status == 0);
}

// ---- /metrics ------------------------------------------------------------------------------------

static bool is_name(const char *s, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (!strchr("abcdefghijklmnopqrstuvwxyz_0123456789", s[i])) return false;
    return n > 0;
}

// Steps over {name="value",…}; NULL: it isn't that.
static const char *labels(const char *at) {
    if (*at != '{') return at;
    do {
        const char *equals = strchr(++at, '=');
        if (!equals || !is_name(at, (size_t)(equals - at)) || equals[1] != '"') return NULL;
        for (at = equals + 2; *at && *at != '"' && *at != '\n'; at++)
            if (*at == '\\' && !strchr("\\\"n", *++at)) return NULL;
        if (*at++ != '"') return NULL;
    } while (*at == ',');
    return *at == '}' ? at + 1 : NULL;
}

// The rules of the text formats: each family begins with its HELP and TYPE, comes once and in one
// piece; counters' samples end in _total and don't fall below 0; no series comes twice. OpenMetrics has
// the family's name without _total, and an end.
static void check_metrics(const char *text, bool open) {
    static const char help[] = "# HELP ", type[] = "# TYPE ";
    char family[120] = "";
    bool counter = false;
    size_t samples = 0;
    for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
        cr_assert(strchr(line, '\n'), "the last line has no end");
        if (open && strcmp(line, "# EOF\n") == 0) break;
        cr_assert(!open || line[strcspn(line, "\n") + 1], "it has no end");
        int n = (int)strcspn(line, "\n");
        if (strncmp(line, help, strlen(help)) == 0) {
            char before[140];
            size_t len = strcspn(line + strlen(help), " ");
            snprintf(family, 100, "%.*s", (int)len, line + strlen(help));
            snprintf(before, sizeof before, "%s%s ", help, family);
            cr_assert(is_name(family, strlen(family)) && strstr(text, before) == line,
                      "twice, or no name: %.*s", n, line);
            line += n + 1;
            n = (int)strcspn(line, "\n");
            snprintf(before, sizeof before, "%s%s ", type, family);
            cr_assert(strncmp(line, before, strlen(before)) == 0, "no TYPE: %.*s", n, line);
            counter = strncmp(line + strlen(before), "counter\n", 8) == 0;
            cr_assert(counter || strncmp(line + strlen(before), "gauge\n", 6) == 0);
            size_t end = strlen(family);
            bool total = end > 6 && strcmp(family + end - 6, "_total") == 0;
            cr_assert(total == (counter && !open), "%s", family);
            if (counter && open) strcat(family, "_total"); // of the samples
            continue;
        }
        size_t len = strcspn(line, "{ ");
        cr_assert(strlen(family) == len && memcmp(line, family, len) == 0, "%.*s", n, line);
        const char *value = labels(line + len);
        char *end, series[300];
        cr_assert(value && *value == ' ', "%.*s", n, line);
        double x = strtod(value + 1, &end);
        cr_assert(*end == '\n' && x >= 0, "%.*s", n, line);
        snprintf(series, sizeof series, "\n%.*s ", (int)(value - line), line);
        cr_assert(strstr(text, series) == line - 1, "twice: %s", series);
        samples++;
    }
    cr_assert_gt(samples, 100);
}

Test(engine, metrics) {
    btest_fleet_engine(&w, "--blocks=100", "", 2, false);
    btest_fleet_engine(&w, "--schema=sglang", "kind=sglang", 1, false);
    snprintf(w.engines[1].name, sizeof w.engines[1].name, "a\"b\\c");
    btest_fleet_bridges(&w, 1, "--ttl 600");
    btest_load_run(&w, 1, 60);
    btest_fleet_becomes_true(&w, BTEST_LOOK_MS, "traffic");
    says("/metrics", 200, "kvroute_bridge_build_info{version=\"" KVROUTE_VERSION "\"} 1\n");
    says("/metrics", 200, "kvroute_bridge_up{worker=\"a\\\"b\\\\c\"} 1\n");
    says("/metrics", 200, "kvroute_bridge_in_order{worker=\"e0\",rank=\"1\"} 1\n");
    struct support_response a = btest_look_at(&w, "/metrics");
    check_metrics(a.body, false);
    support_response_free(&a);
    a = support_http(w.bridges[0].listen, "GET", "/metrics",
                     "Accept: application/openmetrics-text; version=1.0.0\r\n", NULL,
                     BTEST_LOOK_MS);
    check_metrics(a.body, true);
    support_response_free(&a);
    says("/nothing", 404, "");
    struct support_response post =
        support_http(w.bridges[0].listen, "POST", "/metrics", "", "x", BTEST_LOOK_MS);
    cr_expect(post.status == 405 || post.status == 501, "%d", post.status);
    support_response_free(&post);
    support_redis_end(&w.redis, SIGKILL);
    says("/healthz", 503, "no pool\n");
}
