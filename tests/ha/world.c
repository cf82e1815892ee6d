// SPDX-License-Identifier: Apache-2.0
// Folder, ports, shared memory and processes; see world.h.
#define _GNU_SOURCE // close_range, pipe2
#include "world.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MAX_LOGS = 24, LAST_WORDS = 2500 };

// What this process has open. Each scenario is a process of its own.
static char folder[200];
static char logs[MAX_LOGS][280];
static size_t n_logs;
static uint64_t seed;

// In shared memory, so that a proxy sees who was started after it.
struct table {
    struct process processes[MAX_PROCESSES];
    _Atomic size_t n;
};
static struct table *table;

const char *world_setting(const char *name, const char *fallback) {
    const char *value = getenv(name);
    return value && *value ? value : fallback;
}

uint64_t world_seed(void) {
    return seed;
}

int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void sleep_ms(int64_t ms) {
    int64_t until = now_ms() + ms;
    for (int64_t left = ms; left > 0; left = until - now_ms())
        poll(NULL, 0, (int)left);
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
    if ((size_t)snprintf(out, size, "%s/%s", folder, name) >= size)
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

// ---- The folder ----------------------------------------------------------------------------------

// Removes the folder once this process has gone, also when it was killed: its end of the pipe closes
// then. What it started goes at the same moment, see process_fork_again().
static void leave_janitor(void) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) give_up("no pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0) give_up("no process: %s", strerror(errno));
    if (pid > 0) {
        close(ends[0]); // ends[1] stays open as long as this process lives
        return;
    }
    setsid();
    dup2(ends[0], 0);
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    close_range(3, ~0u, 0);
    execl("/bin/sh", "sh", "-c", "cat; for i in 1 2 3 4 5; do rm -rf \"$1\" && exit; sleep 1; done",
          "janitor", folder, (char *)NULL);
    _exit(127);
}

void world_open(void) {
    snprintf(folder, sizeof folder, "%s/kvroute-ha.XXXXXX", world_setting("TMPDIR", "/tmp"));
    if (!mkdtemp(folder)) {
        fprintf(stderr, "can't make %s: %s\n", folder, strerror(errno));
        _exit(WORLD_BROKEN);
    }
    if (!getenv("KVROUTE_KEEP")) leave_janitor();
    const char *given = getenv("KVROUTE_SEED");
    seed = given ? strtoull(given, NULL, 10) : (uint64_t)time(NULL) * 1000 + (uint64_t)getpid();
    signal(SIGPIPE, SIG_IGN);
    table = world_share(sizeof *table);
    n_logs = 0;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void world_close(void) {
    for (size_t i = 0; i < table->n; i++)
        process_kill(&table->processes[i]);
    if (!getenv("KVROUTE_KEEP")) nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

// ---- Ports ---------------------------------------------------------------------------------------

static bool port_is_free(int port) {
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    addr.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    bool is_free = bind(fd, (struct sockaddr *)&addr, sizeof addr) == 0;
    close(fd);
    return is_free;
}

// A name in the abstract namespace belongs to one socket at a time and goes with its process.
static bool port_is_ours(int port) {
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int n = snprintf(addr.sun_path + 1, sizeof addr.sun_path - 1, "kvroute-ha-port-%d", port);
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    socklen_t size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
    if (bind(fd, (struct sockaddr *)&addr, size) == 0) return true; // kept open
    close(fd);
    return false;
}

// Below the range from which the kernel takes ports for outgoing connections.
int world_port(void) {
    static uint32_t next;
    if (!next) next = (uint32_t)getpid() * 41u;
    for (int tries = 0; tries < 5000; tries++) {
        int port = 12000 + (int)(next++ % 20000);
        if (port_is_ours(port) && port_is_free(port)) return port;
    }
    give_up("no free port");
}

// ---- Processes -----------------------------------------------------------------------------------

size_t process_count(void) {
    return table->n;
}

const struct process *process_at(size_t i) {
    return &table->processes[i];
}

bool process_fork_again(struct process *p) {
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid < 0) give_up("no process: %s", strerror(errno));
    if (pid > 0) {
        p->pid = pid;
        return true;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, 0);
    close_range(3, ~0u, 0);
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
