// SPDX-License-Identifier: Apache-2.0
// What a scenario runs in: memory that processes share, processes that end with the one that started
// them, and giving up.
//
// A scenario runs in a process of its own, which opens this once and closes it. Whatever it starts dies
// with it, however it ends; see support_process.h. What can't go on (no port, no server, no answer) gives
// up: the process says why, shows the ends of the logs and ends with HA_BROKEN, which is neither a pass
// nor a result.
//
//   TMPDIR          where the folder is made
//   KVROUTE_KEEP    leaves the folder, with the logs of servers and clients
//   KVROUTE_SEED    repeats the choices of a run (not its timing)
#ifndef HA_PROCESS_H
#define HA_PROCESS_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    HA_PATIENCE_MS = 90000, // how long anything may take before it counts as hanging
    HA_BROKEN = 70,         // exit status of a process that gave up
    HA_MAX_PROCESSES = 48,
};

void ha_open(void);
// Ends what still runs and removes the folder.
void ha_close(void);
uint64_t ha_seed(void);

_Noreturn void ha_give_up(const char *format, ...) __attribute__((format(printf, 1, 2)));
// A file whose end ha_give_up() shows.
void ha_show_log(const char *path);

// Tries until it holds, or gives up when HA_PATIENCE_MS are over.
void ha_wait(bool (*holds)(void *ctx), void *ctx, const char *what);

// Zeroed memory that this process and all that it forks see alike.
void *ha_share(size_t size);

// ---- Processes -----------------------------------------------------------------------------------
// Everything that is started has a side: a number that says where in the network it is. Proxies ask
// for it (see ha_proxy.h); without them it means nothing.

struct ha_process {
    _Atomic pid_t pid; // 0: not running
    int side;
};

// An entry for a process of this side.
struct ha_process *ha_process_add(int side);
// Forks it; the child, in which this is false, is bound to die with this process and has no open files
// but 0, 1 and 2. The entry stays its own also after it has ended.
bool ha_process_fork(struct ha_process *p);
void ha_process_kill(struct ha_process *p);               // SIGKILL, and waits for its end
void ha_process_stop(struct ha_process *p);               // SIGSTOP, and waits until it stands
void ha_process_continue(struct ha_process *p);           // SIGCONT
bool ha_process_ended(struct ha_process *p, int *status); // true once: it has ended by itself
// All there have been, by number.
size_t ha_process_count(void);
const struct ha_process *ha_process_at(size_t i);

#endif
