// SPDX-License-Identifier: Apache-2.0
// DUMP payloads of pools, to be damaged and made to look whole again.
//
//   type 1 │ module id 9 │ ( 5 string )… │ 5 0 │ 0 │ RDB version 2 │ CRC-64 8
//
// Each string is a chunk of the saved pool and ends in a check of its own over what precedes it.
// Resealing one level or both decides how far a damage gets before it is noticed. The server must
// run with rdbcompression off, so that a string stands there as it is.
#ifndef FLOW_PAYLOAD_H
#define FLOW_PAYLOAD_H

#include "harness.h"

enum { PAYLOAD_HEAD = 10, PAYLOAD_FOOT = 10, PAYLOAD_CHUNKS = 16 };

struct payload {
    unsigned char *bytes;
    size_t n;
};

struct payload payload_dump(struct conn *c, const char *key);
struct payload payload_copy(const struct payload *p);
void payload_free(struct payload *p);

void payload_seal(struct payload *p); // the CRC at the end
// Where the chunks lie, their checks included; returns how many.
size_t payload_chunks(const struct payload *p, struct payload chunks[PAYLOAD_CHUNKS]);
void payload_seal_chunks(struct payload *p); // the checks in the chunks, and the CRC

// RESTOREs as key, replacing; whether it was accepted. Any refusal but a polite one fails the test.
bool payload_restore(struct conn *c, const char *key, const struct payload *p);

uint64_t crc64(const void *bytes, size_t n); // as Redis computes it

#endif
