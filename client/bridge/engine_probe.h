// SPDX-License-Identifier: Apache-2.0
// What an engine says over HTTP: that it is there, and what it is.
//
// All paths are below the URL. GET of the health path is the heartbeat: 200 is up, anything else is not.
// /server_info and /get_server_info (SGLang, newer vLLM in development mode) tell block size, ranks and,
// SGLang's, how many tokens the cache has room for; vLLM's /metrics tell that last in the labels of
// vllm:cache_config_info. Engines that don't have one of these answer 404, and then nothing is learned
// from it. The answers are large and differ from version to version, so numbers are found by name
// wherever they stand: a JSON parser would know no better where to look.
#ifndef BRIDGE_ENGINE_PROBE_H
#define BRIDGE_ENGINE_PROBE_H

#include "client/http1/h1_address.h"
#include "client/http1/h1_client.h"

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

extern const struct h1_client_options bridge_probe_client; // with which a client is made for probes

// NULL with a reason: the URL isn't one, or no memory.
struct bridge_probe *bridge_probe_new(struct h1_client *client, const char *url, const char *path,
                                      const struct bridge_probe_port *port, char *error,
                                      size_t error_size);
void bridge_probe_free(struct bridge_probe *p);  // nothing is called any more
void bridge_probe_check(struct bridge_probe *p); // unless one is under way
// Asks what the engine is, unless that is under way. cache: also for the cache's size, which may take one
// more request.
void bridge_probe_learn(struct bridge_probe *p, bool cache);

// The number that stands behind a name, as in "name": 16 or name=16; 0: nowhere.
uint32_t bridge_probe_number(const char *text, size_t n, const char *name);
// The least number above 0 that the label has in lines of this metric, which engines write for each of
// their ranks: metric{label="16",…} 1.0; 0: nowhere.
uint32_t bridge_probe_label(const char *text, size_t n, const char *metric, const char *label);

#endif
