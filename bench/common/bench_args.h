// SPDX-License-Identifier: Apache-2.0
// The command line of a program as a table: what each option takes, and where that goes.
#ifndef BENCH_ARGS_H
#define BENCH_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bench_arg {
    const char *name; // without dashes
    // Takes the text that was given (NULL: a flag) into the program's options. One of those below, or the
    // program's own. False, with a message: it is wrong.
    bool (*take)(void *options, const struct bench_arg *arg, const char *text);
    size_t at; // of its value in the options
    double min, max;
};

bool bench_arg_flag(void *options, const struct bench_arg *arg, const char *text);  // bool
bool bench_arg_text(void *options, const struct bench_arg *arg, const char *text);  // const char *
bool bench_arg_real(void *options, const struct bench_arg *arg, const char *text);  // double
bool bench_arg_whole(void *options, const struct bench_arg *arg, const char *text); // uint64_t

// For takers of the program's own: a number from min to max, and a message; false.
bool bench_arg_number(const char *name, const char *text, double min, double max, double *out);
bool bench_arg_wrong(const char *name, const char *what);

// Reads all of a command line. Returns -1 to go on, or the exit status after --help, --version or a
// mistake.
int bench_args_read(void *options, const struct bench_arg *args, size_t n, const char *usage,
                    int argc, char **argv);

#endif
