// SPDX-License-Identifier: Apache-2.0
// See support_process.h.
#define _GNU_SOURCE // close_range, pipe2
#include "support_process.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "client/common/clock.h"
#include "support_home.h"

enum { LOG_END = 12000, END_MS = 60000 };

// ---- Starting ------------------------------------------------------------------------------------

pid_t support_fork(int in, int out, int err) {
    fflush(NULL); // a child that goes on with this program would say it again
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) support_fail("fork: %s", strerror(errno));
    if (pid > 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    setsid(); // so what it forks can be killed with it, and Ctrl-C doesn't reach it
    int null = open("/dev/null", O_RDWR);
    dup2(in >= 0 ? in : null, 0);
    dup2(out >= 0 ? out : null, 1);
    dup2(err >= 0 ? err : null, 2);
    close_range(3, ~0u, 0);
    return 0;
}

_Noreturn void support_exec(const char *const *argv) {
    execvp(argv[0], (char *const *)argv);
    dprintf(2, "can't run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

static int open_log(const char *path) {
    if (!path) return -1;
    int fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) support_fail("%s: %s", path, strerror(errno));
    return fd;
}

// out: -1 is the log.
static pid_t start(const char *const *argv, const char *log, int out) {
    int fd = open_log(log);
    pid_t pid = support_fork(-1, out >= 0 ? out : fd, fd);
    if (!pid) support_exec(argv);
    if (fd >= 0) close(fd);
    return pid;
}

pid_t support_start(const char *const *argv, const char *log) {
    return start(argv, log, -1);
}

int support_leash(void) {
    int ends[2]; // the second stays open until this process ends
    if (pipe2(ends, O_CLOEXEC)) support_fail("pipe: %s", strerror(errno));
    return ends[0];
}

// Another process of the child's group kills the group. Its number can't be another's as long as this is in it.
void support_leash_put_on(int fd) {
    char byte;
    if (fork()) return;
    while (read(fd, &byte, 1) > 0)
        ;
    kill(0, SIGKILL);
    _exit(0);
}

pid_t support_start_family(const char *const *argv, const char *log) {
    int fd = open_log(log), leash = support_leash();
    pid_t pid = support_fork(leash, fd, fd);
    if (!pid) {
        support_leash_put_on(0);
        dup2(open("/dev/null", O_RDWR | O_CLOEXEC), 0);
        support_exec(argv);
    }
    close(leash);
    if (fd >= 0) close(fd);
    return pid;
}

pid_t support_start_piped(const char *const *argv, const char *log, int *out) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) support_fail("pipe: %s", strerror(errno));
    pid_t pid = start(argv, log, ends[1]);
    close(ends[1]);
    *out = ends[0];
    return pid;
}

// One read of at most n bytes; 0: the end, or nothing came in time.
static size_t read_some(int fd, char *to, size_t n, int64_t until) {
    struct pollfd p = {.fd = fd, .events = POLLIN};
    int64_t left = until - kvr_clock_ms();
    ssize_t got = left > 0 && poll(&p, 1, (int)left) == 1 ? read(fd, to, n) : 0;
    return got > 0 ? (size_t)got : 0;
}

bool support_read_line(int fd, char *line, size_t size, int64_t ms) {
    int64_t until = kvr_clock_ms() + ms;
    size_t n = 0;
    for (char c; read_some(fd, &c, 1, until);) {
        if (c == '\n') {
            line[n] = 0;
            return true;
        }
        if (n + 1 < size) line[n++] = c;
    }
    line[n] = 0;
    return false;
}

size_t support_split(char *words, const char **argv, size_t n, size_t room) {
    char *rest = NULL;
    for (char *w = strtok_r(words, " ", &rest); w; w = strtok_r(NULL, " ", &rest)) {
        if (n + 1 >= room) support_fail("too many words");
        argv[n++] = w;
    }
    argv[n] = NULL;
    return n;
}

// ---- Ending --------------------------------------------------------------------------------------

bool support_ended(pid_t *pid, int *status) {
    int how;
    if (*pid <= 0 || waitpid(*pid, &how, WNOHANG) != *pid) return false;
    *pid = 0;
    *status = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
    return true;
}

bool support_ends(pid_t *pid, int64_t ms, int *status) {
    for (int64_t end = kvr_clock_ms() + ms; !support_ended(pid, status); support_sleep_ms(2))
        if (kvr_clock_ms() >= end) return false;
    return true;
}

void support_end(pid_t *pid, int signal) {
    int status;
    if (*pid <= 0) return;
    kill(*pid, signal);
    if (signal == SIGKILL) kill(-*pid, signal);
    for (int64_t end = kvr_clock_ms() + END_MS; waitpid(*pid, &status, WNOHANG) == 0;
         support_sleep_ms(1))
        if (kvr_clock_ms() >= end) support_fail("process %d doesn't end", (int)*pid);
    *pid = 0;
}

int support_run(const char *const *argv, int64_t ms, char *out, size_t size) {
    int ends[2], status;
    int64_t until = kvr_clock_ms() + ms;
    if (pipe2(ends, O_CLOEXEC)) support_fail("pipe: %s", strerror(errno));
    pid_t pid = support_fork(-1, ends[1], ends[1]);
    if (!pid) support_exec(argv);
    close(ends[1]);
    char chunk[4096];
    if (size) out[0] = 0;
    for (size_t n = 0, got; (got = read_some(ends[0], chunk, sizeof chunk, until));) {
        size_t fits = !size ? 0 : got < size - 1 - n ? got : size - 1 - n;
        if (fits) memcpy(out + n, chunk, fits);
        n += fits;
        if (size) out[n] = 0;
    }
    close(ends[0]);
    if (support_ends(&pid, until - kvr_clock_ms(), &status)) return status;
    support_end(&pid, SIGKILL);
    return -1;
}

// ---- Waiting, and logs ---------------------------------------------------------------------------

bool support_wait(bool (*holds)(void *ctx), void *ctx, int64_t ms) {
    for (int64_t end = kvr_clock_ms() + ms; !holds(ctx); support_sleep_ms(5))
        if (kvr_clock_ms() >= end) return false;
    return true;
}

size_t support_log_count(const char *path, const char *text) {
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    char line[4096];
    size_t n = 0;
    while (fgets(line, sizeof line, f))
        n += strstr(line, text) != NULL;
    fclose(f);
    return n;
}

pid_t support_log_process(const char *path, const char *text) {
    FILE *f = fopen(path, "r");
    if (!f) return 0;
    char line[4096];
    int pid = 0, n;
    while (fgets(line, sizeof line, f)) {
        const char *at = strstr(line, text) ? strstr(line, "process ") : NULL;
        if (at && sscanf(at, "process %d", &n) == 1) pid = n;
    }
    fclose(f);
    return pid;
}

void support_log_show(const char *path) {
    static char text[LOG_END];
    FILE *f = fopen(path, "r");
    if (!f) return;
    if (fseek(f, -(long)sizeof text, SEEK_END)) rewind(f);
    fprintf(stderr, "---- the end of %s\n", path);
    fwrite(text, 1, fread(text, 1, sizeof text, f), stderr);
    fclose(f);
}
