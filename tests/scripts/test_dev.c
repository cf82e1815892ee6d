// SPDX-License-Identifier: Apache-2.0
// ./dev: help that neither installs nor builds, and what it leaves when it is told to end. A copy of it, so that
// what it builds would be seen. And what it gives away.
#include <criterion/criterion.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "script_run.h"
#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

enum { DEV_RUN_MS = 60000 };

static char dev[256], built[256];

static void copy(void) {
    char command[1200];
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    support_path(dev, sizeof dev, "top/dev");
    support_path(built, sizeof built, "top/build");
    snprintf(command, sizeof command,
             "mkdir -p '%s/top/bench' && cp '%s/dev' '%s/top/' && cp -r '%s/bench/demo' "
             "'%s/top/bench/'",
             support_home(), KVROUTE_TOP, support_home(), KVROUTE_TOP, support_home());
    cr_assert(support_run(argv, DEV_RUN_MS, NULL, 0) == 0);
}

TestSuite(dev, .init = copy, .timeout = 300);

// Its exit status; what it says must begin so.
static int run_dev(const char *first, const char *second, const char *third, const char *begins) {
    char out[16384];
    const char *const argv[] = {dev, first, second, third, NULL};
    int status = support_run(argv, DEV_RUN_MS, out, sizeof out);
    cr_expect(strncmp(out, begins, strlen(begins)) == 0, "%s %s says\n%s", first,
              second ? second : "", out);
    return status;
}

Test(dev, help_of_every_verb_builds_nothing) {
    static const char *const verbs[] = {"demo",  "tour",  "up",       "test", "drill",
                                        "build", "bench", "asan",     "fuzz", "fmt",
                                        "setup", "clean", "packages", "dist"};
    cr_expect(run_dev("help", NULL, NULL, "usage: ./dev VERB") == 0);
    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
        char usage[60];
        snprintf(usage, sizeof usage, "usage: ./dev %s", verbs[i]);
        cr_expect(run_dev(verbs[i], "--help", NULL, usage) == 0);
        cr_expect(run_dev(verbs[i], "-h", NULL, usage) == 0);
        cr_expect(run_dev("help", verbs[i], NULL, usage) == 0);
    }
    cr_expect(run_dev("bench", "core", "--help", "usage: ./dev bench") == 0);
    cr_expect(run_dev("fuzz", "300", "--help", "usage: ./dev fuzz") == 0);
    cr_expect(run_dev("nosuch", "--help", NULL, "dev: no verb nosuch") == 1);
    cr_expect(access(built, F_OK) != 0, "something was built");
}

// Stands in for a program: what it starts goes on for ever, in a child of its own as make does.
static void write_program(const char *path, const char *text) {
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs("#!/bin/sh\n", f) >= 0 && fputs(text, f) >= 0 && fclose(f) == 0 &&
              chmod(path, 0700) == 0);
}

// Runs a verb with cmake played by `cmake`, and ends it when it has said `line`.
static void ends(const char *verb, const char *cmake, const char *line, int signal, bool group,
                 int status) {
    struct script_run r;
    char path[600], bin[256], include[300];
    support_path(bin, sizeof bin, "bin");
    support_path(path, sizeof path, "bin/cmake");
    mkdir(bin, 0700);
    write_program(path, cmake);
    snprintf(path, sizeof path, "PATH=%s:/usr/bin:/bin:/usr/sbin:/sbin", bin);
    snprintf(include, sizeof include, "REDISMODULE_INCLUDE_DIR=%s", bin);
    script_start(&r, (const char *[]){"env", include, dev, verb, NULL}, path);
    script_await(&r, line);
    script_ends(&r, signal, group, status);
}

Test(dev, a_build_ends_with_it) {
    static const char stuck[] =
        "[ \"$1\" = --build ] || exit 0\necho building\nsleep 1000 &\nwait\n";
    ends("build", stuck, "building", SIGTERM, false, 128 + SIGTERM);
    ends("build", stuck, "building", SIGHUP, false, 128 + SIGHUP);
    ends("build", stuck, "building", SIGINT, true, 128 + SIGINT);
}

// Suites run beside each other. The one in front speaks when the other has begun.
static void play_suites(void) {
    char path[600], begun[300], text[1200];
    support_path(path, sizeof path, "top/build/tests");
    support_path(begun, sizeof begun, "begun");
    snprintf(text, sizeof text, "mkdir -p '%s'", path);
    cr_assert(support_run((const char *[]){"/bin/sh", "-c", text, NULL}, DEV_RUN_MS, NULL, 0) == 0);
    unlink(begun);
    support_path(path, sizeof path, "top/build/tests/kvroute-test-unit");
    snprintf(text, sizeof text, ">'%s'\nsleep 1000 &\nwait\n", begun);
    write_program(path, text);
    support_path(path, sizeof path, "top/build/tests/kvroute-test-common");
    snprintf(text, sizeof text,
             "until [ -e '%s' ]; do sleep 0.1; done\necho both\nsleep 1000 &\nwait\n", begun);
    write_program(path, text);
}

Test(dev, suites_end_with_it) {
    play_suites();
    ends("test", "", "both", SIGTERM, false, 128 + SIGTERM);
    play_suites();
    ends("test", "", "both", SIGHUP, false, 128 + SIGHUP);
    play_suites();
    ends("test", "", "both", SIGINT, true, 128 + SIGINT);
}

// Runs a command in the folder of the copy.
static void in_top(const char *text, char *out, size_t size) {
    char command[1200];
    const char *const argv[] = {"/bin/sh", "-c", command, NULL};
    snprintf(command, sizeof command, "cd '%s/top' && { %s; } 2>&1", support_home(), text);
    cr_assert(support_run(argv, DEV_RUN_MS, out, size) == 0, "%s: %s", text, out);
}

// Packages that lie about from another commit aren't given away with its sources.
Test(dev, dist_is_of_one_commit) {
    static const char commit[] =
        "git add -A && git -c user.name=x -c user.email=x@x.example commit -qm x";
    static const char packed[] = "mkdir -p build/packages && echo deb >build/packages/x.deb && "
                                 "git rev-parse HEAD >build/packages/commit";
    char out[4000], again[4000], sums[] = "./dev dist >/dev/null 2>&1 && cat build/dist/SHA256SUMS";
    if (support_run((const char *[]){"git", "--version", NULL}, DEV_RUN_MS, out, sizeof out) != 0)
        cr_skip_test("no git");
    in_top("echo 'project(kvroute VERSION 9.8.7' >CMakeLists.txt && echo build >.gitignore && git "
           "init -q",
           out, sizeof out);
    in_top(commit, out, sizeof out);
    in_top(sums, out, sizeof out);
    cr_expect(strstr(out, "  kvroute-9.8.7.tar.gz\n") && !strstr(out, ".deb"), "%s", out);
    in_top(packed, again, sizeof again);
    in_top(sums, again, sizeof again);
    cr_expect(strncmp(out, again, strlen(out)) == 0, "other bytes of the same commit:\n%s%s", out,
              again);
    cr_expect(strstr(again, "  x.deb\n") != NULL, "%s", again);
    in_top("echo more >file", out, sizeof out);
    in_top(commit, out, sizeof out);
    in_top(sums, out, sizeof out);
    cr_expect(strstr(out, ".tar.gz\n") && !strstr(out, ".deb"), "%s", out);
}
