// SPDX-License-Identifier: Apache-2.0
// What an engine gets other than the client said: members of the body that are set or left out. All else goes
// on byte for byte, because engines read more than JSON readers here keep: large numbers, their order, NaN.
//
//     struct router_edits e = {.n = 0};
//     router_edits_set(&e, "stream", "false");
//     router_edits_put(&e, "kv_transfer_params", "prompt_token_ids", ids);
//     router_edits_remove(&e, "stream_options");
//     struct evbuffer *body = router_edits_apply(&e, client_body, &members);
//     router_edits_free(&e);
#ifndef ROUTER_EDITS_H
#define ROUTER_EDITS_H

#include <event2/buffer.h>

#include "router_members.h"

enum { ROUTER_MAX_EDITS = 24 };

struct router_edit {
    const char *name;   // of the member
    const char *member; // of the object that the member's value is; NULL: the whole value
    char *json;         // NULL: left out
};

struct router_edits {
    struct router_edit all[ROUTER_MAX_EDITS];
    size_t n;
    bool failed; // there was no memory, or there were too many: nothing can be applied
};

// Names must outlive the edits. The later one of a member counts.
void router_edits_set(struct router_edits *e, const char *name, const char *json);
void router_edits_set_number(struct router_edits *e, const char *name, long long n);
void router_edits_remove(struct router_edits *e, const char *name);
// One member of the object that is set under this name, or else is made of all that are put there; `json` is
// taken, and freed later.
// NULL: there was no memory for it.
void router_edits_put(struct router_edits *e, const char *name, const char *member, char *json);
void router_edits_free(struct router_edits *e); // it is empty then

// The edited body; it refers to the bytes of `body`, and keeps them if that goes. NULL: no memory, or the body
// can't be edited.
struct evbuffer *router_edits_apply(const struct router_edits *e, struct evbuffer *body,
                                    const struct router_members *m);

// The same with nothing changed, of any body that isn't empty. Pieces, since libevent refers to no buffer that refers to
// another one, and a call refers to its body.
struct evbuffer *router_edits_none(struct evbuffer *body);

#endif
