// SPDX-License-Identifier: Apache-2.0
// Many small cases that spend their time waiting, run by a dozen threads.
#ifndef CTEST_PARALLEL_H
#define CTEST_PARALLEL_H

#include <stddef.h>
#include <stdint.h>

#include "client/common/random.h"

enum { CTEST_TEXT = 8000 };

struct ctest_parallel {
    void *ctx;
    size_t n; // cases
    // Runs case i and writes what was wrong, or leaves it empty. Criterion's assertions must not be
    // used in it: they end the wrong thread.
    void (*run)(void *ctx, size_t i, char wrong[CTEST_TEXT]);
    void (*name)(void *ctx, size_t i, char name[CTEST_TEXT]);
};

// Returns how many cases were wrong; the first of them are told on stderr. A case that hangs ends
// the process, with its name.
size_t ctest_parallel_run(const struct ctest_parallel *c);

#endif
