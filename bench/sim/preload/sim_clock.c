// SPDX-License-Identifier: Apache-2.0
// The clock of a redis-server in virtual time, or of one whose date a test sets (support_clock.h).
//
// Preloaded into that server alone, this answers gettimeofday() and clock_gettime(CLOCK_REALTIME), which is
// where the server and its modules have the time from, with a number that the simulator writes into a file
// (pool_server.h). Where a second number in the file is not 0, the first is what is added to the true time.
// In virtual time CLOCK_MONOTONIC_RAW is answered so, too: by it the module would see that time jumps. All other
// clocks go on as they are: the event loop waits by CLOCK_MONOTONIC. Without the file, or when it can't be read,
// time is the true one; the simulator sees that and stops.
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

// NULL: the true time. A file that ends behind the first number has 0 there, as the rest of its page.
static const struct virtual_time {
    _Atomic int64_t us; // since the epoch, or since the true time
    _Atomic int64_t flows;
} * virtual_time;

__attribute__((constructor)) static void open_clock(void) {
    const char *path = getenv("KVROUTE_SIM_CLOCK");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *at = mmap(NULL, sizeof *virtual_time, PROT_READ, MAP_SHARED, file, 0);
    if (at != MAP_FAILED) virtual_time = at;
    close(file);
}

// The system call and not the C library's function: a sanitizer's runtime may stand between the two.
int clock_gettime(clockid_t id, struct timespec *t) {
    bool flows = !virtual_time || virtual_time->flows;
    bool ours = virtual_time && (id == CLOCK_REALTIME || (id == CLOCK_MONOTONIC_RAW && !flows));
    if (!ours || flows) {
        int failed = (int)syscall(SYS_clock_gettime, id, t);
        if (!ours || failed) return failed;
    }
    int64_t us = atomic_load(&virtual_time->us);
    if (flows) us += (int64_t)t->tv_sec * 1000000 + t->tv_nsec / 1000;
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
