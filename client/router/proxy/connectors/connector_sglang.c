// SPDX-License-Identifier: Apache-2.0
// SGLang. Both engines get the request at once and meet in a room, which is used once. A room is one rank's of the
// prefilling engine, room modulo ranks, and each side looks for it there unless it is told otherwise: so the room is
// drawn to fit the rank, and the rank is said as well.
#include <inttypes.h>
#include <stdio.h>

#include "router_prefill_body.h"

// Below 2^63.
static uint64_t room_of(const struct router_pair *p) {
    uint64_t ranks = p->prefill_ranks ? p->prefill_ranks : 1, room = p->draw >> 2;
    return room - room % ranks + p->prefill_rank % ranks;
}

static void enter_room(const struct router_pair *p, struct router_edits *e) {
    char host[300];
    snprintf(host, sizeof host, "\"%.255s\"", p->prefill_host);
    router_edits_set(e, "bootstrap_host", host);
    router_edits_set_number(e, "bootstrap_port", p->bootstrap_port);
    router_edits_set_number(e, "bootstrap_room", (long long)room_of(p));
}

static void edit_prefill(const struct router_pair *p, const char *body,
                         const struct router_members *m, struct router_edits *e) {
    router_prefill_body_short(body, m, e);
    enter_room(p, e);
    if (p->prefill_ranks > 1) router_edits_set_number(e, "routed_dp_rank", p->prefill_rank);
}

static void edit_decode(const struct router_pair *p, struct router_edits *e) {
    enter_room(p, e);
    if (p->prefill_ranks > 1) router_edits_set_number(e, "disagg_prefill_dp_rank", p->prefill_rank);
    if (p->decode_ranks > 1) router_edits_set_number(e, "routed_dp_rank", p->decode_rank);
}

const struct router_connector router_connector_sglang = {.name = "sglang",
                                                         .together = true,
                                                         .must_pair = true,
                                                         .prefill = edit_prefill,
                                                         .decode = edit_decode};
