// SPDX-License-Identifier: Apache-2.0
// What POST /kvroute/workers is given, and the name and the query of DELETE /kvroute/workers/NAME.
#ifndef ROUTER_REGISTER_BODY_H
#define ROUTER_REGISTER_BODY_H

#include <event2/buffer.h>
#include <jansson.h>
#include <kvroute/types.h>
#include <stdbool.h>

#include "client/engine/engine_kind.h"

struct router_register_body {
    json_t *root;           // whose texts the others are
    const char *url, *pool; // pool "": none is named
    char name[KVR_MAX_NAME + 1];
    uint32_t ranks;        // 0: asked of the engine
    int64_t capacity;      // 0: asked of the engine
    enum engine_role role; // ASK: asked of the engine
    json_t *labels;        // texts; NULL: none
};

// False with a reason; then nothing is to be freed.
bool router_register_body_read(struct router_register_body *b, struct evbuffer *body, char *why,
                               size_t size);
void router_register_body_free(struct router_register_body *b);

struct router_remove_words {
    char name[KVR_MAX_NAME + 1], pool[129]; // pool "": none is named
    int64_t drain;                          // ms; −1: not said
};

// path: behind the last slash; query may be NULL. Both with %XX. False with a reason.
bool router_remove_words_read(struct router_remove_words *w, const char *path, const char *query,
                              char *why, size_t size);

#endif
