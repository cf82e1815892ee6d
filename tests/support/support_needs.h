// SPDX-License-Identifier: Apache-2.0
// What a test needs that not every machine has. Where it is missing, the test is skipped: Criterion shows
// that with the reason and counts the test neither passed nor failed. (A warning would not do: the suite
// then ends with 1, and no test is named.) For Criterion's suites only.
//
// A test that is skipped runs no .fini: ask before anything is started that has to be stopped.
#ifndef SUPPORT_NEEDS_H
#define SUPPORT_NEEDS_H

// /usr/bin/python3 with these modules, given as after `import`; packages are Debian's names for them.
void support_needs_python(const char *modules, const char *packages);
// The newest redis-py, which `./dev setup all` gets from PyPI into a folder of its own. A distribution's speaks
// RESP2, this one RESP3, whose maps come as such.
// → the interpreter that has it.
const char *support_needs_newest_redis_py(void);
// A program in PATH.
void support_needs_program(const char *name, const char *package);

#endif
