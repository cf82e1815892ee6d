// SPDX-License-Identifier: Apache-2.0
// What the router is told: flags, and a file of the same words (the forms of client/common/config.h).
//
//     [router]                                  --config FILE
//     redis = sentinel://s1,s2,s3/main          --redis URL
//     listen = 127.0.0.1:8080                   --listen ADDRESS:PORT
//
//     [pool demo]                               --pool "demo models=llama"
//     models = llama llama-chat
//
//     [engine http://10.0.0.1:8000]             --engine http://10.0.0.1:8000
//     pool = demo
//
// Flags override the file. SIGHUP reads all of it again.
#ifndef ROUTER_CONFIG_H
#define ROUTER_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum router_blocks_from {
    ROUTER_BLOCKS_AUTO, // token ids where the body has them, else text with PREDICT, else tokenize
    ROUTER_BLOCKS_TOKENS,   // token ids in the body, or no blocks
    ROUTER_BLOCKS_TOKENIZE, // ask an engine's /tokenize
    ROUTER_BLOCKS_TEXT,     // hashes of the text in chunks
};

struct router_pool_config {
    char name[129];
    char key[513];     // ""; name
    char models[1024]; // separated by spaces; "" or *: every model that no other pool names
    char create[512];  // options of KVROUTE.CREATE for a pool that isn't there; "": never
    enum router_blocks_from blocks;
    uint32_t chunk; // bytes of text that make a block; 0: 4 for each token of one
    char salt[129]; // cache namespace; another salt, other hashes
};

struct router_engine_config { // engines that the router registers itself
    char url[513];
    char name[129]; // the worker's; "": host:port of the URL
    char pool[129]; // "": the first
    uint32_t ranks;
    int64_t capacity;
};

struct router_config {
    char redis[1024];
    char listen[600]; // ADDRESS:PORT or unix:PATH, several separated by spaces; "": none
    char tls_listen[600], tls_cert[512], tls_key[512];
    char token_file[512]; // a line each: bearer tokens that may use the router; "": everybody may
    char access_log[512]; // file, - for standard output, "": none
    bool reuse_port;      // several routers listen at one address, and the kernel shares it out
    bool debug;
    // Limits
    uint32_t max_connections, max_requests;
    int64_t max_header, max_body, max_queued; // bytes
    // Times, ms
    int64_t header_timeout, body_timeout, idle_timeout, stall_timeout;
    int64_t drain;       // SIGTERM: open requests have so long
    int64_t deadline;    // of a command to the pool
    int64_t refresh;     // between two looks at the workers
    int64_t ttl;         // of engines registered here
    int64_t retry_after; // s, what 503 says
    // The proxy
    uint32_t tries;          // engines that a request is tried on, at most
    uint32_t retry_percent;  // retries, in percent of the requests
    uint32_t retry_burst;    // and so many more at once
    int64_t connect_timeout; // to an engine
    int64_t answer_timeout;  // until its answer begins
    int64_t silence_timeout; // between two pieces of it
    int64_t probe;           // between two probes of an engine that couldn't be reached
    char health[256];        // the path that a probe asks for
    // Where a request says which session it is of: names separated by spaces, the first that is there
    char session_headers[512], session_fields[512]; // then in the body; a.b: b of the object a

    struct router_pool_config *pools; // at least one
    size_t n_pools;
    struct router_engine_config *engines;
    size_t n_engines;
};

// False with a reason: a word that isn't known, a value out of range, a file that can't be read.
// `help`: it was asked for.
bool router_config_read(struct router_config *o, int argc, char **argv, bool *help, char *error,
                        size_t error_size);
void router_config_free(struct router_config *o);
extern const char router_config_usage[];

#endif
