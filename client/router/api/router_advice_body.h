// SPDX-License-Identifier: Apache-2.0
// The bodies of the advise calls: JSON objects, read by one table of fields. docs/openapi.json
// describes the same.
#ifndef ROUTER_ASK_H
#define ROUTER_ASK_H

#include <event2/buffer.h>
#include <jansson.h>
#include <kvroute/client.h>
#include <stdbool.h>

enum ask_kind { ASK_SELECT = 1, ASK_SCORE = 2, ASK_UPDATE = 4, ASK_RELEASE = 8, ASK_REPORT = 16 };

struct ask_names {
    struct kvr_bytes *p;
    size_t n;
};

struct ask {
    json_t *root; // texts are its own
    struct kvr_bytes model, pool, request, text, lora, space, policy, worker, session;
    struct ask_names requests, among, exclude, with, without;
    uint32_t *tokens;
    uint64_t *hashes;
    size_t n_tokens, n_hashes;
    int64_t isl, osl, output, lease;
    bool prefilled, ok, told; // told: ok was there
    unsigned weigh;           // KVR_WEIGH_… of these
    double overlap, prefill, requests_weight, temperature;
};

// False with a reason that has nothing of the body in it; *a is then empty.
bool ask_read(struct ask *a, enum ask_kind kind, struct evbuffer *body, char *why, size_t size);
void ask_free(struct ask *a);

#endif
