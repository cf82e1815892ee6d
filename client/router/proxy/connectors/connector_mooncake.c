// SPDX-License-Identifier: Apache-2.0
// vLLM's MooncakeConnector. Both engines get the request at once and meet by a transfer_id; the decoding one has to
// know the prefilling rank's engine_id, which is another one in every life of it and is told at its bootstrap port.
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "client/common/random.h"
#include "router_prefill_body.h"

static bool take_engine_id(struct router_pair *p, const json_t *answer) {
    char rank[12];
    snprintf(rank, sizeof rank, "%" PRIu32, p->prefill_rank);
    const json_t *row = json_object_get(answer, rank);
    const char *id = json_string_value(json_object_get(row, "engine_id"));
    if (!id || !*id || strlen(id) >= sizeof p->engine_id || strpbrk(id, "\"\\")) return false;
    snprintf(p->engine_id, sizeof p->engine_id, "%s", id);
    return true;
}

static int put_transfer_id(const struct router_pair *p, char *out, size_t size) {
    uint64_t more = p->draw;
    return snprintf(out, size, "\"transfer_id\":\"xfer-%016" PRIx64 "%016" PRIx64 "\"", p->draw,
                    kvr_random(&more));
}

static void edit_prefill(const struct router_pair *p, const char *body,
                         const struct router_members *m, struct router_edits *e) {
    char id[80], params[200];
    router_prefill_body_short(body, m, e);
    put_transfer_id(p, id, sizeof id);
    snprintf(params, sizeof params, "{\"do_remote_decode\":true,\"do_remote_prefill\":false,%s}",
             id);
    router_edits_set(e, "kv_transfer_params", params);
    // A prompt whose first token ends the answer would be dropped there, and the other engine wait in vain.
    router_edits_set(e, "ignore_eos", "true");
    router_edits_remove(e, "stop");
    router_edits_remove(e, "stop_token_ids");
}

static void edit_decode(const struct router_pair *p, struct router_edits *e) {
    char id[80], params[700];
    bool six = strchr(p->prefill_host, ':') != NULL;
    put_transfer_id(p, id, sizeof id);
    snprintf(params, sizeof params,
             "{\"do_remote_prefill\":true,\"do_remote_decode\":false,%s,\"remote_bootstrap_addr\":"
             "\"http://%s%.255s%s:%" PRIu32 "\",\"remote_engine_id\":\"%s\"}",
             id, six ? "[" : "", p->prefill_host, six ? "]" : "", p->bootstrap_port, p->engine_id);
    router_edits_set(e, "kv_transfer_params", params);
}

const struct router_connector router_connector_mooncake = {.name = "mooncake",
                                                           .together = true,
                                                           .asks = "/query",
                                                           .told = take_engine_id,
                                                           .prefill = edit_prefill,
                                                           .decode = edit_decode};
