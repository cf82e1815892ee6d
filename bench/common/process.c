// SPDX-License-Identifier: Apache-2.0
// Programs as processes of ours; see process.h.
#define _GNU_SOURCE
#include "process.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "clock.h"
#include "random.h"

enum { FIRST_PORT = 14000, PORTS = 17000, TRIES = 500, LAST_FD = 1024 };

const char *process_setting(const char *name, const char *built_with) {
    const char *value = getenv(name);
    return value && *value ? value : built_with;
}

pid_t process_start(const char *const *argv, const char *log, int output) {
    pid_t parent = getpid();
    fflush(NULL);
    pid_t pid = fork();
    if (pid > 0) return pid;
    if (pid < 0) {
        perror("fork");
        exit(3);
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent) _exit(127);
    signal(SIGINT, SIG_IGN); // whoever started it decides
    int null = open("/dev/null", O_RDWR);
    int to = log ? open(log, O_WRONLY | O_CREAT | O_APPEND, 0600) : null;
    dup2(null, 0);
    dup2(output >= 0 ? output : to, 1);
    dup2(to, 2);
    for (int fd = 3; fd < LAST_FD; fd++)
        close(fd);
    execvp(argv[0], (char *const *)argv);
    perror(argv[0]);
    _exit(127);
}

void process_end(pid_t *pid, int signal) {
    if (*pid > 0) {
        kill(*pid, signal);
        waitpid(*pid, NULL, 0);
    }
    *pid = 0;
}

int process_wait(pid_t *pid, int ms) {
    int status = 0;
    for (int64_t end = clock_ns() + ms * INT64_C(1000000); waitpid(*pid, &status, WNOHANG) != *pid;
         clock_sleep_ms(5))
        if (clock_ns() > end) return -1;
    *pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static bool is_free(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool free = fd >= 0 && bind(fd, (struct sockaddr *)&a, sizeof a) == 0;
    if (fd >= 0) close(fd);
    return free;
}

int process_ports(unsigned n) {
    static uint64_t dice;
    if (!dice) dice = (uint64_t)getpid();
    for (int tries = 0; tries < TRIES; tries++) {
        int port = FIRST_PORT + (int)(random_next(&dice) % PORTS);
        unsigned i = 0;
        while (i < n && is_free(port + (int)i))
            i++;
        if (i == n) return port;
    }
    fputs("no free ports\n", stderr);
    exit(3);
}
