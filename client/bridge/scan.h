// SPDX-License-Identifier: Apache-2.0
// MessagePack, read in place: nothing is allocated, nothing is copied, nothing recurses.
//
// scan() walks a whole payload once and says whether it is exactly one well-formed value whose lengths
// are covered by the bytes that are there. What has passed may be read with scan_next() and
// scan_skip(), which then can't fail.
//
// Why not msgpack-c, which is at hand: it builds a tree of all values before anybody has asked for one
// (24 bytes for each token id), takes memory for an announced length before it has seen the bytes, and
// so would need this same walk in front of it. The walk already is the greater part of a reader. The
// tests write with msgpack-c and with Python's encoder, so two others' ideas of the format are tried.
#ifndef BRIDGE_SCAN_H
#define BRIDGE_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { SCAN_DEPTH = 16 }; // containers in one another

enum scan_kind {
    SCAN_NIL,
    SCAN_BOOL,
    SCAN_INT, // see negative
    SCAN_FLOAT,
    SCAN_STR,
    SCAN_BIN,
    SCAN_EXT,
    SCAN_ARRAY,
    SCAN_MAP,
};

struct scan_value {
    enum scan_kind kind;
    bool negative;        // INT: `number` is an int64_t
    uint64_t number;      // INT, BOOL
    double real;          // FLOAT
    const uint8_t *bytes; // STR, BIN, EXT
    uint32_t n;           // of these bytes; ARRAY: of the elements that follow, MAP: of the pairs
};

struct scan {
    const uint8_t *at, *end;
};

bool scan(const void *payload, size_t n);

// Reads one value; of a container only its head. False: the bytes end within it, or 0xc1.
bool scan_next(struct scan *s, struct scan_value *v);

// Steps over one value, with all that is in it. False as above, or deeper than SCAN_DEPTH.
bool scan_skip(struct scan *s);

#endif
