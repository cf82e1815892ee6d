// SPDX-License-Identifier: Apache-2.0
// Shared memory of one run; see board.h.
#include "board.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

struct board *board_new(size_t n) {
    size_t per_request = sizeof(uint64_t) + sizeof(double) + 2;
    size_t bytes = sizeof(struct board) + n * per_request;
    struct board *b = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (b == MAP_FAILED) {
        perror("kvroute-demo: shared memory");
        exit(3);
    }
    b->n = n;
    b->bytes = bytes;
    b->hold_at = SIZE_MAX;
    b->select_ns = (uint64_t *)(b + 1);
    b->first_token = (double *)(b->select_ns + n);
    b->handed = (uint8_t *)(b->first_token + n);
    b->over = b->handed + n;
    return b;
}

void board_free(struct board *b) {
    if (b) munmap(b, b->bytes);
}
