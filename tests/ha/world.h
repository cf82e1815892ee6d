// SPDX-License-Identifier: Apache-2.0
// The world that a scenario plays in: files in a folder, memory that processes share, and processes
// that end with the one that started them. Ports and time are home.h's.
//
// A scenario runs in a process of its own, which opens one world and closes it. Whatever it starts
// dies with it, however it ends (PR_SET_PDEATHSIG), and a helper that outlives it removes the folder.
// What can't go on (no port, no server, no answer) gives up: the process says why, shows the servers'
// last words and ends with WORLD_BROKEN, which is neither a pass nor a verdict.
//
//   TMPDIR          where the folder is made
//   KVROUTE_KEEP    leaves the folder, with the logs of servers and clients
//   KVROUTE_SEED    repeats the choices of a run (not its timing)
#ifndef HA_WORLD_H
#define HA_WORLD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/support/home.h"

enum {
    PATIENCE_MS = 90000, // how long anything may take before it counts as hanging
    WORLD_BROKEN = 70,   // exit status of a process that gave up
    MAX_PROCESSES = 48,
};

void world_open(void);
// Ends what still runs and removes the folder.
void world_close(void);
uint64_t world_seed(void);

_Noreturn void give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));
// A file whose end give_up() shows.
void world_show_log(const char *path);
// The name of a file in the folder.
void world_path(char *out, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

// Tries until it holds, or gives up when PATIENCE_MS are over.
void wait_until(bool (*holds)(void *ctx), void *ctx, const char *what);
// The same for at most ms; whether it came to hold.
bool wait_for(bool (*holds)(void *ctx), void *ctx, int64_t ms);

// Zeroed memory that this process and all that it forks see alike.
void *world_share(size_t size);

// ---- Processes -----------------------------------------------------------------------------------
// Everything that is started has a side: a number that says where in the network it is. Proxies ask
// for it (see proxy.h); without them it means nothing.

struct process {
    _Atomic pid_t pid; // 0: not running
    int side;
};

// Forks; the child is bound to die with this process and has no open files but 0, 1 and 2. Returns
// NULL in the child, else its entry, which stays its own also after it has ended.
struct process *process_fork(int side);
// The same again in an entry whose process has ended. Whether this is the parent.
bool process_fork_again(struct process *p);
void process_kill(struct process *p);               // SIGKILL, and waits for its end
void process_stop(struct process *p);               // SIGSTOP, and waits until it stands
void process_continue(struct process *p);           // SIGCONT
bool process_ended(struct process *p, int *status); // true once: it has ended by itself
// All there have been, by number.
size_t process_count(void);
const struct process *process_at(size_t i);

#endif
