// SPDX-License-Identifier: Apache-2.0
// The bridge's configuration: flags, and a file of the same settings.
//
//     [bridge]                                  --config FILE
//     redis = sentinel://s1,s2,s3/main          --redis URL
//     pool = demo                               --pool NAME
//     listen = 127.0.0.1:9400                   --listen ADDRESS:PORT
//     ttl = 15000                               --ttl MS
//     exit = drain                              --exit drain|remove|leave
//
//     [engine w1]                               --engine "w1 http=… events=… replay=…"
//     http = http://10.0.0.1:8000
//     events = tcp://10.0.0.1:5557
//     replay = tcp://10.0.0.1:5657
//
// Flags come after the file and go before it. Lines that begin with # or ; are comments.
#ifndef BRIDGE_CONFIG_H
#define BRIDGE_CONFIG_H

#include <kvroute/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/discovery/discovery_config.h"
#include "client/engine/engine_kind.h"

enum bridge_on_exit { BRIDGE_EXIT_DRAIN, BRIDGE_EXIT_REMOVE, BRIDGE_EXIT_LEAVE };
enum bridge_on_down { BRIDGE_DOWN_EXPIRE, BRIDGE_DOWN_DRAIN, BRIDGE_DOWN_REMOVE };

struct bridge_engine_config {
    char name[129];    // the worker's
    char http[512];    // base URL; "": no health checks, the worker is always renewed
    char address[513]; // the worker's ADDR; "": http
    char health[128];  // path; "": the kind's
    char events[256], replay[256], topic[256]; // events "": all of them are asked of the engine
    enum engine_kind kind;                     // ANY: asked of the engine
    enum bridge_on_down down; // what becomes of the worker when the engine doesn't answer
    bool lent;                // a worker of the pool that others look after
    bool bind;                // the subscription binds and the engine connects
    bool keep;                // what is known stays when batches are lost for good
    bool set;                 // copies aren't counted; always so for SGLang
    uint32_t ranks;           // 0: asked of the engine; not given: 1, without events 0
    uint32_t block_size;      // 0: asked of the engine, or the pool's
    int64_t capacity;         // blocks a rank, of the pool's size; 0: asked of the engine
    enum engine_role role;    // ASK: asked of the engine
    int64_t audit;            // ms between two looks at the engine's last batch; 0: 10,000
};

struct bridge_config {
    char redis[1024], pool[512], listen[128];
    char engine_ca[512], engine_cert[512], engine_key[512], engine_insecure[1024]; // h1_tls.h
    char create[512]; // options of KVROUTE.CREATE for a pool that isn't there; "": never
    int64_t ttl;      // ms that the worker lives without a renewal
    enum bridge_on_exit exit;
    bool debug;
    bool from_pool;                   // all workers of the pool are asked for their events, too
    struct discovery_configs sources; // where engines are found
    struct bridge_engine_config *engines;
    size_t n_engines;
};

// False with a reason: a word that isn't known, a value out of range, a file that can't be read. `help`:
// it was asked for.
bool bridge_config_read(struct bridge_config *c, int argc, char **argv, bool *help, char *error,
                        size_t error_size);
void bridge_config_free(struct bridge_config *c);
extern const char bridge_config_usage[];

#endif
