// SPDX-License-Identifier: Apache-2.0
// Bytes from an engine → events.
//
//     struct bridge_batch b;
//     if (!bridge_decode_batch(payload, n, &b)) …        a lost batch
//     while ((type = bridge_decode_event(d, &b, &e)) != BRIDGE_EVENT_END) …
//
// A batch is good or bad as a whole only for what stands outside its events: it must be well-formed to
// the last byte, with a time, a list of events, and a rank that can be one. One bad event costs itself
// and nothing else. Events come as arrays (older engines) or as maps (newer), also mixed; what isn't
// known is passed over; of a key that comes twice the last counts.
//
// Memory: two arrays that grow to what the largest event needed, 512 KiB of hashes and 4 MiB of tokens
// at the most. A length counts only as far as there are bytes for it, because the batch has been
// scanned. Everything in an event points into the payload or into these arrays, and is good until the
// next call.
#ifndef BRIDGE_EVENT_DECODE_H
#define BRIDGE_EVENT_DECODE_H

#include <kvroute/types.h>
#include <stdbool.h>

#include "msgpack_reader.h"

enum { BRIDGE_MAX_HASHES = 65536, BRIDGE_MAX_TOKENS = 1 << 20, BRIDGE_MAX_DIGEST = 64 };

enum bridge_event_type {
    BRIDGE_EVENT_END,     // no more in this batch
    BRIDGE_EVENT_STORED,  //
    BRIDGE_EVENT_REMOVED, //
    BRIDGE_EVENT_CLEARED, //
    BRIDGE_EVENT_UNKNOWN, // of a type that isn't known; not an error
    BRIDGE_EVENT_BAD,     // of a wrong shape
    BRIDGE_EVENT_NOMEM,   // no memory for its hashes or tokens
};

struct bridge_event {
    enum bridge_event_type type;
    const uint64_t *hashes; // the engine's, see below
    size_t n_hashes;
    bool has_parent;
    uint64_t parent;
    const uint32_t *tokens; // none: a placeholder
    size_t n_tokens;
    uint32_t block_size;
    bool has_lora_id;
    int64_t lora_id;
    struct kvr_bytes lora, salt; // names; p NULL: not said
    struct kvr_bytes medium, kind, locality;
    bool has_group;
    uint32_t group;
    // One value for each hash, as it stands in the payload; n_extra 0: none.
    struct bridge_msgpack extra;
    uint32_t n_extra;
};

// An engine's hash is an opaque name of 64 bits: an integer as it is (negative ones as two's
// complement), of a digest the last 8 bytes, big-endian. Both forms of one digest agree.

struct bridge_batch {
    double time;
    bool has_rank;
    uint32_t rank;
    struct bridge_msgpack events;
    uint32_t left; // of the events
};

struct bridge_decoder;

struct bridge_decoder *bridge_decoder_new(void); // NULL: no memory
void bridge_decoder_free(struct bridge_decoder *d);
size_t bridge_decoder_bytes(const struct bridge_decoder *d);

bool bridge_decode_batch(const void *payload, size_t n, struct bridge_batch *b);
enum bridge_event_type bridge_decode_event(struct bridge_decoder *d, struct bridge_batch *b,
                                           struct bridge_event *e);

// Whether the kind of attention is one whose blocks make prefixes. Not said: it isn't known here.
bool bridge_kind_indexed(struct kvr_bytes kind);
static inline bool bridge_text_is(struct kvr_bytes b, const char *word) {
    size_t n = __builtin_strlen(word);
    return b.p && b.n == n && __builtin_memcmp(b.p, word, n) == 0;
}

#endif
