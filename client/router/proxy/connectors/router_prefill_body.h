// SPDX-License-Identifier: Apache-2.0
// What connectors have in common: a body that only has the prompt computed, and finding something in an answer.
#ifndef ROUTER_PREFILL_BODY_H
#define ROUTER_PREFILL_BODY_H

#include "router_connector.h"

// No stream: vLLM's streams say nothing of transfers, and a failure has a status of its own.
void router_prefill_body_whole(struct router_edits *e);
// Besides, one token is enough, and the engine makes one at least.
void router_prefill_body_short(const char *body, const struct router_members *m,
                               struct router_edits *e);

// A value within JSON.
struct router_slice {
    const char *text; // NULL: it isn't there
    size_t n;
};

// The value of an object's member.
struct router_slice router_slice_member(struct router_slice object, const char *name);
// The only entry of an array; nothing, if it has none or several. Of objects.
struct router_slice router_slice_only(struct router_slice array);
bool router_slice_is(struct router_slice value, const char *json);
int64_t router_slice_number(struct router_slice value, int64_t otherwise);
// To be freed; NULL: no memory, or it isn't there.
char *router_slice_copy(struct router_slice value);
// The object with these edits; to be freed. NULL: no memory, or it is no object.
char *router_slice_edit(struct router_slice object, const struct router_edits *e);

#endif
