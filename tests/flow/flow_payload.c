// SPDX-License-Identifier: Apache-2.0
// Taking DUMP payloads apart and sealing them again; see payload.h.
#include "flow_payload.h"

#include <criterion/criterion.h>
#include <kvroute/hash.h>
#include <stdlib.h>
#include <string.h>

// CRC-64 "Jones": polynomial ad93d23594c935a9, reflected in and out, from 0.
uint64_t flow_crc64(const void *bytes, size_t n) {
    static uint64_t table[256];
    for (unsigned i = 1; i < 256 && !table[255]; i++) {
        uint64_t crc = i;
        for (int k = 0; k < 8; k++)
            crc = crc & 1 ? crc >> 1 ^ UINT64_C(0x95ac9329ac4bc9b5) : crc >> 1;
        table[i] = crc;
    }
    const unsigned char *p = bytes;
    uint64_t crc = 0;
    for (size_t i = 0; i < n; i++)
        crc = table[(crc ^ p[i]) & 0xff] ^ crc >> 8;
    return crc;
}

struct flow_payload flow_payload_dump(struct flow_conn *c, const char *key) {
    const struct flow_reply *r = flow_call_kind(c, FLOW_REPLY_BULK, "DUMP %s", key);
    struct flow_payload whole = {(unsigned char *)r->bytes, r->n};
    return flow_payload_copy(&whole);
}

struct flow_payload flow_payload_copy(const struct flow_payload *p) {
    struct flow_payload copy = {malloc(p->n + 1), p->n};
    cr_assert(copy.bytes);
    memcpy(copy.bytes, p->bytes, p->n);
    return copy;
}

void flow_payload_free(struct flow_payload *p) {
    free(p->bytes);
    p->bytes = NULL;
}

void flow_payload_seal(struct flow_payload *p) {
    uint64_t crc = flow_crc64(p->bytes, p->n - 8);
    memcpy(p->bytes + p->n - 8, &crc, 8);
}

// An RDB length at *at; false if it isn't one.
static bool read_length(const struct flow_payload *p, size_t *at, size_t *out) {
    if (*at >= p->n) return false;
    unsigned first = p->bytes[(*at)++];
    size_t more = first >> 6 == 1 ? 1 : first == 0x80 ? 4 : 0;
    if (first >> 6 > 1 && first != 0x80) return false;
    *out = first >> 6 == 2 ? 0 : first & 63;
    if (*at + more > p->n) return false;
    while (more--)
        *out = *out << 8 | p->bytes[(*at)++];
    return true;
}

size_t flow_payload_chunks(const struct flow_payload *p,
                           struct flow_payload chunks[FLOW_PAYLOAD_CHUNKS]) {
    size_t n = 0, at = FLOW_PAYLOAD_HEAD, len;
    while (n < FLOW_PAYLOAD_CHUNKS && at < p->n && p->bytes[at] == 5) {
        at++;
        if (!read_length(p, &at, &len) || at + len > p->n || len < 8) break;
        chunks[n++] = (struct flow_payload){p->bytes + at, len};
        at += len;
    }
    return n;
}

void flow_payload_seal_chunks(struct flow_payload *p) {
    struct flow_payload chunks[FLOW_PAYLOAD_CHUNKS];
    uint64_t check = 0;
    size_t n = flow_payload_chunks(p, chunks);
    for (size_t i = 0; i < n; i++) {
        check = XXH3_64bits_withSeed(chunks[i].bytes, chunks[i].n - 8, check);
        memcpy(chunks[i].bytes + chunks[i].n - 8, &check, 8);
    }
    flow_payload_seal(p);
}

bool flow_payload_restore(struct flow_conn *c, const char *key, const struct flow_payload *p) {
    const struct flow_reply *r = flow_call(c, "RESTORE %s 0 %b REPLACE", key, p->bytes, p->n);
    if (r->kind == FLOW_REPLY_STATUS) return true;
    cr_assert(flow_is_error(r, "ERR"), "RESTORE: %s", r->bytes ? r->bytes : "no error");
    return false;
}
