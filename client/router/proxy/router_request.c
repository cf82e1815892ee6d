// SPDX-License-Identifier: Apache-2.0
#include "router_request.h"

#include <stdio.h>
#include <stdlib.h>

#include "client/common/log.h"
#include "client/router/router_metrics.h"
#include "router_request_spans.h"

#define TO(state) (1u << (state))

static const unsigned may_follow[ROUTER_STATES] = {
    [ROUTER_READ] = TO(ROUTER_TOKENIZE) | TO(ROUTER_FIND) | TO(ROUTER_CHOOSE) | TO(ROUTER_DONE),
    [ROUTER_FIND] = TO(ROUTER_CHOOSE) | TO(ROUTER_ABANDONED) | TO(ROUTER_DONE),
    [ROUTER_TOKENIZE] = TO(ROUTER_CHOOSE) | TO(ROUTER_DONE),
    [ROUTER_CHOOSE] = TO(ROUTER_CHOOSE) | TO(ROUTER_PREFILL) | TO(ROUTER_SEND) |
                      TO(ROUTER_ABANDONED) | TO(ROUTER_DONE),
    [ROUTER_PREFILL] = TO(ROUTER_SEND) | TO(ROUTER_CHOOSE) | TO(ROUTER_DONE),
    [ROUTER_SEND] = TO(ROUTER_SEND) | TO(ROUTER_HEAD) | TO(ROUTER_CHOOSE) | TO(ROUTER_DONE),
    [ROUTER_HEAD] = TO(ROUTER_RELAY) | TO(ROUTER_CHOOSE) | TO(ROUTER_DONE),
    [ROUTER_RELAY] = TO(ROUTER_CHOOSE) | TO(ROUTER_DONE),
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
    router_spans_move(r, to);
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

bool router_request_was_tried(const struct router_request *r, struct kvr_bytes worker) {
    for (unsigned i = 0; i < r->n_tried; i++)
        if (router_name_is(&r->tried[i], worker)) return true;
    return false;
}

void router_request_forget_body(struct router_request *r) {
    json_decref(r->json);
    r->json = NULL;
    if (r->question) evbuffer_free(r->question);
    if (r->response) evbuffer_free(r->response);
    r->question = r->response = NULL;
}

void router_request_forget_choice(struct router_request *r) {
    router_prompt_free(&r->prompt);
    router_members_free(&r->members);
    free(r->session);
    free(r->headers);
    free(r->model);
    free(r->refers);
    r->session = r->headers = r->model = r->refers = NULL;
}

struct router_prompt_config router_request_prompt_config(const struct router_request *r) {
    struct router_prompt_config how = router_pool_prompt_config(r->pool);
    how.lora = r->lora;
    return how;
}

void router_request_blocks_known(struct router_request *r) {
    router_request_forget_body(r);
    r->x->record.input = r->prompt.isl;
    router_request_move(r, ROUTER_CHOOSE);
}

void router_request_find(struct router_request *r) {
    router_request_forget_body(r);
    r->x->record.input = r->prompt.isl;
    router_request_move(r, ROUTER_FIND);
}

// What the engine says goes before what was guessed.
static void note_usage(const struct router_request *r) {
    struct router_record *record = &r->x->record;
    record->output = router_stream_tokens(&r->stream);
    record->cached = r->stream.cached;
    if (r->stream.input >= 0) record->input = r->stream.input;
}

struct router_exchange *router_request_end(struct router_request *r) {
    struct router_exchange *x = r->x;
    if (router_request_goes_on(r)) note_usage(r);
    router_request_move(r, ROUTER_DONE);
    return x;
}

// Only what has no announced length can be added to.
static bool say_break(struct router_request *r) {
    struct evbuffer *out = r->stream.events && r->unlimited ? evbuffer_new() : NULL;
    if (!out) return false;
    router_stream_break(&r->stream, out, "ENGINE",
                        "the engine broke off in the middle of its answer");
    h1_exchange_data(&r->x->h1, out);
    evbuffer_free(out);
    return true;
}

_Static_assert((int)ROUTER_BECAUSES <= (int)ROUTER_METRICS_BECAUSES, "a count of each");

void router_request_break(struct router_request *r, enum router_because why) {
    bool said = say_break(r);
    if (r->stream.events) r->proxy->router->metrics->streams_lost[why]++;
    struct router_exchange *x = router_request_end(r);
    snprintf(x->record.code, sizeof x->record.code, "ENGINE");
    if (said)
        h1_exchange_end(&x->h1);
    else
        h1_exchange_abort(&x->h1);
}

void router_request_refuse(struct router_request *r, int status, const char *code,
                           const char *message) {
    if (router_request_goes_on(r)) {
        router_request_break(r, ROUTER_BECAUSE_REFUSED);
        return;
    }
    router_error(router_request_end(r), status, code, message);
}
