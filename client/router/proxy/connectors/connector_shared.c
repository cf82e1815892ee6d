// SPDX-License-Identifier: Apache-2.0
// A store that both engines have (LMCache, MooncakeStore, a file system): the prefilling one puts the prompt there,
// the decoding one finds it by itself. Nothing is said but that one token is enough.
#include "router_prefill_body.h"

static void edit_prefill(const struct router_pair *p, const char *body,
                         const struct router_members *m, struct router_edits *e) {
    (void)p;
    router_prefill_body_short(body, m, e);
}

static void edit_decode(const struct router_pair *p, struct router_edits *e) {
    (void)p;
    (void)e;
}

const struct router_connector router_connector_shared = {
    .name = "shared", .prefill = edit_prefill, .decode = edit_decode};
