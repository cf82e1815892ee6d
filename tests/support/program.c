// SPDX-License-Identifier: Apache-2.0
// See program.h.
#define _GNU_SOURCE // close_range
#include "program.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "home.h"

pid_t program_fork(int in, int out, int err) {
    pid_t parent = getpid(), pid = fork();
    if (pid < 0) {
        perror("fork");
        abort();
    }
    if (pid > 0) return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    int null = open("/dev/null", O_RDWR), files[] = {in, out, err};
    for (int fd = 0; fd < 3; fd++)
        dup2(files[fd] >= 0 ? files[fd] : null, fd);
    close_range(3, ~0u, 0);
    return 0;
}

_Noreturn void program_become(const char *const *argv) {
    execvp(argv[0], (char *const *)argv);
    dprintf(2, "can't run %s: %s\n", argv[0], strerror(errno));
    _exit(127);
}

pid_t program_start(const char *const *argv, int in, int out, int err) {
    pid_t pid = program_fork(in, out, err);
    if (!pid) program_become(argv);
    return pid;
}

bool program_ended(pid_t *pid, int *status) {
    int how;
    if (*pid <= 0 || waitpid(*pid, &how, WNOHANG) != *pid) return false;
    *pid = 0;
    *status = WIFEXITED(how) ? WEXITSTATUS(how) : -1;
    return true;
}

bool program_ends(pid_t *pid, int64_t ms, int *status) {
    for (int64_t end = now_ms() + ms; !program_ended(pid, status); sleep_ms(2))
        if (now_ms() >= end) return false;
    return true;
}

void program_end(pid_t *pid, int signal) {
    if (*pid > 0) {
        kill(*pid, signal);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}
