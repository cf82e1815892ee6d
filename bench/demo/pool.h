// SPDX-License-Identifier: Apache-2.0
// What the demo itself asks of the pool: to be made, and what is in it.
#ifndef DEMO_POOL_H
#define DEMO_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/common/server.h"
#include "options.h"

enum { DIGEST_TEXT = 41 };

void worker_name(unsigned worker, char out[24]);
long worker_number(const char *name, size_t n); // -1: not a worker's name

bool pool_make(struct server *s, const struct options *o, uint64_t capacity);
bool pool_digest(struct server *s, char out[DIGEST_TEXT]);
long long pool_info(struct server *s, const char *field); // -1: no such number
// How many blocks the pool believes each worker to hold.
bool pool_held(struct server *s, unsigned workers, uint64_t *blocks);

#endif
