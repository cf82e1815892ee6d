// SPDX-License-Identifier: Apache-2.0
// What a process has used, as the kernel counts it. 0 of one that is gone.
#ifndef COMMON_USAGE_H
#define COMMON_USAGE_H

#include <sys/types.h>

double usage_cpu_s(pid_t pid);     // user and system time so far
double usage_rss_bytes(pid_t pid); // resident now

#endif
