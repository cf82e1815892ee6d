// SPDX-License-Identifier: Apache-2.0
// MessagePack, read in place: nothing is allocated, nothing is copied, nothing recurses.
//
// bridge_msgpack_skip() walks a value once and says whether it is well-formed and its lengths are covered by the
// bytes that are there. What it has stepped over may be read with bridge_msgpack_next() and
// bridge_msgpack_skip(), which then can't fail.
//
// Most of what an engine sends are token ids, in arrays of some hundred: these have short ways of their own.
//
// Why not msgpack-c, which is at hand: it builds a tree of all values before anybody has asked for one
// (24 bytes for each token id), takes memory for an announced length before it has seen the bytes, and
// so would need this same walk in front of it. The walk already is the greater part of a reader. The
// tests write with msgpack-c and with Python's encoder, so two others' ideas of the format are tried.
#ifndef BRIDGE_MSGPACK_READER_H
#define BRIDGE_MSGPACK_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { BRIDGE_MSGPACK_MAX_DEPTH = 16 }; // containers in one another

enum bridge_msgpack_kind {
    BRIDGE_MSGPACK_NIL,
    BRIDGE_MSGPACK_BOOL,
    BRIDGE_MSGPACK_INT, // see negative
    BRIDGE_MSGPACK_FLOAT,
    BRIDGE_MSGPACK_STR,
    BRIDGE_MSGPACK_BIN,
    BRIDGE_MSGPACK_EXT,
    BRIDGE_MSGPACK_ARRAY,
    BRIDGE_MSGPACK_MAP,
};

struct bridge_msgpack_value {
    enum bridge_msgpack_kind kind;
    bool negative;        // INT: `number` is an int64_t
    uint64_t number;      // INT, BOOL
    double real;          // FLOAT
    const uint8_t *bytes; // STR, BIN, EXT
    uint32_t n;           // of these bytes; ARRAY: of the elements that follow, MAP: of the pairs
};

struct bridge_msgpack {
    const uint8_t *at, *end;
};

// Reads one value; of a container only its head. False: the bytes end within it, or 0xc1.
bool bridge_msgpack_next(struct bridge_msgpack *s, struct bridge_msgpack_value *v);

// Steps over one value, with all that is in it. False as above, or deeper than BRIDGE_MSGPACK_MAX_DEPTH.
bool bridge_msgpack_skip(struct bridge_msgpack *s);
// The same of a value that stands in `depth` containers (up to that most).
bool bridge_msgpack_skip_within(struct bridge_msgpack *s, unsigned depth);

// Reads up to n values as long as they are whole numbers from 0 to 2^32 - 1. How many these were.
uint32_t bridge_msgpack_take_u32s(struct bridge_msgpack *s, uint32_t *out, uint32_t n);

#endif
