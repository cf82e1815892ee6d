// SPDX-License-Identifier: Apache-2.0
// One batch of cache events, in the words of a version of vLLM or SGLang.
//
// Engines have changed these more than once, and all of them are out there: which fields there are,
// whether events are arrays or maps, how a hash is written. A schema is a row of a table; an event is
// packed when it is added, and the envelope goes around them at the end.
#ifndef MOCK_EVENTS_H
#define MOCK_EVENTS_H

#include <msgpack.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct mock_schema {
    bool is_signed; // hashes are int64
    bool rank;      // the envelope has a third element
    bool map;       // events are maps with a key "type"
    bool medium;    // and all that follow in this order
    bool lora_name;
    bool extra_keys;
    bool group;
    bool kind; // kv_cache_spec_kind and kv_cache_spec_sliding_window
    bool locality;
    bool sglang;       // its own metadata: a map in lora_name's place, or keys
    bool merges;       // copies are told of as one block, as by a radix tree
    bool replay_topic; // replies to a replay have a frame for the topic
    const char *name;
};

// By name; NULL if there is none. The last name of all is the newest vLLM's.
const struct mock_schema *mock_schema_find(const char *name);
const struct mock_schema *mock_schema_at(size_t i); // NULL at the end

struct mock_events {
    const struct mock_schema *schema;
    bool binary; // hashes as 32 bytes
    msgpack_sbuffer body;
    size_t n;
};

// What requests bring along that goes into a block's name; NULL for none.
struct mock_events_names {
    const char *lora, *salt;
    int lora_id;
};

struct mock_events_stored {
    const uint64_t *hashes,
        *parent; // the engine's own names; parent NULL at the start of a sequence
    size_t n, block_size;
    const uint32_t *tokens; // n * block_size
    struct mock_events_names names;
};

void mock_events_init(struct mock_events *e, const struct mock_schema *schema, bool binary);
void mock_events_free(struct mock_events *e);
void mock_events_store(struct mock_events *e, const struct mock_events_stored *s);
void mock_events_remove(struct mock_events *e, uint64_t hash);
// A block is now in the CPU's memory as well; it is there no more. The schema must have a medium.
void mock_events_offload(struct mock_events *e, uint64_t hash);
void mock_events_unload(struct mock_events *e, uint64_t hash);
void mock_events_clear(struct mock_events *e);
void mock_events_join(struct mock_events *e,
                      struct mock_events *after); // takes over what is in the other
// What a consumer has to pass over: a type nobody knows, and blocks of a sliding window.
void mock_events_noise(struct mock_events *e);
// The envelope around the events, which are gone then. The caller destroys *out.
void mock_events_finish(struct mock_events *e, double time, uint32_t rank, msgpack_sbuffer *out);

#endif
