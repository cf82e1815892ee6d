// SPDX-License-Identifier: Apache-2.0
#include "router_outgoing.h"

#include <stdio.h>

#include "client/router/prompt/router_edits.h"
#include "router_continuation.h"
#include "router_prefill_leg.h"
#include "router_request.h"

bool router_outgoing_editable(const struct router_request *r) {
    return r->members.close > 0;
}

const char *router_outgoing_target(const struct router_request *r, char *out, size_t size) {
    const struct h1_head *h = &r->x->h1.head;
    if (!h->query) return h->path;
    snprintf(out, size, "%s?%s", h->path, h->query);
    return out;
}

// What is kept of a stream has its body, from the answer's beginning on.
static struct evbuffer *body_of(const struct router_request *r) {
    return r->kept && r->kept->body ? r->kept->body : r->x->h1.body;
}

static const struct router_members *members_of(const struct router_request *r) {
    return r->kept && r->kept->body ? &r->kept->members : &r->members;
}

// What the two engines of a pair are told of each other.
static void edit_for_leg(const struct router_request *r, enum router_leg_side side,
                         struct router_edits *e) {
    const struct router_prefill *leg = r->prefill;
    const char *text = (const char *)evbuffer_pullup(body_of(r), -1);
    if (side == ROUTER_LEG_PREFILL && text)
        leg->connector->prefill(&leg->pair, text, members_of(r), e);
    if (side == ROUTER_LEG_DECODE) leg->connector->decode(&leg->pair, e);
}

struct evbuffer *router_outgoing_body(const struct router_request *r, enum router_leg_side side) {
    struct router_edits edits = {.n = 0};
    const struct router_kept *k = r->kept;
    struct evbuffer *body = body_of(r);
    if (k && k->by) router_continuation_edit(k, side, &edits);
    if (r->prefill) edit_for_leg(r, side, &edits);
    struct evbuffer *out = edits.n || edits.failed ? router_edits_apply(&edits, body, members_of(r))
                                                   : router_edits_none(body);
    router_edits_free(&edits);
    return out;
}

bool router_outgoing_make(struct router_request *r) {
    router_outgoing_drop(r);
    if (!r->prefill && !(r->kept && r->kept->by)) return true;
    r->outgoing = router_outgoing_body(r, r->prefill ? ROUTER_LEG_DECODE : ROUTER_LEG_WHOLE);
    return r->outgoing != NULL;
}

void router_outgoing_drop(struct router_request *r) {
    if (r->outgoing) evbuffer_free(r->outgoing);
    r->outgoing = NULL;
}
