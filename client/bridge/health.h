// SPDX-License-Identifier: Apache-2.0
// What an engine says over HTTP: that it is there, and what it is.
//
// GET of the health path is the heartbeat: 200 is up, anything else is not. /server_info and
// /get_server_info (SGLang, newer vLLM in development mode) tell block size and ranks; engines that
// don't have them answer 404, and then nothing is learned. Their answers are large and differ from
// version to version, so the numbers are found by name wherever they stand: a JSON parser would know no
// better where to look. Host names are resolved by the C library, which waits: give addresses.
#ifndef BRIDGE_HEALTH_H
#define BRIDGE_HEALTH_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct health;

struct health_port {
    void *ctx;
    void (*answer)(void *ctx, bool up);
    // 0: not said. Called once, when the engine has answered, whatever it was.
    void (*learned)(void *ctx, uint32_t block_size, uint32_t ranks);
};

// NULL with a reason: the URL isn't one, or no memory.
struct health *health_new(struct event_base *base, const char *url, const char *path,
                          const struct health_port *port, char *error, size_t error_size);
void health_free(struct health *h);
void health_check(struct health *h); // unless one is under way
void health_learn(struct health *h); // the same

// The number that stands behind a name, as in "name": 16 or name=16; 0: nowhere.
uint32_t health_number(const char *text, size_t n, const char *name);

#endif
