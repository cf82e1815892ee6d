// SPDX-License-Identifier: Apache-2.0
// The folder; see support_home.h.
#define _GNU_SOURCE // close_range, nftw, pipe2, program_invocation_short_name
#include "support_home.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "client/common/clock.h"

static char home[200];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

void support_fail(const char *format, ...) {
    va_list args;
    fprintf(stderr, "%s: ", program_invocation_short_name);
    va_start(args, format);
    vfprintf(stderr, format, args);
    va_end(args);
    fputc('\n', stderr);
    exit(1);
}

const char *support_setting(const char *name, const char *fallback) {
    const char *value = getenv(name);
    return value && *value ? value : fallback;
}

uint64_t support_seed(void) {
    const char *given = support_setting("KVROUTE_SEED", NULL);
    uint64_t seed = given ? strtoull(given, NULL, 10)
                          : (uint64_t)kvr_clock_ms() * 1000 + (uint64_t)getpid() % 1000;
    fprintf(stderr, "KVROUTE_SEED=%llu\n", (unsigned long long)seed);
    return seed;
}

// Removes the folder once this process has gone, also when it was killed: its end of the pipe closes
// then. Programs that it started go at the same moment, and may still write a file; see
// support_process.h.
static void start_remover(void) {
    int ends[2];
    if (pipe2(ends, O_CLOEXEC)) support_fail("pipe: %s", strerror(errno));
    pid_t pid = fork();
    if (pid < 0) support_fail("fork: %s", strerror(errno));
    if (pid > 0) {
        close(ends[0]); // ends[1] stays open as long as this process lives
        return;
    }
    setsid(); // Ctrl-C isn't for it
    dup2(ends[0], 0);
    int null = open("/dev/null", O_WRONLY);
    dup2(null, 1);
    dup2(null, 2);
    close_range(3, ~0u, 0);
    execl("/bin/sh", "sh", "-c", "cat; for i in 1 2 3 4 5; do rm -rf \"$1\" && exit; sleep 1; done",
          "remover", home, (char *)NULL);
    _exit(127);
}

static void make_home(void) {
    int n =
        snprintf(home, sizeof home, "%s/kvroute-test.XXXXXX", support_setting("TMPDIR", "/tmp"));
    if (n >= (int)sizeof home) errno = ENAMETOOLONG;
    if (n >= (int)sizeof home || !mkdtemp(home)) support_fail("no folder: %s", strerror(errno));
    if (!getenv("KVROUTE_KEEP")) start_remover();
}

const char *support_home(void) {
    pthread_mutex_lock(&lock);
    if (!home[0]) make_home();
    pthread_mutex_unlock(&lock);
    return home;
}

void support_path(char *out, size_t size, const char *format, ...) {
    int n = snprintf(out, size, "%s/", support_home());
    va_list args;
    va_start(args, format);
    if (n < (int)size) n += vsnprintf(out + n, size - (size_t)n, format, args);
    va_end(args);
    if (n >= (int)size) support_fail("the path in TMPDIR is too long");
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
    (void)st, (void)type, (void)ftw;
    return remove(path);
}

void support_home_remove(void) {
    pthread_mutex_lock(&lock);
    // What a killed server had forked may still be making a file while it dies.
    for (int i = 0; i < 20 && home[0] && !getenv("KVROUTE_KEEP"); i++) {
        if (nftw(home, remove_one, 16, FTW_DEPTH | FTW_PHYS) == 0) break;
        support_sleep_ms(10);
    }
    home[0] = 0;
    pthread_mutex_unlock(&lock);
}

void support_sleep_ms(int64_t ms) {
    int64_t until = kvr_clock_ms() + ms;
    for (int64_t left = ms; left > 0; left = until - kvr_clock_ms())
        poll(NULL, 0, (int)left);
}
