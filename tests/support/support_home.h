// SPDX-License-Identifier: Apache-2.0
// The temporary folder of a test or a benchmark, its settings, and how it ends when it can't go on.
//
//   TMPDIR          where the folder is made
//   KVROUTE_KEEP    leaves it, to look into
//   KVROUTE_SEED    repeats what a test drew by chance
#ifndef SUPPORT_HOME_H
#define SUPPORT_HOME_H

#include <stddef.h>
#include <stdint.h>

// The folder: made when first asked for, gone when the process is, however that ends. Any thread may
// ask. Short enough for sockets in it, if TMPDIR is.
const char *support_home(void);
// The path of a file in it.
void support_path(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
// Removes it now, unless it is to be kept. Asked for again, it is another one.
void support_home_remove(void);

// The value of an environment variable, or what is used when it is unset or empty.
const char *support_setting(const char *name, const char *fallback);
uint64_t support_seed(void); // of this run; says so on stderr
void support_sleep_ms(int64_t ms);
// Says what is wrong, with the program's name, and ends it.
_Noreturn void support_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
