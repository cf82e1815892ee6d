// SPDX-License-Identifier: Apache-2.0
// Processes of a test or a benchmark. They die with the one that started them, however that ends; Ctrl-C
// isn't for them but for it.
#ifndef SUPPORT_PROCESS_H
#define SUPPORT_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// ---- Starting ------------------------------------------------------------------------------------

// Starts argv[0], which is looked for in PATH. What it says and warns of is appended to a file; NULL:
// nowhere. Ends the program with a message if it can't fork.
pid_t support_start(const char *const *argv, const char *log);
// The same for a program that starts others, with a leash (below).
pid_t support_start_family(const char *const *argv, const char *log);
// As support_start, but what it says goes to a pipe, whose end to read from is *out, to be closed.
pid_t support_start_piped(const char *const *argv, const char *log, int *out);
// For a program that says so when it is ready: reads until a line has ended, and cuts it to fit. False:
// the pipe has ended, or nothing came for so long.
bool support_read_line(int fd, char *line, size_t size, int64_t ms);

// The two halves of starting, for those that do something in between. The child, in which the first
// returns 0, has these descriptors for 0, 1 and 2 (-1: /dev/null), and no other open.
pid_t support_fork(int in, int out, int err);
_Noreturn void support_exec(const char *const *argv);
// For a program that starts others, which may outlive it: with these, they are killed with this process, however it
// ends. A pipe, whose other end this process keeps; to be closed after the fork. The child has it as `fd`, and says
// so before it executes; it doesn't need it after that.
int support_leash(void);
void support_leash_put_on(int fd);

// Appends the words of a text, which are cut apart in place, to argv, of which n are taken; there is room
// for `room`, with the NULL at the end. Returns how many there are then.
size_t support_split(char *words, const char **argv, size_t n, size_t room);

// ---- Ending --------------------------------------------------------------------------------------

// Whether it has ended, and if so how: its exit status, or -1 for a signal. *pid is 0 then.
bool support_ended(pid_t *pid, int *status);
// The same, waited for at most so long.
bool support_ends(pid_t *pid, int64_t ms, int *status);
// Sends the signal, with SIGKILL also to what it has forked, and waits for the end. 0 is nobody, and what
// *pid is then.
void support_end(pid_t *pid, int signal);
// Starts a program and waits for its end: its exit status, -1 for a signal or when it takes longer than
// `ms`. `out` gets what it says and warns of, cut to fit; size 0: nowhere.
int support_run(const char *const *argv, int64_t ms, char *out, size_t size);

// ---- Waiting, and logs ---------------------------------------------------------------------------

// Tries until it holds, for at most `ms`; whether it came to hold.
bool support_wait(bool (*holds)(void *ctx), void *ctx, int64_t ms);
// The number behind "process " in the last line with this text; 0: there is none.
pid_t support_log_process(const char *path, const char *text);
size_t support_log_count(const char *path, const char *text); // lines with this text
void support_log_show(const char *path);                      // its end, on stderr

#endif
