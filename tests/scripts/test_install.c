// SPDX-License-Identifier: Apache-2.0
// What `cmake --install` puts where.
#include <criterion/criterion.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

enum { INSTALL_RUN_MS = 60000 };

static void run(const char *const *argv) {
    char out[8000];
    cr_assert(support_run(argv, INSTALL_RUN_MS, out, sizeof out) == 0, "%s", out);
}

// Into the test's own folder.
static void install(const char *script) {
    char prefix[300];
    snprintf(prefix, sizeof prefix, "-DCMAKE_INSTALL_PREFIX=%s", support_home());
    run((const char *[]){"cmake", prefix, "-P", script, NULL});
}

static void write_text(const char *name, const char *text) {
    char path[300], folder[300];
    support_path(folder, sizeof folder, "user");
    support_path(path, sizeof path, "%s", name);
    mkdir(folder, 0700);
    FILE *f = fopen(path, "w");
    cr_assert(f && fputs(text, f) >= 0 && fclose(f) == 0, "%s", path);
}

// Servers refuse a module that may not be executed.
Test(install, the_module_as_servers_want_it) {
    char file[300];
    install(KVROUTE_BUILT "/module/cmake_install.cmake");
    support_path(file, sizeof file, "lib/redis/modules/kvroute.so");
    cr_expect(access(file, R_OK | X_OK) == 0, "%s", file);
}

// pkg-config finds headers and libraries wherever they were put.
Test(install, the_library_is_found_where_it_is) {
    char command[1200];
    install(KVROUTE_BUILT "/client/lib/cmake_install.cmake");
    snprintf(command, sizeof command,
             "export PKG_CONFIG_PATH=$(dirname $(find '%s' -name kvroute.pc)) && "
             "cc -fsyntax-only $(pkg-config --cflags kvroute) " KVROUTE_TOP
             "/client/examples/*.c && "
             "ls $(pkg-config --variable=libdir kvroute)/libkvroute.so",
             support_home());
    run((const char *[]){"/bin/sh", "-c", command, NULL});
}

// And CMake does, with both kinds of library, and says no to a program that wants another major version.
Test(install, cmake_finds_the_library) {
    static const char project[] = "cmake_minimum_required(VERSION 3.25)\n"
                                  "project(user C)\n"
                                  "find_package(kvroute 99 QUIET)\n"
                                  "if(kvroute_FOUND)\n"
                                  "    message(FATAL_ERROR \"of no such version\")\n"
                                  "endif()\n"
                                  "find_package(kvroute " KVROUTE_VERSION " REQUIRED)\n"
                                  "foreach(kind kvroute kvroute_static)\n"
                                  "    add_executable(with_${kind} user.c)\n"
                                  "    target_link_libraries(with_${kind} kvroute::${kind})\n"
                                  "endforeach()\n";
    static const char program[] = "#include <kvroute/client.h>\n"
                                  "int main(void) { return !kvr_client_library(); }\n";
    char command[1200];
    install(KVROUTE_BUILT "/client/lib/cmake_install.cmake");
    write_text("user/CMakeLists.txt", project);
    write_text("user/user.c", program);
    snprintf(command, sizeof command,
             "cmake -S '%s/user' -B '%s/built' -DCMAKE_PREFIX_PATH='%s' "
             "-DCMAKE_C_FLAGS='" KVROUTE_USER_FLAGS "' && cmake --build '%s/built'",
             support_home(), support_home(), support_home(), support_home());
    run((const char *[]){"/bin/sh", "-c", command, NULL});
    snprintf(command, sizeof command, "'%s/built/with_kvroute' && '%s/built/with_kvroute_static'",
             support_home(), support_home());
    run((const char *[]){"/bin/sh", "-c", command, NULL});
}

// Made of --help: no word of it may be lost.
Test(install, manual_pages_and_completions_have_every_setting) {
#ifndef KVROUTE_MANUAL
    cr_skip_test("no manual pages in a build with sanitizers");
#else
    static const char *const programs[] = {
        "router",
        "bridge",
#ifdef KVROUTE_TOP_PROGRAM
        "top",
#endif
    };
    for (size_t i = 0; i < sizeof programs / sizeof *programs; i++) {
        char script[300], command[1200];
        const char *p = programs[i];
        snprintf(script, sizeof script, KVROUTE_BUILT "/client/%s/cmake_install.cmake", p);
        install(script);
        snprintf(command, sizeof command,
                 "cd '%s' && bash -n share/bash-completion/completions/kvroute-%s && "
                 "zcat share/man/man1/kvroute-%s.1.gz >page && bin/kvroute-%s --help | "
                 "sed -nE 's/^  ([a-z_]+) .*/\\1/p' | while read -r word; do "
                 "grep -qE \"^.BR $word( |\\$)\" page || { echo \"no $word\"; exit 1; }; done",
                 support_home(), p, p, p);
        run((const char *[]){"/bin/sh", "-c", command, NULL});
    }
#endif
}
