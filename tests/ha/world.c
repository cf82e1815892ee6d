// SPDX-License-Identifier: Apache-2.0
// Folder, ports, shared memory and processes; see world.h.
#include "world.h"

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

#include "tests/support/program.h"

enum { MAX_LOGS = 24, LAST_WORDS = 2500 };

// What this process has open. Each scenario is a process of its own.
static char logs[MAX_LOGS][280];
static size_t n_logs;
static uint64_t seed;

// In shared memory, so that a proxy sees who was started after it.
struct table {
    struct process processes[MAX_PROCESSES];
    _Atomic size_t n;
};
static struct table *table;

uint64_t world_seed(void) {
    return seed;
}

bool wait_for(bool (*holds)(void *ctx), void *ctx, int64_t ms) {
    int64_t until = now_ms() + ms;
    while (!holds(ctx)) {
        if (now_ms() >= until) return false;
        sleep_ms(10);
    }
    return true;
}

void wait_until(bool (*holds)(void *ctx), void *ctx, const char *what) {
    if (!wait_for(holds, ctx, PATIENCE_MS)) give_up("waited in vain until %s", what);
}

void world_path(char *out, size_t size, const char *format, ...) {
    char name[128];
    va_list ap;
    va_start(ap, format);
    vsnprintf(name, sizeof name, format, ap);
    va_end(ap);
    if ((size_t)snprintf(out, size, "%s/%s", home_path(), name) >= size)
        give_up("the path in TMPDIR is too long");
}

void *world_share(size_t size) {
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) give_up("no memory to share: %s", strerror(errno));
    return p;
}

// ---- Giving up -----------------------------------------------------------------------------------

void world_show_log(const char *path) {
    if (n_logs < MAX_LOGS) snprintf(logs[n_logs++], sizeof logs[0], "%s", path);
}

static void show_end(const char *path) {
    char text[LAST_WORDS];
    FILE *f = fopen(path, "r");
    if (!f) return;
    if (fseek(f, -(long)sizeof text, SEEK_END)) rewind(f);
    size_t n = fread(text, 1, sizeof text, f);
    fprintf(stderr, "---- the end of %s\n", path);
    fwrite(text, 1, n, stderr);
    fclose(f);
}

void give_up(const char *format, ...) {
    va_list ap;
    fputs("can't go on: ", stderr);
    va_start(ap, format);
    vfprintf(stderr, format, ap);
    va_end(ap);
    fputc('\n', stderr);
    for (size_t i = 0; i < n_logs; i++)
        show_end(logs[i]);
    fflush(NULL);
    _exit(WORLD_BROKEN);
}

// ---- Beginning and end ---------------------------------------------------------------------------

void world_open(void) {
    home_path(); // now, so that all processes have the same
    const char *given = getenv("KVROUTE_SEED");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000 + (uint64_t)getpid();
    signal(SIGPIPE, SIG_IGN);
    table = world_share(sizeof *table);
    n_logs = 0;
}

void world_close(void) {
    for (size_t i = 0; i < table->n; i++)
        process_kill(&table->processes[i]);
    home_remove();
}

// ---- Processes -----------------------------------------------------------------------------------

size_t process_count(void) {
    return table->n;
}

const struct process *process_at(size_t i) {
    return &table->processes[i];
}

bool process_fork_again(struct process *p) {
    fflush(NULL); // a child that goes on with this program would say it again
    pid_t pid = program_fork(-1, 1, 2);
    if (pid > 0) {
        p->pid = pid;
        return true;
    }
    p->pid = getpid();
    return false;
}

struct process *process_fork(int side) {
    size_t i = table->n;
    if (i == MAX_PROCESSES) give_up("too many processes");
    table->processes[i].side = side;
    table->n = i + 1;
    return process_fork_again(&table->processes[i]) ? &table->processes[i] : NULL;
}

static bool has_ended(void *ctx) {
    struct process *p = ctx;
    return waitpid(p->pid, NULL, WNOHANG) != 0;
}

void process_kill(struct process *p) {
    if (!p->pid) return;
    kill(p->pid, SIGKILL);
    wait_until(has_ended, p, "a killed process has ended");
    p->pid = 0;
}

static bool stands(void *ctx) {
    struct process *p = ctx;
    int status;
    pid_t pid = waitpid(p->pid, &status, WNOHANG | WUNTRACED);
    if (pid == p->pid && !WIFSTOPPED(status)) give_up("a process ended by itself");
    return pid == p->pid;
}

void process_stop(struct process *p) {
    kill(p->pid, SIGSTOP);
    wait_until(stands, p, "a process has stopped");
}

void process_continue(struct process *p) {
    kill(p->pid, SIGCONT);
}

bool process_ended(struct process *p, int *status) {
    if (!p->pid || waitpid(p->pid, status, WNOHANG) != p->pid) return false;
    p->pid = 0;
    return true;
}
