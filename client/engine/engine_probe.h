// SPDX-License-Identifier: Apache-2.0
// What an engine says over HTTP: that it is there, and what it is.
//
// All paths are below the URL. GET of the health path is the heartbeat: 200 is up, anything else is not.
// Which path that is, and how long its answer may take, depends on the kind:
//
//   vllm    /health, at once. It says nothing of a pause or of sleep, in which the engine answers nobody:
//           where there are /is_paused and /is_sleeping (in development mode), they are asked, too
//   sglang  /ready, at once, 503 while paused; of older ones /health, which runs a request: a second at
//           the least, twenty at the most
//   other   as vllm
//   any     as sglang until it has said what it is. One that says that it has neither path is there
//
// What the engine is, is asked of these until nothing is left to be learned. Engines that don't have one
// of them answer 404, and then nothing is learned from it. Which of them it has tells the kind.
//
//   /kv_event_sources              vLLM ≥ 0.32: ranks, and the endpoints of their events
//   /server_info, /get_server_info SGLang: everything; vLLM in development mode: block size and ranks
//   /metrics                       vLLM: block size, ranks and the cache's size, which are labels of
//                                  vllm:cache_config_info
//
// What it computes of a request (prefill or decode) only SGLang says, in its disaggregation_mode.
//
// The answers are large and differ from version to version, so numbers are found by name wherever they
// stand: a JSON parser would know no better where to look.
#ifndef ENGINE_ENGINE_PROBE_H
#define ENGINE_ENGINE_PROBE_H

#include "client/http1/h1_client.h"
#include "engine_kind.h"
#include "event_sources.h"

struct engine_probe;

struct engine_probe_facts { // 0: not said
    uint32_t block_size, ranks;
    int64_t cache_tokens;  // that a rank's cache has room for, on the device
    enum engine_kind kind; // ANY: not said
    bool has_role;         // it said what it does of a pair
    enum kvr_role role;
    unsigned unheard; // wishes that it might have told of where it gave no answer
    struct engine_sources sources;
};

enum engine_probe_wish { // bits
    ENGINE_PROBE_SIZE = 1,
    ENGINE_PROBE_RANKS = 2,
    ENGINE_PROBE_CACHE = 4,
    ENGINE_PROBE_SOURCES = 8,
    ENGINE_PROBE_KIND = 16,
    ENGINE_PROBE_ROLE = 32,
};

struct
    engine_probe_port { // of what is never asked for, and of what needs no answer, the functions may be NULL
    void *ctx;
    // trouble: what is wrong with it, as in "it doesn't answer"; NULL: it is well. deliberate: the engine says
    // so itself, and may be asked for nothing until it says otherwise.
    void (*answer)(void *ctx, const char *trouble, bool deliberate);
    // Instead of that: it couldn't be asked, for want of descriptors, memory or a resolver here, which says nothing
    // of it.
    void (*unasked)(void *ctx);
    // Called once, when all has been asked, whatever came of it. The sources may be taken out.
    void (*learned)(void *ctx, struct engine_probe_facts *facts);
};

extern const struct h1_client_options engine_probe_client; // with which a client is made for probes

// path: of the heartbeat; "": the kind's. NULL with a reason: the URL isn't one, or no memory.
struct engine_probe *engine_probe_new(struct h1_client *client, const char *url, const char *path,
                                      enum engine_kind kind, const struct engine_probe_port *port,
                                      char *error, size_t error_size);
void engine_probe_free(struct engine_probe *p);  // nothing is called any more
bool engine_probe_check(struct engine_probe *p); // false: one is under way, and has time left
// Asks what the engine is, unless that is under way: as much of `wishes`, see engine_probe_wish, as it
// tells.
void engine_probe_learn(struct engine_probe *p, unsigned wishes);

// The capacity in blocks of a pool, of a cache; 0: not known.
static inline int64_t engine_probe_blocks(int64_t cache_tokens, uint32_t block_size) {
    return block_size ? cache_tokens / block_size : 0;
}

// The number that stands behind a name, as in "name": 16 or name=16; 0: nowhere.
uint32_t engine_probe_number(const char *text, size_t n, const char *name);
// Whether true stands behind a name, as in "name": true.
bool engine_probe_true(const char *text, size_t n, const char *name);
// The least number above 0 that the label has in lines of this metric, which engines write for each of
// their ranks: metric{label="16",…} 1.0; 0: nowhere.
uint32_t engine_probe_label(const char *text, size_t n, const char *metric, const char *label);
// Lines of this metric.
uint32_t engine_probe_lines(const char *text, size_t n, const char *metric);

#endif
