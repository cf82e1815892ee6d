// SPDX-License-Identifier: Apache-2.0
#include "support_clock.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "support_home.h"

void support_clock_open(struct support_clock *c) {
    static const int64_t true_date[2] = {0, 1};
    static unsigned serial;
    support_path(c->path, sizeof c->path, "clock-%u", serial++);
    int fd = open(c->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, true_date, sizeof true_date) != sizeof true_date)
        support_fail("%s: can't be written", c->path);
    void *p = mmap(NULL, sizeof true_date, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (p == MAP_FAILED) support_fail("%s: can't be mapped", c->path);
    c->file = p;
}

void support_clock_preload(const struct support_clock *c) {
    const char *others = getenv("LD_PRELOAD");
    char all[1000];
    snprintf(all, sizeof all, "%s%s%s", others ? others : "", others && *others ? ":" : "",
             KVROUTE_CLOCK);
    setenv("LD_PRELOAD", all, 1);
    setenv("KVROUTE_SIM_CLOCK", c->path, 1);
}

void support_clock_set(struct support_clock *c, int64_t offset_ms) {
    __atomic_store_n(c->file, offset_ms * 1000, __ATOMIC_SEQ_CST);
}
