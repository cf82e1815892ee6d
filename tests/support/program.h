// SPDX-License-Identifier: Apache-2.0
// The names of before, until the last of their users has been converted.
#pragma once
#include "tests/support/support_process.h"
#define program_fork support_fork
#define program_become support_exec
#define program_ended support_ended
#define program_ends support_ends
#define program_end support_end
static inline pid_t program_start(const char *const *argv, int in, int out, int err) {
    pid_t pid = support_fork(in, out, err);
    if (!pid) support_exec(argv);
    return pid;
}
