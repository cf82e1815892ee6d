// SPDX-License-Identifier: Apache-2.0
// An allocator that counts, remembers sizes and fails on demand.
//
// Every resize moves, so that a pointer kept across one is found by the address sanitizer, and every
// block carries its size and a mark, so that a free of something else is found without it.
#ifndef SUPPORT_ALLOC_H
#define SUPPORT_ALLOC_H

#include <stdbool.h>
#include <stdint.h>

#include <kvroute/types.h>

struct support_alloc {
    size_t bytes, blocks; // handed out and not given back
    uint64_t calls;       // allocations asked for so far; frees don't count
    uint64_t fail_at;     // the call with this number fails; 0: none
    bool fail_from;       // and so do all after it
    unsigned one_in;      // one call in so many fails at random; 0: none
    uint64_t random;      // state of the generator behind that
    uint64_t failures;
};

// What is handed to the code under test.
struct kvr_alloc support_alloc_use(struct support_alloc *t);

// Ends the program with a message unless everything has been given back.
void support_alloc_check_freed(const struct support_alloc *t, const char *where);

#endif
