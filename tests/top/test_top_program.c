// SPDX-License-Identifier: Apache-2.0
// kvroute-top in a terminal, with a real server: what it shows, what keys do, how it lives through the server's death, and that it
// gives the terminal back.
#include <criterion/criterion.h>
#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

#include "tests/support/support_home.h"
#include "tests/support/support_process.h"
#include "tests/support/support_redis.h"
#include "ttest_terminal.h"

enum { TOP_RUN_MS = 60000, MAX_OUT = 1 << 20 };

static struct support_redis server;
static struct ttest_terminal terminal;
static char redis_url[64], redis_flag[80];

static void ask(const char *format, ...) {
    va_list args;
    va_start(args, format);
    redisReply *r = support_redis_ask(&server, format, args);
    va_end(args);
    cr_assert(r && r->type != REDIS_REPLY_ERROR, "%s: %s", format, r ? r->str : "no answer");
    freeReplyObject(r);
}

static void begin(void) {
    setlocale(LC_CTYPE, "C.UTF-8");
    server = (struct support_redis){.config = "appendonly yes\nappendfsync always\n"};
    cr_assert(support_redis_start(&server));
    snprintf(redis_url, sizeof redis_url, "redis://127.0.0.1:%d", server.port);
    snprintf(redis_flag, sizeof redis_flag, "--redis=%s", redis_url);
    ask("KVROUTE.CREATE chat MAXREQUESTS 8");
    ask("KVROUTE.CREATE embed");
    for (int i = 0; i < 30; i++)
        ask("KVROUTE.WORKER SET chat gpu-%d ADDR http://10.0.0.%d:8000 CAPACITY 100 LABELS 1 "
            "zone=%s",
            i, i, i % 2 ? "east" : "west");
    ask("KVROUTE.SELECT chat r1 HEX 0123456789abcdef0123456789abcde1");
}

static void end(void) {
    ttest_terminal_close(&terminal);
    support_redis_end(&server, SIGKILL);
}

static void start(const char *option, int rows, int cols) {
    const char *argv[] = {KVROUTE_TOP_PROGRAM, redis_flag, "--refresh=100", option, NULL};
    ttest_terminal_start(&terminal, argv, NULL, rows, cols);
}

static void sees(const char *text) {
    cr_assert(ttest_terminal_sees(&terminal, text), "no \"%s\"", text);
}

static void loses(const char *text) {
    cr_assert(ttest_terminal_loses(&terminal, text), "\"%s\" stays", text);
}

static void type(const char *keys) {
    ttest_terminal_type(&terminal, keys);
}

Test(top_program, keys, .init = begin, .fini = end) {
    start(NULL, 24, 80);
    sees("kvroute-top  chat (1 of 2)");
    sees("workers 30");
    sees("gpu-10");
    sees("1/30");
    cr_expect(terminal.alternate && terminal.cursor_hidden && !ttest_terminal_restored(&terminal));
    type("jj");
    sees("3/30");
    type("\033OF"); // End
    sees("gpu-9 ");
    sees("30/30");
    type("/zone=east\r");
    sees("/15");
    type("\033"); // Esc
    sees("/30");
    type("\r");
    sees("capacity 100 a rank");
    type("\033w");
    sees("default");
    type("wx");
    sees("1024 tokens that nobody has cached: chosen by");
    sees("NOT FOR");
    type("xo");
    sees("embed");
    type("?");
    sees("Figures");
    type("\033\033\t");
    sees("embed (2 of 2)");
    type("p");
    sees("PAUSED");
    type("q");
    cr_expect_eq(ttest_terminal_end(&terminal), 0);
    cr_expect(ttest_terminal_restored(&terminal));
    cr_expect(terminal.strange == 0, "%zu commands that aren't understood", terminal.strange);
}

Test(top_program, the_size_changes, .init = begin, .fini = end) {
    start("--pool=chat", 24, 80);
    sees("1/30");
    ttest_terminal_resize(&terminal, 50, 170);
    sees("LABELS");
    sees("zone=east");
    sees("gpu-9 ");
    ttest_terminal_resize(&terminal, 10, 40);
    sees("kvroute-top  chat");
    loses("LABELS");
    ttest_terminal_resize(&terminal, 2, 5);
    sees("1/30");
    ttest_terminal_resize(&terminal, 24, 80);
    sees("1/30");
    type("q");
    cr_expect_eq(ttest_terminal_end(&terminal), 0);
}

