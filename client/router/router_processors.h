// SPDX-License-Identifier: Apache-2.0
// How many processors this process may use: as many as it may run on, or fewer where a container has a limit.
#ifndef ROUTER_PROCESSORS_H
#define ROUTER_PROCESSORS_H

#include <stddef.h>

#define ROUTER_PROCESSORS_LIMIT "/sys/fs/cgroup/cpu.max" // of this container, by cgroup version 2

// limit: a file of that form, "MICROSECONDS PERIOD" or "max PERIOD"; without it, or with another one, there is no
// limit. At least 1; a part of a processor counts as one.
size_t router_processors(const char *limit);

#endif
