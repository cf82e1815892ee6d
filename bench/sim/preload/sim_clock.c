// SPDX-License-Identifier: Apache-2.0
// The clock of a redis-server in virtual time.
//
// Preloaded into that server alone, this answers gettimeofday() and clock_gettime(CLOCK_REALTIME), which is
// where the server and its modules have the time from, with a number that the simulator writes into a file
// (pool_server.h). All other clocks go on as they are: the event loop waits by CLOCK_MONOTONIC. Without the
// file, or when it can't be read, time is the true one; the simulator sees that and stops.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const _Atomic int64_t *virtual_us; // since the epoch; NULL: the true time

__attribute__((constructor)) static void open_clock(void) {
    const char *path = getenv("KVROUTE_SIM_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *at = mmap(NULL, sizeof *virtual_us, PROT_READ, MAP_SHARED, file, 0);
    if (at != MAP_FAILED) virtual_us = at;
    close(file);
}

// The system call and not the C library's function: a sanitizer's runtime may stand between the two.
int clock_gettime(clockid_t id, struct timespec *t) {
    if (!virtual_us || id != CLOCK_REALTIME) return (int)syscall(SYS_clock_gettime, id, t);
    int64_t us = atomic_load(virtual_us);
    *t = (struct timespec){us / 1000000, us % 1000000 * 1000};
    return 0;
}

int gettimeofday(struct timeval *restrict t, void *restrict zone) {
    struct timespec now;
    (void)zone; // obsolete
    if (clock_gettime(CLOCK_REALTIME, &now)) return -1;
    *t = (struct timeval){now.tv_sec, now.tv_nsec / 1000};
    return 0;
}
