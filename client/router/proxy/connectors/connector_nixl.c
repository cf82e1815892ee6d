// SPDX-License-Identifier: Apache-2.0
// vLLM's NixlConnector. The prefilling engine says where its blocks are; that goes to the decoding one as it is,
// which pulls what it lacks. The blocks stay for a lease, which the decoding engine renews once it has the request.
#include <stdio.h>
#include <string.h>

#include "router_prefill_body.h"

static void edit_prefill(const struct router_pair *p, const char *body,
                         const struct router_members *m, struct router_edits *e) {
    (void)p;
    router_prefill_body_short(body, m, e);
    router_edits_set(e, "kv_transfer_params",
                     "{\"do_remote_decode\":true,\"do_remote_prefill\":false,\"remote_engine_id\":"
                     "null,\"remote_block_ids\":null,\"remote_host\":null,\"remote_port\":null}");
}

static bool is_loopback(const char *host) {
    return !strncmp(host, "127.", 4) || !strcmp(host, "localhost") || !strcmp(host, "::1");
}

// An engine that wasn't told its own address says that it is at localhost, which is another machine for others.
static bool is_elsewhere(const struct router_pair *p, struct router_slice host) {
    bool local = router_slice_is(host, "\"localhost\"") || router_slice_is(host, "\"127.0.0.1\"");
    return local && !is_loopback(p->prefill_host) && strcmp(p->prefill_host, p->decode_host) != 0;
}

static void read_answer(const struct router_pair *p, const char *answer, size_t n,
                        struct router_handover *h) {
    struct router_slice all = {answer, n}, params = router_slice_member(all, "kv_transfer_params");
    struct router_slice details =
        router_slice_member(router_slice_member(all, "usage"), "prompt_tokens_details");
    struct router_slice id = router_slice_member(params, "remote_engine_id");
    char host[300];
    if (!id.text || router_slice_is(id, "null")) return;
    struct router_edits e = {.n = 0};
    h->cached = router_slice_number(router_slice_member(details, "cached_tokens"), -1);
    if (h->cached >= 0) router_edits_set_number(&e, "remote_prefill_cached_tokens", h->cached);
    if (is_elsewhere(p, router_slice_member(params, "remote_host"))) {
        snprintf(host, sizeof host, "\"%s\"", p->prefill_host);
        router_edits_set(&e, "remote_host", host);
    }
    h->params = router_slice_edit(params, &e);
    router_edits_free(&e);
}

static void edit_decode(const struct router_pair *p, struct router_edits *e) {
    if (p->handover.params) router_edits_set(e, "kv_transfer_params", p->handover.params);
}

const struct router_connector router_connector_nixl = {
    .name = "nixl", .prefill = edit_prefill, .read = read_answer, .decode = edit_decode};
