// SPDX-License-Identifier: Apache-2.0
// Copies a pool's log of decisions into a file.
#ifndef BENCH_COPY_DECISIONS_H
#define BENCH_COPY_DECISIONS_H

#include <hiredis/hiredis.h>
#include <stdbool.h>

// What is in the log now, of the pool of this key. False, with a message: it can't.
bool bench_copy_decisions(redisContext *c, const char *key, const char *path);

#endif
