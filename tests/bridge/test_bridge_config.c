// SPDX-License-Identifier: Apache-2.0
// What the bridge is told, by flags and by a file; what it doesn't take, and what it says then.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "client/bridge/bridge_config.h"
#include "client/common/clock.h"
#include "tests/support/support_home.h"
#include "tests/support/support_port.h"
#include "tests/support/support_process.h"

enum { MAX_BRIDGE_ARGS = 12 };

static bool read_words(struct bridge_config *c, const char *const *words, char error[400]) {
    char *argv[MAX_BRIDGE_ARGS + 2] = {(char *)"kvroute-bridge"};
    int n = 1;
    bool help;
    while (n <= MAX_BRIDGE_ARGS && words[n - 1]) {
        argv[n] = (char *)words[n - 1];
        n++;
    }
    *error = 0;
    return bridge_config_read(c, n, argv, &help, error, 400);
}

static void write_file(const char *text, char path[200]) {
    snprintf(path, 200, "%s/bridge.ini", support_home());
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0);
}

Test(config, flags) {
    struct bridge_config c;
    char error[400];
    static const char b_words[] = "b http=http://h:2 events=tcp://h:3 replay=tcp://h:4 mode=bind "
                                  "kind=sglang ranks=4 gaps=keep down=remove capacity=70";
    const char *words[MAX_BRIDGE_ARGS] = {"--pool", "p",     "--engine", "a events=tcp://h:1",
                                          "--exit", "leave", "--engine", b_words,
                                          "--ttl",  "500"};
    cr_assert(read_words(&c, words, error), "%s", error);
    cr_expect_str_eq(c.redis, "redis://127.0.0.1:6379");
    cr_expect_str_eq(c.pool, "p");
    cr_expect(c.ttl == 500 && c.exit == BRIDGE_EXIT_LEAVE && !c.debug);
    cr_assert(c.n_engines == 2);
    cr_expect_str_eq(c.engines[0].name, "a");
    cr_expect(c.engines[0].ranks == 1 && c.engines[0].kind == BRIDGE_ENGINE_VLLM &&
              !c.engines[0].bind);
    cr_expect_str_eq(c.engines[0].health, "/health");
    const struct bridge_engine_config *b = &c.engines[1];
    cr_expect_str_eq(b->replay, "tcp://h:4");
    cr_expect(b->bind && b->keep && b->kind == BRIDGE_ENGINE_SGLANG && b->ranks == 4);
    cr_expect(b->down == BRIDGE_DOWN_REMOVE && b->capacity == 70);
    bridge_config_free(&c);
}

Test(config, flags_with_equals_signs) {
    struct bridge_config c;
    char error[400];
    const char *words[MAX_BRIDGE_ARGS] = {"--pool=a=b", "--engine=x events=tcp://h:1", "--ttl",
                                          "700"};
    cr_assert(read_words(&c, words, error), "%s", error);
    cr_expect_str_eq(c.pool, "a=b");
    cr_assert(c.n_engines == 1);
    cr_expect_str_eq(c.engines[0].events, "tcp://h:1");
    cr_expect(c.ttl == 700);
    bridge_config_free(&c);
}

// Flags come after the file, wherever they stand.
Test(config, a_file) {
    struct bridge_config c;
    char error[400], path[200];
    write_file("# a comment\n; another\n\n[bridge]\n pool = with spaces \nttl=900\n"
               "[engine a b]\nevents = tcp://h:1\naudit=7\n\n[bridge]\ndebug = yes\n",
               path);
    const char *words[MAX_BRIDGE_ARGS] = {"--ttl", "800", "--config", path};
    cr_assert(read_words(&c, words, error), "%s", error);
    cr_expect_str_eq(c.pool, "with spaces");
    cr_expect(c.ttl == 800 && c.debug);
    cr_assert(c.n_engines == 1);
    cr_expect_str_eq(c.engines[0].name, "a b");
    cr_expect_eq(c.engines[0].audit, 7);
    bridge_config_free(&c);
}

