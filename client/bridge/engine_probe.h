// SPDX-License-Identifier: Apache-2.0
// What an engine says over HTTP: that it is there, and what it is.
//
// GET of the health path is the heartbeat: 200 is up, anything else is not. /server_info and
// /get_server_info (SGLang, newer vLLM in development mode) tell block size, ranks and, SGLang's, how many
// tokens the cache has room for; vLLM's /metrics tell that last in the labels of
// vllm:cache_config_info. Engines that don't have one of these answer 404, and then nothing is learned
// from it. The answers are large and differ from version to version, so numbers are found by name
// wherever they stand: a JSON parser would know no better where to look. Host names are resolved by the
// C library, which waits: give addresses.
#ifndef BRIDGE_ENGINE_PROBE_H
#define BRIDGE_ENGINE_PROBE_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bridge_probe;

struct bridge_probe_facts { // 0: not said
    uint32_t block_size, ranks;
    int64_t cache_tokens; // that a rank's cache has room for, on the device
};

struct bridge_probe_port {
    void *ctx;
    void (*answer)(void *ctx, bool up);
    // Called once, when the engine has answered, whatever it was.
    void (*learned)(void *ctx, const struct bridge_probe_facts *facts);
};

// NULL with a reason: the URL isn't one, or no memory.
struct bridge_probe *bridge_probe_new(struct event_base *base, const char *url, const char *path,
                                      const struct bridge_probe_port *port, char *error,
                                      size_t error_size);
void bridge_probe_free(struct bridge_probe *h);
void bridge_probe_check(struct bridge_probe *h); // unless one is under way
// The same. cache: also of the size of the cache; that may be one more question.
void bridge_probe_learn(struct bridge_probe *h, bool cache);

// The number that stands behind a name, as in "name": 16 or name=16; 0: nowhere.
uint32_t bridge_probe_number(const char *text, size_t n, const char *name);
// The least number above 0 that the label has in lines of this metric, which engines write for each of
// their ranks: metric{label="16",…} 1.0; 0: nowhere.
uint32_t bridge_probe_label(const char *text, size_t n, const char *metric, const char *label);

#endif
