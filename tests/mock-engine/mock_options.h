// SPDX-License-Identifier: Apache-2.0
// What the mock engine is told on its command line.
#ifndef MOCK_OPTIONS_H
#define MOCK_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "mock_publish.h"
#include "mock_scheduler.h"

enum { MOCK_MAX_LORAS = 8, MOCK_MAX_RANKS = 64 };

// How a prompt's cache comes from one engine to another.
enum mock_kv_kind {
    MOCK_KV_NONE,
    MOCK_KV_NIXL,     // vLLM's NixlConnector: pulled after the prefilling request has ended
    MOCK_KV_MOONCAKE, // vLLM's MooncakeConnector: both requests at once
    MOCK_KV_SHARED,   // a store that both use
    MOCK_KV_SGLANG,   // both requests at once, with a room where they meet
    MOCK_KV_TRTLLM,
    MOCK_N_KV_KINDS
};
enum mock_role { MOCK_ROLE_BOTH, MOCK_ROLE_PREFILL, MOCK_ROLE_DECODE, MOCK_N_ROLES };
enum mock_answers { MOCK_ANSWERS_PROMPT, MOCK_ANSWERS_IDS, MOCK_N_ANSWERS };
enum mock_load_failure { MOCK_LOAD_FAIL, MOCK_LOAD_RECOMPUTE, MOCK_N_LOAD_FAILURES };

struct mock_options {
    const char *host, *model, *loras[MOCK_MAX_LORAS];
    const char *deadly; // NULL: nothing is
    size_t n_loras;
    const char *owner;       // of its models
    const char *fingerprint; // letters and digits, or NULL
    const char *connect;     // where the event sockets connect to instead of binding, or NULL
    int http_port, events_port, replay_port; // 0: chosen
    int tls_port;                            // 0: no TLS
    const char *tls_cert, *tls_key;          // or NULL
    bool no_events, no_replay, no_dev_mode;
    size_t ranks, max_model_len, publish_at_start;
    uint64_t seed;
    int kv, role, answers, load_failure; // of the enums above
    int side_port;                       // for other engines; 0: chosen
    const char *kv_host;                 // what others are told of this host, or NULL: `host`
    const char *store;                   // a file that engines share, or NULL
    int64_t kv_lease_ms, kv_timeout_ms, kv_heartbeat_ms;
    double transfer_ms_per_token;
    bool reasoning, renders, keeps_responses;
    uint64_t end_every; // one token in so many ends an answer; 0: none
    size_t stream_interval, max_queued;
    struct mock_scheduler_config engine;
    struct mock_publish_config publish;
};

const char *mock_role_name(enum mock_role role);
// How long so many tokens take from one engine to another.
double mock_transfer_seconds(const struct mock_options *o, size_t tokens);

// Returns -1 to go on, or the status to exit with.
int mock_options_read(struct mock_options *o, int argc, char **argv);

#endif
