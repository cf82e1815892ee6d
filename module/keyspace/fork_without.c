// SPDX-License-Identifier: Apache-2.0
#define _DEFAULT_SOURCE // madvise
#include "fork_without.h"

#include <pthread.h>
#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#include "registry.h"

// Each piece is a mapping of its own for that moment, and a process may have some 65,000.
enum { MAX_PIECES = 8192 };

struct fork_pieces {
    size_t n;
    int advice;
};

// The whole pages of it. What can't be done is copied, as ever.
static void advise(void *ctx, void *at, size_t bytes) {
    struct fork_pieces *f = ctx;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), first = (uintptr_t)at, end = first + bytes;
    size_t before = (page - first % page) % page;
    if (before + page > bytes || f->n++ >= MAX_PIECES) return;
    madvise((char *)at + before, (end - end % page) - (first + before), f->advice);
}

static void advise_all(int advice) {
    struct fork_pieces f = {0, advice};
    for (struct mod_value *v = mod_registry_first(); v; v = mod_registry_next(v))
        kvr_pool_unsaved_memory(v->pool, advise, &f);
}

// The lock is held across the fork, so that no other thread frees a pool in between; both processes have it then.
static void before_fork(void) {
    mod_registry_lock();
    advise_all(MADV_DONTFORK);
}

static void after_fork(void) {
    advise_all(MADV_DOFORK);
    mod_registry_unlock();
}

int mod_fork_without_start(void) {
    return pthread_atfork(before_fork, after_fork, mod_registry_unlock) ? -1 : 0;
}
