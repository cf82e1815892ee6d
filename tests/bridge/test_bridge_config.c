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
#include "tests/support/support_sample.h"

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
    static const char b_words[] =
        "b http=http://h:2 events=tcp://h:3 replay=tcp://h:4 mode=bind "
        "kind=sglang ranks=4 gaps=keep down=remove capacity=70 role=decode";
    const char *words[MAX_BRIDGE_ARGS] = {"--pool", "p",     "--engine", "a events=tcp://h:1",
                                          "--exit", "leave", "--engine", b_words,
                                          "--ttl",  "500"};
    cr_assert(read_words(&c, words, error), "%s", error);
    cr_expect_str_eq(c.redis, "redis://127.0.0.1:6379");
    cr_expect_str_eq(c.pool, "p");
    cr_expect(c.ttl == 500 && c.exit == BRIDGE_EXIT_LEAVE && !c.debug);
    cr_assert(c.n_engines == 2);
    cr_expect_str_eq(c.engines[0].name, "a");
    cr_expect(c.engines[0].ranks == 1 && c.engines[0].kind == ENGINE_KIND_ANY &&
              !c.engines[0].bind);
    cr_expect_str_eq(c.engines[0].health, "");
    const struct bridge_engine_config *b = &c.engines[1];
    cr_expect_str_eq(b->replay, "tcp://h:4");
    cr_expect(b->bind && b->keep && b->kind == ENGINE_KIND_SGLANG && b->ranks == 4);
    cr_expect(b->down == BRIDGE_DOWN_REMOVE && b->capacity == 70 && b->role == ENGINE_ROLE_DECODE);
    bridge_config_free(&c);
}

