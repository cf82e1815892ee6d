// SPDX-License-Identifier: Apache-2.0
// Where an engine publishes its events, as it says itself: an endpoint for each rank.
//
//   vLLM     GET /kv_event_sources   {"0": {"endpoint": "tcp://*:5557", "replay_endpoint": …}, …}, or a
//                                    list of such objects that name their data_parallel_rank
//   SGLang   GET /server_info        "kv_events": {"endpoint_host": "*", "endpoint_port_base": 5557,
//                                    "dp_size": 2, "replay_endpoint_port_base": …}; rank r is at base + r
//
// An endpoint that names no host, because the engine binds all of its addresses (*, 0.0.0.0, ::), is
// taken to be at the host of the engine's URL.
#ifndef ENGINE_EVENT_SOURCES_H
#define ENGINE_EVENT_SOURCES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    ENGINE_ENDPOINT_SIZE = 256,
    ENGINE_SOURCES_MAX =
        512
        << 10, // bytes of an answer: room for 1,024 ranks. Read, it takes up to a hundred times that
};

struct engine_source {
    uint32_t rank; // the engine's number of it: over several machines it begins at another than 0
    char events[ENGINE_ENDPOINT_SIZE], replay[ENGINE_ENDPOINT_SIZE]; // replay "": none
    char topic[ENGINE_ENDPOINT_SIZE];
};

struct engine_sources { // by rank; none: it publishes nothing, or didn't say
    struct engine_source *all;
    size_t n;
};

// What an answer to either says; `host` is the engine's. What can't be read, and ranks that publish
// nothing, are left out; one of more than ENGINE_SOURCES_MAX bytes tells of none.
void engine_sources_read(struct engine_sources *s, const char *text, size_t n, const char *host);
void engine_sources_free(struct engine_sources *s);
bool engine_sources_equal(const struct engine_sources *a, const struct engine_sources *b);

// The endpoint with its host, see above. False: it is too long, names no port, or is of another kind than tcp://
// and ipc://: inproc:// would be this process.
bool engine_endpoint_at(const char *endpoint, const char *host, char out[ENGINE_ENDPOINT_SIZE]);

// The endpoint of a rank: of tcp:// the port is higher by the rank, inproc:// names get _dp<rank>.
// False: it has no rank of that number.
bool engine_endpoint_of_rank(const char *base, uint32_t rank, char *out, size_t size);

#endif
