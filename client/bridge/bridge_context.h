// SPDX-License-Identifier: Apache-2.0
// What all engines of a bridge share, and all its parts are handed.
#ifndef BRIDGE_CONTEXT_H
#define BRIDGE_CONTEXT_H

#include <event2/event.h>
#include <kvroute/client.h>

#include "bridge_config.h"
#include "event_decode.h"

struct h1_client;

struct bridge_context {
    struct event_base *base;
    void *zmq;
    struct h1_client *http; // for probes
    struct kvr_client *client;
    struct bridge_decoder *decoder;
    const struct bridge_config *config;
    uint32_t block_size; // the pool's; 0: not known yet
    uint64_t secret;     // of hash tables
};

#endif
