// SPDX-License-Identifier: Apache-2.0
// Pieces of a text, hashed as they come: nothing is put together in memory but the piece that is not full yet.
#ifndef ROUTER_TEXT_PIECES_H
#define ROUTER_TEXT_PIECES_H

#include <jansson.h>
#include <kvroute/hash.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct router_text_pieces {
    XXH3_state_t *state; // NULL: only counting
    uint64_t salt;
    size_t size, filled; // bytes of a piece; of the present one
    uint64_t *hashes;    // to be freed
    size_t n, room;
    int64_t bytes;
    bool failed; // no memory
};

void router_pieces_put(struct router_text_pieces *t, const char *bytes, size_t n);
// A text as such, anything else as JSON with its names in order. Every value ends with a byte that no text has, so
// that "ab" "c" isn't "a" "bc".
void router_pieces_json(struct router_text_pieces *t, const json_t *value);

#endif
