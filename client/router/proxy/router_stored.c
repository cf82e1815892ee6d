// SPDX-License-Identifier: Apache-2.0
#include "router_stored.h"

#include <string.h>

#include "router_choice.h"
#include "router_request.h"

static const char stored_path[] = "/v1/responses/";

enum { STORED_LEASE_MS = 1000 }; // of the booking that only names a session

char *router_stored_id(enum router_prompt_kind kind, const char *path, const json_t *body) {
    const json_t *previous = json_object_get(body, "previous_response_id");
    const char *id = NULL;
    size_t n = 0;
    if (kind == ROUTER_PROMPT_STORED && !strncmp(path, stored_path, sizeof stored_path - 1)) {
        id = path + sizeof stored_path - 1;
        n = strcspn(id, "/");
    } else if (kind == ROUTER_PROMPT_RESPONSES && json_is_string(previous)) {
        id = json_string_value(previous);
        n = strlen(id);
    }
    return n && n <= KVR_MAX_ID ? strndup(id, n) : NULL;
}

// ---- FIND ----------------------------------------------------------------------------------------

static void ask_next(struct router_request *r);

static void on_told(void *ctx, const struct kvr_result *result) {
    struct router_request *r = ctx;
    const struct kvr_explanation *e = result->explanation;
    if (r->state == ROUTER_ABANDONED) {
        router_request_move(r, ROUTER_DONE);
        return;
    }
    if (result->code != KVR_CODE_OK || !e || !e->session_worker.n) {
        ask_next(r);
        return;
    }
    router_name_set(&r->pinned, e->session_worker);
    r->pinned_rank = e->session_rank;
    router_request_move(r, ROUTER_CHOOSE);
}

// A request that names no model may be about any pool's.
static void enter_pool(struct router_request *r, struct router_pool *p) {
    if (p == r->pool) return;
    router_pools_give_back(r->x);
    router_pools_take(r->x, p);
    r->pool = p;
}

static struct router_pool *pool_at(const struct router_request *r, size_t n) {
    struct router_pool *p = router_pools_first(r->proxy->router->pools);
    while (p && n--)
        p = p->next;
    return p;
}

static bool ask(struct router_request *r) {
    struct kvr_bytes id = kvr_text(r->refers);
    struct kvr_select_call call = {.request = id, .session = id};
    return r->pool->has_sessions &&
           kvr_client_explain_async(r->pool->client, &call, 1, on_told, r) == KVR_CODE_OK;
}

static void ask_next(struct router_request *r) {
    bool any = r->kind == ROUTER_PROMPT_STORED;
    struct router_pool *p;
    while ((any || !r->n_asked_pools) && (p = any ? pool_at(r, r->n_asked_pools) : r->pool)) {
        r->n_asked_pools++;
        enter_pool(r, p);
        if (ask(r)) return;
    }
    if (any && (p = pool_at(r, 0))) enter_pool(r, p);
    router_request_move(r, ROUTER_CHOOSE);
}

void router_stored_enter(struct router_request *r) {
    ask_next(r);
}

// ---- What comes ----------------------------------------------------------------------------------

// The whole of an answer may say only at its end whether the response is kept.
static bool is_known(const struct router_request *r, bool over) {
    const struct router_stream *s = &r->stream;
    if (!*s->id || (s->says_store && !s->stores)) return false;
    return over || s->events;
}

void router_stored_note(struct router_request *r, bool over) {
    struct kvr_client *c = r->pool->client;
    if (!r->stores || !r->booked || !r->pool->has_sessions || r->status >= 300 ||
        !is_known(r, over))
        return;
    struct kvr_bytes id = kvr_text(r->stream.id);
    struct kvr_claim_call call = {.request = id,
                                  .worker = router_request_worker(r),
                                  .rank = r->rank,
                                  .prefilled = true,
                                  .lease = STORED_LEASE_MS,
                                  .session = id};
    r->stores = false; // it is told once
    if (kvr_client_claim_async(c, &call, NULL, NULL) == KVR_CODE_OK)
        router_pool_release(r->pool, id);
}

bool router_stored_elsewhere(const struct router_request *r) {
    return r->refers && !r->pinned.n && r->reply->status == 404 && !router_request_goes_on(r) &&
           r->n_tried + 1 < ROUTER_MAX_TRIES && router_choice_has_another(r);
}
