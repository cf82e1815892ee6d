// SPDX-License-Identifier: Apache-2.0
// The bodies of the advise calls: JSON objects, read by one table of fields. docs/openapi.json
// describes the same.
#ifndef ROUTER_ADVICE_BODY_H
#define ROUTER_ADVICE_BODY_H

#include <event2/buffer.h>
#include <jansson.h>
#include <kvroute/client.h>
#include <stdbool.h>

enum router_advice_kind {
    ROUTER_ADVICE_SELECT = 1,
    ROUTER_ADVICE_SCORE = 2,
    ROUTER_ADVICE_UPDATE = 4,
    ROUTER_ADVICE_RELEASE = 8,
    ROUTER_ADVICE_REPORT = 16,
    ROUTER_ADVICE_ADMIT = 32
};

struct router_advice_names {
    struct kvr_bytes *p;
    size_t n;
};

struct router_advice_body {
    json_t *root; // texts are its own
    struct kvr_bytes model, pool, request, text, lora, space, policy, worker, session, class_name,
        flow;
    struct router_advice_names requests, among, exclude, with, without;
    uint32_t *tokens;
    uint64_t *hashes;
    size_t n_tokens, n_hashes;
    int64_t isl, osl, output, lease, wait, prompt_tokens, max_tokens;
    bool prefilled, ok, has_ok; // has_ok: ok was there
    unsigned weigh;             // KVR_WEIGH_… of these
    double overlap, prefill, requests_weight, temperature;
};

// False with a reason that has nothing of the body in it but the name of a field; *a is then empty.
bool router_advice_body_read(struct router_advice_body *a, enum router_advice_kind kind,
                             struct evbuffer *body, char *why, size_t size);
void router_advice_body_free(struct router_advice_body *a);

#endif
