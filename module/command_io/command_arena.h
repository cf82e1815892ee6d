// SPDX-License-Identifier: Apache-2.0
// Scratch memory that lives for one command.
//
// Bumps a pointer through chunks; what was handed out never moves, and all of it goes at once. The
// last chunk is kept for the next command unless it is large, so that the common command allocates
// nothing and a huge one leaves nothing behind.
#ifndef MOD_COMMAND_ARENA_H
#define MOD_COMMAND_ARENA_H

#include <stddef.h>

struct mod_arena_chunk;
struct mod_arena {
    struct mod_arena_chunk *chunks; // newest first
    char *at, *end;                 // free part of the newest
};

// Room for n elements of `width` bytes, aligned for any type; NULL: no memory, or so many can't exist.
void *mod_arena_array(struct mod_arena *a, size_t n, size_t width);
void mod_arena_reset(struct mod_arena *a);

#endif
