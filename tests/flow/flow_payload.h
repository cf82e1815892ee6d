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

#include "flow_harness.h"

enum { FLOW_PAYLOAD_HEAD = 10, FLOW_PAYLOAD_FOOT = 10, FLOW_PAYLOAD_CHUNKS = 16 };

struct flow_payload {
    unsigned char *bytes;
    size_t n;
};

struct flow_payload flow_payload_dump(struct flow_conn *c, const char *key);
struct flow_payload flow_payload_copy(const struct flow_payload *p);
void flow_payload_free(struct flow_payload *p);

void flow_payload_seal(struct flow_payload *p); // the CRC at the end
// Where the chunks lie, their checks included; returns how many.
size_t flow_payload_chunks(const struct flow_payload *p,
                           struct flow_payload chunks[FLOW_PAYLOAD_CHUNKS]);
void flow_payload_seal_chunks(struct flow_payload *p); // the checks in the chunks, and the CRC

// RESTOREs as key, replacing; whether it was accepted. Any refusal but a polite one fails the test.
bool flow_payload_restore(struct flow_conn *c, const char *key, const struct flow_payload *p);

uint64_t flow_crc64(const void *bytes, size_t n); // as Redis computes it

#endif
