// SPDX-License-Identifier: Apache-2.0
// See needs.h.
#include "needs.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "program.h"

enum { PATIENCE_MS = 60000 };

static bool works(const char *const *argv) {
    int status;
    pid_t pid = program_start(argv, -1, -1, -1);
    cr_assert(program_ends(&pid, PATIENCE_MS, &status), "%s doesn't end", argv[0]);
    return status == 0;
}

void needs_python(const char *modules, const char *packages) {
    char line[200];
    snprintf(line, sizeof line, "import %s", modules);
    if (!works((const char *[]){"/usr/bin/python3", "-c", line, NULL}))
        cr_skip_test("/usr/bin/python3 can't %s: install %s", line, packages);
}

void needs_program(const char *name, const char *package) {
    if (!works((const char *[]){"/bin/sh", "-c", "command -v \"$0\"", name, NULL}))
        cr_skip_test("there is no %s: install %s", name, package);
}