// What isn't said is asked of the engine: where there are endpoints, ranks have been one by default.
Test(config, a_url_alone) {
    struct bridge_config c;
    char error[400];
    const char *words[MAX_BRIDGE_ARGS] = {"--engine", "a http=http://h:2", "--engine",
                                          "b http=http://h:2 ranks=3"};
    cr_assert(read_words(&c, words, error), "%s", error);
    cr_expect(!*c.engines[0].events && c.engines[0].ranks == 0);
    cr_expect(c.engines[1].ranks == 3);
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

// Where there are sources of engines, or the pool's workers are, none need be named.
Test(config, engines_that_are_found) {
    struct bridge_config c;
    char error[400];
    const char *found[MAX_BRIDGE_ARGS] = {"--discover", "dns://engines:8000 every=500"};
    cr_assert(read_words(&c, found, error), "%s", error);
    cr_assert(c.sources.n == 1 && !c.n_engines && !c.from_pool);
    cr_expect_eq(c.sources.items[0].every, 500);
    bridge_config_free(&c);
    const char *pool[MAX_BRIDGE_ARGS] = {"--from_pool", "yes"};
    cr_assert(read_words(&c, pool, error), "%s", error);
    cr_expect(c.from_pool);
    bridge_config_free(&c);
    const char *wrong[MAX_BRIDGE_ARGS] = {"--discover", "ftp://engines"};
    cr_expect_not(read_words(&c, wrong, error));
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
        {"[bridge]\nnonsense = 1\n", "bridge.ini:2: no setting nonsense: --help lists them"},
        {"[bridge]\nttl = soon\n", "bridge.ini:2: ttl takes a number"},
        {"[bridge]\nttl = -1\n", "bridge.ini:2: ttl takes a number"},
        {"[bridge]\nexit = never\n", "bridge.ini:2: exit takes one of: drain remove leave"},
        {"[bridge]\nwhat\n", "bridge.ini:2: "},
        {"[router]\n", "bridge.ini:1: no section [router]"},
        {"[engine ]\n", "bridge.ini:1: "},
        {"[engine a]\n", "engine a has no events endpoint, and no http to ask for it"},
        {"[engine a]\nhttp = http://h\nreplay = tcp://h:1\n", "mode and replay go with one"},
        {"[engine a]\nhttp = http://h\nmode = bind\n", "mode and replay go with one"},
        {"[engine a]\nevents = tcp://h:1\nranks = 0\n", "without http, ranks must be given"},
        {"[engine a]\nevents = tcp://h:1\nhttp = ftp://h\n",
         "an engine's URL is http[s]://HOST:PORT"},
        {"[engine a]\nevents = tcp://h:1\nhttp = http://\n",
         "an engine's URL is http[s]://HOST:PORT"},
        {"[engine a]\nevents = tcp://h:1\nhttp = http://h?x=y\n",
         "an engine's URL is http[s]://HOST:PORT"},
        {"[bridge]\npool = p\n[discover dns://h:1]\npool = q\n",
         "discover dns://h:1: the bridge's pool is p"},
        {"[engine a]\nhttp = http://h:1/v1/\n", "an engine's URL goes without /v1"},
        {"[engine a]\nevents = h:1\n", "events and replay are tcp://HOST:PORT or ipc://PATH"},
        {"[engine a]\nevents = tcp://h:1\nreplay = h:2\n", "tcp://HOST:PORT or ipc://PATH"},
        {"[engine a]\nevent = tcp://h:1\n", "bridge.ini:2: no setting event: is events meant?"},
        {"[bridge]\nttl = 5s\n", "bridge.ini:2: ttl takes a number without a unit"},
        {"[engine a]\nhttp = https://h\n[bridge]\nengine_cert = c.pem\n",
         "engine_cert and engine_key go together"},
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
        {{"pool"}, "pool is no flag: --help lists them"},
        {{"--pool"}, "--pool needs a value"},
        {{"--nonsense", "1"}, "no setting nonsense: --help lists them"},
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

static void read_sample(struct bridge_config *c, bool set) {
    char error[400];
    const char *words[MAX_BRIDGE_ARGS] = {"--config", support_sample(KVROUTE_SAMPLE, set, "http")};
    cr_assert(read_words(c, words, error), "%s", error);
}

// What packages install: every word is there, and what it calls the default is it.
Test(config, what_is_installed_are_the_defaults) {
    struct bridge_config plain, said;
    cr_expect_null(support_sample_lacks(KVROUTE_SAMPLE, bridge_config_usage), "%s is missing",
                   support_sample_lacks(KVROUTE_SAMPLE, bridge_config_usage));
    read_sample(&plain, false);
    read_sample(&said, true);
    cr_expect_str_eq(said.engine_insecure, "no");
    memset(said.engine_insecure, 0, 2);
    cr_assert(plain.n_engines == 1 && said.n_engines == 1);
    cr_expect_str_eq(said.engines->address, said.engines->http);
    memset(said.engines->address, 0, sizeof said.engines->address);
    cr_expect(said.engines->audit == 10000);
    said.engines->audit = plain.engines->audit;
    cr_expect_arr_eq(said.engines, plain.engines, sizeof *said.engines);
    cr_assert(plain.sources.n == 1 && said.sources.n == 1);
    memset(said.sources.items->pool, 0, strlen(said.pool)); // the bridge's, unless it is said
    cr_expect_arr_eq(said.sources.items, plain.sources.items, sizeof *said.sources.items);
    bridge_config_free(&plain);
    bridge_config_free(&said);
    cr_expect_arr_eq(&said, &plain, sizeof said);
}

// The program: its help, and what it says when it is told nonsense.
Test(config, the_program_says_what_is_wrong) {
    static const struct {
        const char *words[MAX_BRIDGE_ARGS];
        int status;
        const char *says;
    } runs[] = {
        {{"--help"}, 0, "usage: kvroute-bridge"},
        {{"--version"}, 0, "kvroute-bridge " KVROUTE_VERSION "\nlibkvroute "},
        {{"--engine", "a"}, 2, "kvroute-bridge: engine a has no events endpoint"},
        {{"--engine", "a events=tcp://127.0.0.1:1", "--listen", "nowhere"},
         1,
         "can't listen at nowhere"},
        {{"--engine", "a events=tcp://127.0.0.1:1", "--redis", "http://h"},
         1,
         "redis: an unknown scheme"},
        {{"--engine", "a events=tcp://127.0.0.1:1 http=http:///x"}, 2, "an engine's URL is"},
        {{"--engine", "a events=tcp://127.0.0.1:1", "--listen", "127.0.0.1:65536"},
         1,
         "can't listen at 127.0.0.1:65536"},
        {{"--engine", "a http=https://127.0.0.1:1", "--engine_ca", "/no/such"},
         1,
         "engine_ca /no/such: "},
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