Test(top_program, the_server_goes_and_comes_back, .init = begin, .fini = end) {
    start("--pool=chat", 24, 80);
    sees("1/30");
    support_redis_end(&server, SIGKILL);
    sees("Redis is away since");
    sees("gpu-10"); // as it was
    cr_assert(support_redis_restart(&server));
    loses("Redis is away");
    sees("failovers 1");
    ask("KVROUTE.WORKER SET chat a-new-one");
    sees("a-new-one");
    type("q");
    cr_expect_eq(ttest_terminal_end(&terminal), 0);
}

// ---- With Sentinels ------------------------------------------------------------------------------

static struct support_redis replica, sentinel;

static bool sees_the_replica(void *ctx) {
    (void)ctx;
    return support_redis_number(&server, "replication", "connected_slaves") == 1;
}

static bool is_watched(void *ctx) {
    redisReply *r = support_redis_words(&sentinel, "SENTINEL REPLICAS main");
    (void)ctx;
    bool it_is = r && r->type == REDIS_REPLY_ARRAY && r->elements == 1;
    if (r) freeReplyObject(r);
    return it_is;
}

static void begin_watched(void) {
    char text[200];
    begin();
    snprintf(text, sizeof text, "replicaof 127.0.0.1 %d\n", server.port);
    replica.config = text;
    cr_assert(support_redis_start(&replica) && support_wait(sees_the_replica, NULL, TOP_RUN_MS));
    snprintf(text, sizeof text,
             "sentinel monitor main 127.0.0.1 %d 1\nsentinel down-after-milliseconds main 500\n",
             server.port);
    sentinel = (struct support_redis){.config = text, .sentinel = true};
    cr_assert(support_redis_start(&sentinel) && support_wait(is_watched, NULL, TOP_RUN_MS));
    replica.config = sentinel.config = NULL;
    snprintf(redis_flag, sizeof redis_flag, "--redis=sentinel://127.0.0.1:%d/main", sentinel.port);
}

static void end_watched(void) {
    end();
    support_redis_end(&sentinel, SIGKILL);
    support_redis_end(&replica, SIGKILL);
}

Test(top_program, a_failover, .init = begin_watched, .fini = end_watched) {
    char address[40];
    start("--pool=chat", 24, 100);
    sees("replicas 1");
    sees("1/30");
    support_redis_end(&server, SIGKILL);
    sees("Redis is away since");
    snprintf(address, sizeof address, "redis 127.0.0.1:%d", replica.port);
    sees(address);
    sees("failovers 1");
    sees("1/30");
    type("q");
    cr_expect_eq(ttest_terminal_end(&terminal), 0);
}

Test(top_program, there_is_no_server_yet, .init = begin, .fini = end) {
    support_redis_end(&server, SIGKILL);
    start(NULL, 24, 80);
    sees("looking for pools");
    cr_assert(support_redis_restart(&server));
    sees("1/30");
    kill(terminal.pid, SIGTERM);
    cr_expect_eq(ttest_terminal_end(&terminal), -SIGTERM);
    cr_expect(ttest_terminal_restored(&terminal));
}

Test(top_program, signals_leave_a_good_terminal, .init = begin, .fini = end) {
    static const int signals[] = {SIGTERM, SIGHUP, SIGINT};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        start("--pool=chat", 24, 80);
        sees("1/30");
        if (signals[i] == SIGINT)
            type("\003"); // Ctrl-C
        else
            kill(terminal.pid, signals[i]);
        cr_expect_eq(ttest_terminal_end(&terminal), -signals[i]);
        cr_expect(ttest_terminal_restored(&terminal), "signal %d", signals[i]);
        if (i + 1 < sizeof signals / sizeof *signals) ttest_terminal_close(&terminal);
    }
}

static bool has_colors(void) {
    return terminal.colors > 0;
}

Test(top_program, colours, .init = begin, .fini = end) {
    static const char *const no_color[] = {"NO_COLOR=1", NULL};
    const char *argv[] = {KVROUTE_TOP_PROGRAM, redis_flag, "--pool=chat", "--ascii", NULL};
    start("--pool=chat", 24, 80);
    sees("1/30");
    cr_expect(has_colors());
    ttest_terminal_close(&terminal);
    start("--no-color", 24, 80);
    sees("1/30");
    cr_expect(!has_colors());
    ttest_terminal_close(&terminal);
    ttest_terminal_start(&terminal, argv, no_color, 24, 80);
    sees("1/30");
    cr_expect(!has_colors() && terminal.beyond_ascii == 0);
}

