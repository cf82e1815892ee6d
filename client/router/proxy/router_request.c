// SPDX-License-Identifier: Apache-2.0
#include "router_request.h"

#include <stdlib.h>

#include "client/common/log.h"

#define TO(state) (1u << (state))

static const unsigned may_follow[ROUTER_STATES] = {
    [ROUTER_READ] = TO(ROUTER_TOKENIZE) | TO(ROUTER_CHOOSE) | TO(ROUTER_DONE),
    [ROUTER_TOKENIZE] = TO(ROUTER_CHOOSE) | TO(ROUTER_DONE),
    [ROUTER_CHOOSE] = TO(ROUTER_CHOOSE) | TO(ROUTER_SEND) | TO(ROUTER_ABANDONED) | TO(ROUTER_DONE),
    [ROUTER_SEND] = TO(ROUTER_SEND) | TO(ROUTER_HEAD) | TO(ROUTER_CHOOSE) | TO(ROUTER_DONE),
    [ROUTER_HEAD] = TO(ROUTER_RELAY) | TO(ROUTER_CHOOSE) | TO(ROUTER_DONE),
    [ROUTER_RELAY] = TO(ROUTER_DONE),
    [ROUTER_ABANDONED] = TO(ROUTER_DONE),
    [ROUTER_DONE] = 0,
};

// Also in release builds: what follows a wrong move is a use after free.
static void check_move(enum router_state from, enum router_state to) {
    if (may_follow[from] & TO(to)) return;
    kvr_log_line(KVR_LOG_ERROR, "a request in state %d mustn't go to %d", from, to);
    abort();
}

void router_request_move(struct router_request *r, enum router_state to) {
    check_move(r->state, to);
    r->state = to;
    if (r->proxy->enter[to]) r->proxy->enter[to](r);
}

struct router_request *router_request_new(struct router_proxy *p, struct router_exchange *x,
                                          struct router_pool *pool, enum router_prompt_kind kind) {
    struct router_request *r = calloc(1, sizeof *r);
    if (!r) return NULL;
    r->proxy = p;
    r->x = x;
    r->pool = pool;
    r->kind = kind;
    r->state = ROUTER_READ;
    kvr_list_unshift(&p->requests, &r->link);
    return r;
}

void router_request_forget_body(struct router_request *r) {
    json_decref(r->json);
    r->json = NULL;
    if (r->question) evbuffer_free(r->question);
    if (r->response) evbuffer_free(r->response);
    r->question = r->response = NULL;
}

void router_request_blocks_known(struct router_request *r) {
    router_request_forget_body(r);
    r->x->record.input = r->prompt.isl;
    router_request_move(r, ROUTER_CHOOSE);
}

struct router_exchange *router_request_end(struct router_request *r) {
    struct router_exchange *x = r->x;
    if (r->state == ROUTER_RELAY) x->record.output = router_stream_tokens(&r->stream);
    router_request_move(r, ROUTER_DONE);
    return x;
}

void router_request_refuse(struct router_request *r, int status, const char *code,
                           const char *message) {
    router_error(router_request_end(r), status, code, message);
}
