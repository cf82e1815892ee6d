// SPDX-License-Identifier: Apache-2.0
// Folder, ports, shared memory and processes; see ha_process.h.
#include "ha_process.h"

#include <errno.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/support/support_home.h"
#include "tests/support/support_process.h"

enum { HA_MAX_LOGS = 24 };

// What this process has open. Each scenario is a process of its own.
static char logs[HA_MAX_LOGS][280];
static size_t n_logs;
static uint64_t seed;

// In shared memory, so that a proxy sees who was started after it.
struct ha_process_table {
    struct ha_process processes[HA_MAX_PROCESSES];
    _Atomic size_t n;
};
static struct ha_process_table *table;

uint64_t ha_seed(void) {
    return seed;
}

void ha_wait(bool (*holds)(void *ctx), void *ctx, const char *what) {
    if (!support_wait(holds, ctx, HA_PATIENCE_MS)) ha_give_up("waited in vain until %s", what);
}

void *ha_share(size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) ha_give_up("no memory to share: %s", strerror(errno));
    return p;
}

// ---- Giving up -----------------------------------------------------------------------------------

void ha_show_log(const char *path) {
    if (n_logs < HA_MAX_LOGS) snprintf(logs[n_logs++], sizeof logs[0], "%s", path);
}

void ha_give_up(const char *format, ...) {
    va_list ap;
    fputs("can't go on: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    for (size_t i = 0; i < n_logs; i++)
        support_log_show(logs[i]);
    fflush(NULL);
    _exit(HA_BROKEN);
}

// ---- Beginning and end ---------------------------------------------------------------------------

void ha_open(void) {
    support_home(); // now, so that all processes have the same
    const char *given = getenv("KVROUTE_SEED");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000 + (uint64_t)getpid();
    signal(SIGPIPE, SIG_IGN);
    table = ha_share(sizeof *table);
    n_logs = 0;
}

void ha_close(void) {
    for (size_t i = 0; i < table->n; i++)
        ha_process_kill(&table->processes[i]);
    support_home_remove();
}

// ---- Processes -----------------------------------------------------------------------------------

size_t ha_process_count(void) {
    return table->n;
}

const struct ha_process *ha_process_at(size_t i) {
    return &table->processes[i];
}

struct ha_process *ha_process_add(int side) {
    size_t i = table->n;
    if (i == HA_MAX_PROCESSES) ha_give_up("too many processes");
    table->processes[i].side = side;
    table->n = i + 1;
    return &table->processes[i];
}

bool ha_process_fork(struct ha_process *p) {
    pid_t pid = support_fork(-1, 1, 2);
    p->pid = pid ? pid : getpid();
    return pid;
}

static bool has_ended(void *ctx) {
    struct ha_process *p = ctx;
    return waitpid(p->pid, NULL, WNOHANG) != 0;
}

void ha_process_kill(struct ha_process *p) {
    if (!p->pid) return;
    kill(p->pid, SIGKILL);
    ha_wait(has_ended, p, "a killed process has ended");
    p->pid = 0;
}

static bool stands(void *ctx) {
    struct ha_process *p = ctx;
    int status;
    pid_t pid = waitpid(p->pid, &status, WNOHANG | WUNTRACED);
    if (pid == p->pid && !WIFSTOPPED(status)) ha_give_up("a process ended by itself");
    return pid == p->pid;
}

void ha_process_stop(struct ha_process *p) {
    kill(p->pid, SIGSTOP);
    ha_wait(stands, p, "a process has stopped");
}

void ha_process_continue(struct ha_process *p) {
    kill(p->pid, SIGCONT);
}

bool ha_process_ended(struct ha_process *p, int *status) {
    if (!p->pid || waitpid(p->pid, status, WNOHANG) != p->pid) return false;
    p->pid = 0;
    return true;
}
