// SPDX-License-Identifier: Apache-2.0
// Every program says its name and version, and how it is used.
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "tests/support/support_process.h"

enum { VERSION_RUN_MS = 60000 };

static const char *const programs[] = {
    KVROUTE_ROUTER,
    KVROUTE_BRIDGE,
    KVROUTE_MOCK,
    KVROUTE_LOAD,
    KVROUTE_SIM,
    KVROUTE_DRILL,
    KVROUTE_CHAOS,
    KVROUTE_BENCH_CORE,
    KVROUTE_BENCH_COMMANDS,
    KVROUTE_BENCH_CLIENT,
    KVROUTE_BENCH_BRIDGE,
    KVROUTE_BENCH_ROUTER,
    KVROUTE_BENCH_CALIBRATE,
#ifdef KVROUTE_TOP_PROGRAM
    KVROUTE_TOP_PROGRAM,
#endif
};

// What is built on the library says its version, too, and whether that has TLS.
static bool is_on_library(const char *program) {
    static const char *const them[] = {"kvroute-router", "kvroute-bridge", "kvroute-top"};
    for (size_t i = 0; i < sizeof them / sizeof *them; i++)
        if (strcmp(strrchr(program, '/') + 1, them[i]) == 0) return true;
    return false;
}

static void says(const char *program, const char *option, const char *want, bool all) {
    char out[16384];
    const char *const argv[] = {program, option, NULL};
    cr_expect(support_run(argv, VERSION_RUN_MS, out, sizeof out) == 0, "%s %s", program, option);
    cr_expect(strncmp(out, want, strlen(want)) == 0 && (!all || strlen(out) == strlen(want)),
              "%s %s says\n%s", program, option, out);
}

Test(version, of_every_program) {
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        const char *name = strrchr(programs[i], '/') + 1;
        char want[100];
        snprintf(want, sizeof want, "%s %s\n", name, KVROUTE_VERSION);
        bool on_library = is_on_library(programs[i]);
        if (on_library) snprintf(want + strlen(want), sizeof want - strlen(want), "libkvroute ");
        says(programs[i], "--version", want, !on_library);
        snprintf(want, sizeof want, "usage: %s", name);
        says(programs[i], "--help", want, false);
    }
}

// What can't be told by CMake says the same.
Test(version, of_the_description) {
    FILE *f = fopen(KVROUTE_TOP "/docs/openapi.json", "r");
    char start[400] = "";
    cr_assert(f && fread(start, 1, sizeof start - 1, f) > 100 && fclose(f) == 0);
    cr_expect(strstr(start, "\"version\": \"" KVROUTE_VERSION "\"") != NULL);
}

Test(version, of_the_whole) {
    says(KVROUTE_TOP "/dev", "--version", "kvroute " KVROUTE_VERSION "\n", true);
}
