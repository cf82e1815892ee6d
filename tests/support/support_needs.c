// SPDX-License-Identifier: Apache-2.0
// See support_needs.h.
#include "support_needs.h"

#include <criterion/criterion.h>
#include <stdio.h>

#include "support_process.h"

enum { NEEDS_PATIENCE_MS = 60000 };

void support_needs_python(const char *modules, const char *packages) {
    char line[200];
    snprintf(line, sizeof line, "import %s", modules);
    const char *const argv[] = {"/usr/bin/python3", "-c", line, NULL};
    if (support_run(argv, NEEDS_PATIENCE_MS, NULL, 0) != 0)
        cr_skip_test("/usr/bin/python3 can't %s: install %s", line, packages);
}

const char *support_needs_newest_redis_py(void) {
    static const char python[] = KVROUTE_NEWEST_PYTHON;
    support_needs_program(python, "it with ./dev setup all, which gets redis-py from PyPI");
    const char *const argv[] = {python, "-c", "import redis", NULL};
    if (support_run(argv, NEEDS_PATIENCE_MS, NULL, 0) != 0)
        cr_skip_test("%s has no redis-py: PyPI couldn't be reached", python);
    return python;
}

void support_needs_program(const char *name, const char *package) {
    const char *const argv[] = {"/bin/sh", "-c", "command -v \"$0\"", name, NULL};
    if (support_run(argv, NEEDS_PATIENCE_MS, NULL, 0) != 0)
        cr_skip_test("there is no %s: install %s", name, package);
}
