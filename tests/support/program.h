// SPDX-License-Identifier: Apache-2.0
// Processes of a test: they die with the one that started them, however that ends.
#ifndef SUPPORT_PROGRAM_H
#define SUPPORT_PROGRAM_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

// Forks. The child, in which this returns 0, has these descriptors for 0, 1 and 2 (-1: /dev/null), and
// no other open. Ends the program with a message if it can't fork.
pid_t program_fork(int in, int out, int err);
// For the child: becomes argv[0], which is looked for in PATH.
_Noreturn void program_become(const char *const *argv);
// Both.
pid_t program_start(const char *const *argv, int in, int out, int err);

// Whether it has ended, and if so how: its exit status, or -1 for a signal. *pid is 0 then.
bool program_ended(pid_t *pid, int *status);
// The same, waited for at most so long.
bool program_ends(pid_t *pid, int64_t ms, int *status);
// Sends the signal and waits for the end. 0 is nobody, and what *pid is then.
void program_end(pid_t *pid, int signal);

#endif
