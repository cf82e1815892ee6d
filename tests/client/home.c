// SPDX-License-Identifier: Apache-2.0
// See home.h.
#define _GNU_SOURCE // pipe2, accept4
#include "home.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BACKLOG = 64 };

static char home[80];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    abort();
}

// A helper holds the other end of a pipe, reads until this process has gone, and cleans up.
static void leave_janitor(void) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) fail("pipe");
    pid_t pid = fork();
    if (pid < 0) fail("fork");
    if (pid > 0) {
        close(ends[0]); // ends[1] stays open as long as this process lives
        return;
    }
    setsid();
    dup2(ends[0], 0);
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    for (int fd = 3; fd < 1024; fd++)
        close(fd);
    execl("/bin/sh", "sh", "-c", "cat; rm -rf \"$1\" || { sleep 1; rm -rf \"$1\"; }", "janitor",
          home, (char *)NULL);
    _exit(127);
}

static void make_home(void) {
    const char *tmp = getenv("TMPDIR");
    int n = snprintf(home, sizeof home, "%s/kvroute-client.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    if (n >= (int)sizeof home || !mkdtemp(home)) fail("the directory of the test");
    leave_janitor();
}

const char *home_path(void) {
    pthread_once(&once, make_home);
    return home;
}

static void share_address(int fd, int yes) {
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
}

static int listen_at(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    a.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0) fail("socket");
    share_address(fd, 1);
    if (bind(fd, (struct sockaddr *)&a, sizeof a) == 0 && listen(fd, BACKLOG) == 0) return fd;
    close(fd);
    return -1;
}

int home_listen(int *port) {
    static uint32_t next; // between threads it doesn't matter who gets which
    for (int tries = 0; tries < 4000; tries++) {
        uint32_t drawn = __atomic_add_fetch(&next, 7, __ATOMIC_RELAXED);
        *port = 4000 + (int)((drawn + (uint32_t)getpid() * 37u) % 8000);
        int fd = listen_at(*port);
        if (fd >= 0) return fd;
    }
    fail("no free port");
    return -1;
}

// Two sockets may have one port while neither listens, if both say so; ours does only when it must: to
// listen where connections of before are still in TIME_WAIT.
void home_deafen(int fd) {
    share_address(fd, 0);
    if (shutdown(fd, SHUT_RDWR)) fail("a socket goes on listening");
}

void home_listen_again(int fd) {
    share_address(fd, 1);
    for (int tries = 0; listen(fd, BACKLOG); tries++) {
        if (tries > 1000) fail("a socket doesn't listen again");
        sleep_ms(5);
    }
}

int64_t now_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

void sleep_ms(int ms) {
    poll(NULL, 0, ms);
}
