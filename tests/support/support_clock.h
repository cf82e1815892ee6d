// SPDX-License-Identifier: Apache-2.0
// Processes whose clock can be set: their date jumps, as by hand or by NTP, and what runs steadily goes on. The
// object that does it is preloaded into them: bench/sim/preload.
#ifndef SUPPORT_CLOCK_H
#define SUPPORT_CLOCK_H

#include <stdint.h>

struct support_clock {
    char path[200];
    int64_t *file; // see sim_clock.c
};

void support_clock_open(struct support_clock *c); // the true date
// In a child, before it becomes the program: its date is by this clock, whenever that is set.
void support_clock_preload(const struct support_clock *c);
void support_clock_set(struct support_clock *c, int64_t offset_ms); // against the true date

#endif
