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
//     [discover dns://engines:8000]             --discover "dns://engines:8000 every=1000"
//     every = 1000
//
// Flags override the file. SIGHUP reads all of it again.
#ifndef ROUTER_CONFIG_H
#define ROUTER_CONFIG_H

#include <kvroute/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "client/discovery/discovery_config.h"
#include "client/engine/engine_kind.h"

enum { ROUTER_MAX_PROCESSES = 64 };

enum router_blocks_from {
    ROUTER_BLOCKS_AUTO, // token ids where the body has them, else text with PREDICT, else tokenize
    ROUTER_BLOCKS_TOKENS,   // token ids in the body, or no blocks
    ROUTER_BLOCKS_TOKENIZE, // ask an engine's /tokenize
    ROUTER_BLOCKS_TEXT,     // hashes of the text in chunks
};

// How an engine's computed prompt gets to the one that decodes (docs/disaggregation.md).
enum router_connector_kind {
    ROUTER_CONNECTOR_NONE, // prompts are computed where they are decoded
    ROUTER_CONNECTOR_NIXL,
    ROUTER_CONNECTOR_MOONCAKE,
    ROUTER_CONNECTOR_SHARED,
    ROUTER_CONNECTOR_SGLANG,
    ROUTER_CONNECTOR_TRTLLM,
};

// Which program an engine is, so what it can be asked for.
enum router_engine_kind {
    ROUTER_KIND_AUTO, // what its /v1/models says
    ROUTER_KIND_VLLM,
    ROUTER_KIND_SGLANG,
    ROUTER_KIND_TRTLLM,
    ROUTER_KIND_OTHER,
};

struct router_pool_config {
    char name[129];
    char key[513];     // ""; name
    char models[1024]; // separated by spaces; "" or *: every model that no other pool names
    char create[512];  // options of KVROUTE.CREATE for a pool that isn't there; "": never
    enum router_blocks_from blocks;
    uint32_t chunk;      // bytes of text that make a block; 0: 4 for each token of one
    char salt[129];      // cache namespace; another salt, other hashes
    char adapters[1024]; // models that are adapters, where engines don't say so; as `models`
    enum router_connector_kind connector;
    uint32_t bootstrap_port; // of prefilling engines, for mooncake and sglang; 0: 8998
    enum router_engine_kind engine;
    bool by_text; // streams of engines that tell no token ids may go on by their text
};

struct router_engine_config { // engines that the router registers itself
    char url[513];
    char name[129];        // the worker's; "": host:port of the URL
    char pool[129];        // "": the first
    uint32_t ranks;        // 0: asked of the engine
    int64_t capacity;      // blocks a rank has, of the pool's size; 0: asked of the engine
    enum engine_role role; // ASK: asked of the engine
};

struct router_config {
    char redis[1024];
    char listen[600]; // ADDRESS:PORT or unix:PATH, several separated by spaces; "": none
    char tls_listen[600], tls_cert[512], tls_key[512];
    char engine_ca[512], engine_cert[512], engine_key[512], engine_insecure[1024]; // h1_tls.h
    char admin_listen[600]; // for what operators want, which isn't elsewhere then; "": everywhere
    char token_file[512];   // a line each: classes and a bearer token; "": everybody may do all
    char hosts[1024];       // names of the router's, for browsers, separated by spaces; *: all
    char access_log[512];   // file, - for standard output, "": none
    char cors[512];         // origins whose pages may use the router, *: all; "": none
    char pass[1024];        // paths that go to an engine as they come, *: all; "": none
    // Spans of OpenTelemetry (trace/router_trace_settings.h); "": what the environment says
    char otlp[512];                       // URL of the collector, "none": there are none
    char otlp_headers[512], otlp_ca[512]; // files
    char trace_ratio[24], service_name[256], resource_attributes[1024];
    uint32_t processes; // that share the sockets; 1: the router is one
    bool reuse_port;    // several routers listen at one address, and the kernel shares it out
    bool debug;
    // Limits
    uint32_t max_connections, max_requests;
    int64_t max_header, max_body, max_queued; // bytes
    // Times, ms
    int64_t header_timeout, body_timeout, idle_timeout, stall_timeout;
    int64_t drain;           // SIGTERM: open requests have so long
    int64_t upgrade_timeout; // SIGUSR2: until the new process is ready
    int64_t deadline;        // of a command to the pool
    int64_t refresh;         // between two looks at the workers
    int64_t ttl;             // of engines registered here
    int64_t lease;           // of the proxy's bookings; 0: the pool's
    int64_t retry_after;     // s, what 503 says
    // The proxy
    uint32_t tries;          // engines that a request is tried on, at most
    uint32_t retry_percent;  // retries, in percent of the requests
    uint32_t retry_burst;    // and so many more at once
    int64_t connect_timeout; // to an engine
    int64_t answer_timeout;  // until its answer begins
    int64_t silence_timeout; // between two pieces of it
    int64_t probe;           // between two probes of an engine that couldn't be reached
    char health[256];        // the path that a probe asks for
    int64_t check;           // engines registered here are probed when silent for so long; 0: never
    uint32_t failures;       // in a row, after which an engine isn't chosen
    int64_t learn;           // between two questions to an engine, which models it serves; 0: never
    uint32_t migrate;        // times that a stream goes on at another engine
    int64_t max_kept;        // bytes that are kept for that, of all streams
    // The queue of the pool (prompt/router_service.h)
    int64_t wait;          // ms that a request may wait for room; 0: it may not
    char class_wait[1024]; // NAME:MS …, instead of that for these classes
    char priorities[1024]; // NAME:NUMBER …, the class of a body's priority from that number on
    // Headers that say which class and flow a request is of; "": none does
    char class_header[64], flow_header[64];
    bool trust_headers;   // these go before what the token says
    int64_t scale_target; // ms in which as many instances as are wanted would empty the queue
    // Where a request says which session it is of: names separated by spaces, the first that is there
    char session_headers[512], session_fields[512]; // then in the body; a.b: b of the object a

    struct router_pool_config *pools; // at least one
    size_t n_pools;
    struct router_engine_config *engines;
    size_t n_engines;
    struct discovery_configs sources; // where engines are found
};

// False with a reason: a word that isn't known, a value out of range, a file that can't be read.
// `help`: it was asked for.
bool router_config_read(struct router_config *o, int argc, char **argv, bool *help, char *error,
                        size_t error_size);
// After SIGHUP: what can't change while the router runs stays as it was. True: it would have changed, which
// router_config_fixed says.
bool router_config_fix(struct router_config *fresh, const struct router_config *old);
extern const char router_config_fixed[];
// The limits that all processes of a router have together, as the part of one.
void router_config_divide(struct router_config *o);
void router_config_free(struct router_config *o);
// The next NAME:NUMBER of a list; false: there is none. *n 0: what stands there isn't one.
bool router_config_pair(const char **at, const char **name, size_t *n, int64_t *number);
extern const char router_config_usage[];

#endif
