// SPDX-License-Identifier: Apache-2.0
// What a process has used, as the kernel counts it (0 of one that is gone), and what it may.
#ifndef BENCH_USAGE_H
#define BENCH_USAGE_H

#include <stddef.h>
#include <sys/types.h>

double bench_cpu_s(pid_t pid);                            // user and system time so far
size_t bench_children(pid_t pid, pid_t *out, size_t max); // those that it has; how many
double bench_own_cpu_s(void);      // of this process, exact to the microsecond
double bench_rss_bytes(pid_t pid); // resident now

void bench_raise_files(void); // this process, and those it starts, may open as many as there can be

#endif