Test(config, what_a_file_may_not_say) {
    static const struct {
        const char *text, *error;
    } files[] = {
        {"pool = p\n", "bridge.ini:1: "},
        {"[bridge]\nnonsense = 1\n", "bridge.ini:2: no word nonsense"},
        {"[bridge]\nttl = soon\n", "bridge.ini:2: ttl takes a number"},
        {"[bridge]\nttl = -1\n", "bridge.ini:2: ttl takes a number"},
        {"[bridge]\nexit = never\n", "bridge.ini:2: exit takes one of: drain remove leave"},
        {"[bridge]\nwhat\n", "bridge.ini:2: "},
        {"[router]\n", "bridge.ini:1: no section [router]"},
        {"[engine ]\n", "bridge.ini:1: "},
        {"[engine a]\n", "engine a has no events endpoint"},
        {"[engine a]\nevents = tcp://h:1\nranks = 0\n", "without http, ranks must be given"},
        {"[engine a]\nevents = tcp://h:1\nhttp = ftp://h\n", "http begins with http://"},
        {"[bridge]\n", "no engines"},
        {"[engine a]\nevents = tcp://h:1\nranks = 5000\n", "bridge.ini:3: ranks takes a number"},
        {"[engine a]\nevents = tcp://h:1\n[bridge]\nttl = 10\n", "ttl"},
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        struct bridge_config c;
        char error[400], path[200];
        write_file(files[i].text, path);
        const char *words[MAX_BRIDGE_ARGS] = {"--config", path};
        cr_expect_not(read_words(&c, words, error), "%s", files[i].text);
        cr_expect(strstr(error, files[i].error), "%s\nis answered %s", files[i].text, error);
        bridge_config_free(&c);
    }
}

Test(config, what_flags_may_not_say) {
    static const struct {
        const char *words[MAX_BRIDGE_ARGS], *error;
    } lines[] = {
        {{"pool"}, "pool is no flag"},
        {{"--pool"}, "--pool needs a value"},
        {{"--nonsense", "1"}, "no word nonsense"},
        {{"--engine", ""}, "name"},
        {{"--engine", "a events"}, "events"},
        {{"--engine", "a events=tcp://h:1 gaps=perhaps"}, "gaps takes one of: clear keep"},
        {{"--config", "/nonexistent/file"}, "/nonexistent/file: No such file"},
    };
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct bridge_config c;
        char error[400];
        cr_expect_not(read_words(&c, lines[i].words, error));
        cr_expect(strstr(error, lines[i].error), "%s: %s", lines[i].error, error);
        bridge_config_free(&c);
    }
    struct bridge_config c;
    char error[400], name[200], engine[2300];
    memset(name, 'n', 140);
    snprintf(name + 140, 60, " events=tcp://h:1");
    const char *long_name[MAX_BRIDGE_ARGS] = {"--engine", name};
    cr_expect_not(read_words(&c, long_name, error));
    bridge_config_free(&c);
    memset(engine, 'x', sizeof engine);
    engine[sizeof engine - 1] = 0;
    const char *long_engine[MAX_BRIDGE_ARGS] = {"--engine", engine};
    cr_expect_not(read_words(&c, long_engine, error));
    bridge_config_free(&c);
}

// The program: its help, and what it says when it is told nonsense.
Test(config, the_program_says_what_is_wrong) {
    static const struct {
        const char *words[MAX_BRIDGE_ARGS];
        int status;
        const char *says;
    } runs[] = {
        {{"--help"}, 0, "usage: kvroute-bridge"},
        {{"--engine", "a"}, 2, "kvroute-bridge: engine a has no events endpoint"},
        {{"--engine", "a events=tcp://127.0.0.1:1", "--listen", "nowhere"},
         1,
         "can't listen at nowhere"},
        {{"--engine", "a events=tcp://127.0.0.1:1", "--redis", "http://h"},
         1,
         "redis: an unknown scheme"},
        {{"--engine", "a events=tcp://127.0.0.1:1 http=http:///x"}, 1, "no URL of a server"},
    };
    for (size_t i = 0; i < sizeof runs / sizeof *runs; i++) {
        const char *argv[MAX_BRIDGE_ARGS + 2] = {KVROUTE_BRIDGE};
        char text[4000];
        for (size_t k = 0; k < MAX_BRIDGE_ARGS && runs[i].words[k]; k++)
            argv[k + 1] = runs[i].words[k];
        cr_expect_eq(support_run(argv, 20000, text, sizeof text), runs[i].status, "%s",
                     runs[i].says);
        cr_expect(strstr(text, runs[i].says), "%s: %s", runs[i].says, text);
    }
}
