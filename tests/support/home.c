// SPDX-License-Identifier: Apache-2.0
// The folder, and the time; see home.h.
#define _GNU_SOURCE // close_range, nftw, pipe2
#include "home.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char home[200];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    abort();
}

const char *home_setting(const char *name, const char *fallback) {
    const char *value = getenv(name);
    return value && *value ? value : fallback;
}

// Removes the folder once this process has gone, also when it was killed: its end of the pipe closes
// then. Programs that it started go at the same moment, and may still write a file; see program.h.
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
    close_range(3, ~0u, 0);
    execl("/bin/sh", "sh", "-c", "cat; for i in 1 2 3 4 5; do rm -rf \"$1\" && exit; sleep 1; done",
          "janitor", home, (char *)NULL);
    _exit(127);
}

static void make_home(void) {
    int n = snprintf(home, sizeof home, "%s/kvroute-test.XXXXXX", home_setting("TMPDIR", "/tmp"));
    if (n >= (int)sizeof home) errno = ENAMETOOLONG;
    if (n >= (int)sizeof home || !mkdtemp(home)) fail("the folder of the test");
    if (!getenv("KVROUTE_KEEP")) leave_janitor();
}

const char *home_path(void) {
    pthread_mutex_lock(&lock);
    if (!home[0]) make_home();
    pthread_mutex_unlock(&lock);
    return home;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void home_remove(void) {
    pthread_mutex_lock(&lock);
    if (home[0] && !getenv("KVROUTE_KEEP")) nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    home[0] = 0;
    pthread_mutex_unlock(&lock);
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