// ---- Once ----------------------------------------------------------------------------------------

static char out[MAX_OUT];

static int once(const char *url, const char *how, const char *more) {
    const char *argv[] = {KVROUTE_TOP_PROGRAM, "--redis", url, "--refresh=100", how, more, NULL};
    return support_run(argv, TOP_RUN_MS, out, sizeof out);
}

static void end_server(void) {
    support_redis_end(&server, SIGKILL);
}

Test(top_program, once, .init = begin, .fini = end_server) {
    cr_expect_eq(once(redis_url, "--once", NULL), 0);
    cr_expect(strstr(out, "pool chat\n") && strstr(out, "\npool embed\n"), "%s", out);
    cr_expect(strstr(out, "\ngpu-29 ") && strstr(out, "zone=east") && strstr(out, "1/8"));
    cr_expect_eq(once(redis_url, "--once", "--filter=gpu-29"), 0);
    cr_expect(strstr(out, "\ngpu-29 ") && !strstr(out, "\ngpu-28 "));
    cr_expect_eq(once(redis_url, "--json", "--pool=embed"), 0);
    cr_expect(strstr(out, "\"pool\": \"embed\"") && !strstr(out, "gpu"), "%s", out);
}

Test(top_program, once_says_what_is_wrong, .init = begin, .fini = end_server) {
    cr_expect_eq(once(redis_url, "--once", "--pool=nobody"), 1);
    cr_expect(strstr(out, "kvroute-top: pool nobody: NOPOOL"), "%s", out);
    cr_expect_eq(once("redis://127.0.0.1:1?deadline=200", "--once", "--pool=chat"), 1);
    cr_expect(strstr(out, "TIMEOUT"), "%s", out);
    cr_expect_eq(once("redis://127.0.0.1:1?deadline=200", "--json", NULL), 1);
    cr_expect_eq(once("nonsense://", "--once", NULL), 2);
    cr_expect_eq(once(redis_url, "--once", "--sort=size"), 2);
    cr_expect_eq(once(redis_url, "--ascii", NULL), 2); // in a terminal only
    cr_expect(strstr(out, "no terminal"), "%s", out);
    ask("FLUSHALL");
    cr_expect_eq(once(redis_url, "--once", NULL), 1);
    cr_expect(strstr(out, "there is no pool yet"), "%s", out);
}

// The user of docs/operate.md: it may read, and neither write nor look into other keys.
Test(top_program, who_may_only_read, .init = begin, .fini = end_server) {
    char url[100];
    ask("ACL SETUSER watcher on >secret resetkeys %%R~chat -@all +kvroute.info +kvroute.score "
        "+kvroute.explain +kvroute.digest +kvroute.tree +kvroute.worker +kvroute.request "
        "+kvroute.session|get +kvroute.session|list +kvroute.queue +kvroute.class|list "
        "+kvroute.flow|list +info +scan +hello +auth +ping +role +client|setname +client|id "
        "+asking +cluster|slots +cluster|keyslot");
    ask("ACL SETUSER little on >secret resetkeys %%R~chat resetchannels -@all +kvroute.info "
        "+kvroute.worker|list");
    snprintf(url, sizeof url, "redis://watcher:secret@127.0.0.1:%d", server.port);
    cr_expect_eq(once(url, "--once", "--pool=chat"), 0, "%s", out);
    cr_expect(strstr(out, "\ngpu-29 ") && strstr(out, "default") && strstr(out, "up "), "%s", out);
    cr_expect_eq(once(url, "--once", NULL), 1); // it finds a pool that it may not look into
    cr_expect(strstr(out, "\ngpu-29 ") && strstr(out, "pool embed: DENIED"), "%s", out);
    // With less there is less to see.
    snprintf(url, sizeof url, "redis://little:secret@127.0.0.1:%d", server.port);
    cr_expect_eq(once(url, "--once", "--pool=chat"), 0, "%s", out);
    cr_expect(strstr(out, "\ngpu-29 ") && !strstr(out, "default"), "%s", out);
}
