// SPDX-License-Identifier: Apache-2.0
// Router 0 as several processes: which they are.
#ifndef RTEST_PROCESSES_H
#define RTEST_PROCESSES_H

#include "rtest_upgrade.h"

enum { RTEST_PROCESSES = 4 };

// Engines, and router 0 with so many processes and these flags (NULL at the end).
void rtest_processes_up(int engines, const char *engine_options, const char *processes,
                        const char *const *more);
// Those that its parent has now; how many.
size_t rtest_processes(pid_t out[RTEST_PROCESSES]);
void rtest_processes_await(size_t n); // until so many accept
// One of them is killed, or told; which.
pid_t rtest_processes_signal(int signal);
// Until a metric of the router's is so much.
void rtest_processes_await_metric(const char *name, double value);

#endif
