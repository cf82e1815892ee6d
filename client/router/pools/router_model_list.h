// SPDX-License-Identifier: Apache-2.0
// What an engine says in its /v1/models, as an object: of each model its entry, by its id. It may be a
// megabyte, of anything: what is large is read, and what nobody wants of it freed, in the thread beside the
// loop.
#ifndef ROUTER_MODEL_LIST_H
#define ROUTER_MODEL_LIST_H

#include <event2/buffer.h>
#include <jansson.h>

enum { ROUTER_MODEL_LIST_MAX_BYTES = 1 << 20 }; // of an answer; what is larger isn't read

struct router_model_list;
struct router_offload;

// models: to be freed; NULL: it was no such list.
typedef void router_model_list_read(void *ctx, json_t *models);

// Takes the bytes out of `answer`. `done` is called later, once. NULL: no memory.
struct router_model_list *router_model_list_start(struct router_offload *o, struct evbuffer *answer,
                                                  router_model_list_read *done, void *ctx);
// Nobody wants to know any more: `done` isn't called. NULL: nothing.
void router_model_list_cancel(struct router_model_list *l);
// The list that is in such an answer, at most 4,096 models whose ids have 1 to 1,024 bytes; NULL: it is no such
// list, or no memory.
json_t *router_model_list_of(const json_t *answer);

#endif
