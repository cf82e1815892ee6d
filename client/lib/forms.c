// SPDX-License-Identifier: Apache-2.0
// The public forms of the calls. A blocking call is an asynchronous one and a loop until it is
// answered: there is one way through the library, and it is tested twice.
#include <string.h>

#include "client/lib/calls/encode.h"
#include "client/lib/calls/result.h"
#include "client/lib/recovery/outcome.h"
#include "handle.h"

static void keep(void *ctx, const struct kvr_result *r) {
    struct kvr_client *c = ctx;
    c->result = *r;
    c->has_result = true;
}

static struct kvr_caller blocking(struct kvr_client *c) {
    c->has_result = false;
    return (struct kvr_caller){keep, c, true};
}

static struct kvr_caller calls_back(kvr_done *done, void *ctx) {
    return (struct kvr_caller){done, ctx, false};
}

static const char *refusal(enum kvr_code code) {
    switch (code) {
    case KVR_CODE_INVALID:
        return "an argument is out of range";
    case KVR_CODE_FULL:
        return "too many calls are under way";
    case KVR_CODE_CLOSED:
        return "the handle is closed";
    default:
        return "out of memory";
    }
}

static const struct kvr_result *await(struct kvr_client *c, enum kvr_code code) {
    if (code != KVR_CODE_OK) {
        c->result = kvr_result_of(code, refusal(code));
        return &c->result;
    }
    // The handle's own results go with it when a callback closes it meanwhile.
    static const struct kvr_result closed = {
        .code = KVR_CODE_CLOSED, .message = "the handle was closed", .number = -1};
    kvr_handle_enter(c);
    kvr_calls_write(&c->calls); // poll() need not tell that there is room for it
    while (!c->has_result && !c->closing)
        kvr_poll_loop_turn(c->own, 60000);
    return kvr_handle_leave(c) ? &c->result : &closed;
}

// Blocking calls need a loop of the handle's own, and nobody else in it.
static bool can_block(struct kvr_client *c) {
    if (c->own && !c->context.callbacks && !c->closing) return true;
    c->result = kvr_result_of(KVR_CODE_INVALID, "a blocking call on another's event loop");
    return false;
}

// ---- From arguments to submission ----------------------------------------------------------------

static enum kvr_code begin(struct kvr_client *c, enum kvr_code encoded, struct kvr_operation **o) {
    return encoded == KVR_CODE_OK ? kvr_outcome_begin(&c->recovery, *o) : encoded;
}

static enum kvr_code begin_select(struct kvr_client *c, const struct kvr_select_call *call,
                                  struct kvr_caller who) {
    struct kvr_operation *o;
    return begin(c, kvr_encode_select(&c->calls, call, who, &o), &o);
}

static enum kvr_code begin_score(struct kvr_client *c, const struct kvr_select_call *call,
                                 struct kvr_caller who) {
    struct kvr_operation *o;
    return begin(c, kvr_encode_score(&c->calls, call, who, &o), &o);
}

static enum kvr_code begin_update(struct kvr_client *c, const struct kvr_update_call *call,
                                  struct kvr_caller who) {
    struct kvr_operation *o;
    return begin(c, kvr_encode_update(&c->calls, call, who, &o), &o);
}

static enum kvr_code begin_release(struct kvr_client *c, const struct kvr_bytes *ids, size_t n,
                                   struct kvr_caller who) {
    struct kvr_operation *o;
    return begin(c, kvr_encode_release(&c->calls, ids, n, who, &o), &o);
}

static enum kvr_code begin_claim(struct kvr_client *c, const struct kvr_claim_call *call,
                                 struct kvr_caller who) {
    struct kvr_operation *o;
    return begin(c, kvr_encode_claim(&c->calls, call, who, &o), &o);
}

static enum kvr_code begin_worker(struct kvr_client *c, const struct kvr_worker_call *call,
                                  bool del, struct kvr_caller who) {
    struct kvr_operation *o;
    return begin(c, kvr_encode_worker(&c->calls, call, del, who, &o), &o);
}

static enum kvr_code begin_report(struct kvr_client *c, struct kvr_bytes worker, bool ok,
                                  struct kvr_caller who) {
    struct kvr_operation *o;
    return begin(c, kvr_encode_report(&c->calls, worker, ok, who, &o), &o);
}

static enum kvr_code begin_event(struct kvr_client *c, const struct kvr_event_call *call,
                                 struct kvr_caller who) {
    struct kvr_operation *o;
    return begin(c, kvr_encode_event(&c->calls, call, who, &o), &o);
}

static enum kvr_code begin_query(struct kvr_client *c, enum kvr_operation_kind kind,
                                 struct kvr_caller who) {
    struct kvr_operation *o;
    return begin(c, kvr_encode_query(&c->calls, kind, who, &o), &o);
}

// ---- The forms -----------------------------------------------------------------------------------

const struct kvr_result *kvr_client_select(struct kvr_client *c,
                                           const struct kvr_select_call *call) {
    return can_block(c) ? await(c, begin_select(c, call, blocking(c))) : &c->result;
}

enum kvr_code kvr_client_select_async(struct kvr_client *c, const struct kvr_select_call *call,
                                      kvr_done *done, void *ctx) {
    return begin_select(c, call, calls_back(done, ctx));
}

const struct kvr_result *kvr_client_score(struct kvr_client *c,
                                          const struct kvr_select_call *call) {
    return can_block(c) ? await(c, begin_score(c, call, blocking(c))) : &c->result;
}

enum kvr_code kvr_client_score_async(struct kvr_client *c, const struct kvr_select_call *call,
                                     kvr_done *done, void *ctx) {
    return begin_score(c, call, calls_back(done, ctx));
}

const struct kvr_result *kvr_client_update(struct kvr_client *c,
                                           const struct kvr_update_call *call) {
    return can_block(c) ? await(c, begin_update(c, call, blocking(c))) : &c->result;
}

enum kvr_code kvr_client_update_async(struct kvr_client *c, const struct kvr_update_call *call,
                                      kvr_done *done, void *ctx) {
    return begin_update(c, call, calls_back(done, ctx));
}

const struct kvr_result *kvr_client_release(struct kvr_client *c, const struct kvr_bytes *requests,
                                            size_t n) {
    return can_block(c) ? await(c, begin_release(c, requests, n, blocking(c))) : &c->result;
}

enum kvr_code kvr_client_release_async(struct kvr_client *c, const struct kvr_bytes *requests,
                                       size_t n, kvr_done *done, void *ctx) {
    return begin_release(c, requests, n, calls_back(done, ctx));
}

const struct kvr_result *kvr_client_claim(struct kvr_client *c, const struct kvr_claim_call *call) {
    return can_block(c) ? await(c, begin_claim(c, call, blocking(c))) : &c->result;
}

enum kvr_code kvr_client_claim_async(struct kvr_client *c, const struct kvr_claim_call *call,
                                     kvr_done *done, void *ctx) {
    return begin_claim(c, call, calls_back(done, ctx));
}

const struct kvr_result *kvr_client_worker_set(struct kvr_client *c,
                                               const struct kvr_worker_call *call) {
    return can_block(c) ? await(c, begin_worker(c, call, false, blocking(c))) : &c->result;
}

enum kvr_code kvr_client_worker_set_async(struct kvr_client *c, const struct kvr_worker_call *call,
                                          kvr_done *done, void *ctx) {
    return begin_worker(c, call, false, calls_back(done, ctx));
}

const struct kvr_result *kvr_client_worker_del(struct kvr_client *c, struct kvr_bytes worker) {
    struct kvr_worker_call call = {.worker = worker};
    return can_block(c) ? await(c, begin_worker(c, &call, true, blocking(c))) : &c->result;
}

enum kvr_code kvr_client_worker_del_async(struct kvr_client *c, struct kvr_bytes worker,
                                          kvr_done *done, void *ctx) {
    struct kvr_worker_call call = {.worker = worker};
    return begin_worker(c, &call, true, calls_back(done, ctx));
}

const struct kvr_result *kvr_client_report(struct kvr_client *c, struct kvr_bytes worker, bool ok) {
    return can_block(c) ? await(c, begin_report(c, worker, ok, blocking(c))) : &c->result;
}

enum kvr_code kvr_client_report_async(struct kvr_client *c, struct kvr_bytes worker, bool ok,
                                      kvr_done *done, void *ctx) {
    return begin_report(c, worker, ok, calls_back(done, ctx));
}

const struct kvr_result *kvr_client_worker_list(struct kvr_client *c) {
    return can_block(c) ? await(c, begin_query(c, KVR_CALL_WORKER_LIST, blocking(c))) : &c->result;
}

enum kvr_code kvr_client_worker_list_async(struct kvr_client *c, kvr_done *done, void *ctx) {
    return begin_query(c, KVR_CALL_WORKER_LIST, calls_back(done, ctx));
}

const struct kvr_result *kvr_client_event(struct kvr_client *c, const struct kvr_event_call *call) {
    return can_block(c) ? await(c, begin_event(c, call, blocking(c))) : &c->result;
}

enum kvr_code kvr_client_event_async(struct kvr_client *c, const struct kvr_event_call *call,
                                     kvr_done *done, void *ctx) {
    return begin_event(c, call, calls_back(done, ctx));
}

const struct kvr_result *kvr_client_info(struct kvr_client *c) {
    return can_block(c) ? await(c, begin_query(c, KVR_CALL_INFO, blocking(c))) : &c->result;
}

enum kvr_code kvr_client_info_async(struct kvr_client *c, kvr_done *done, void *ctx) {
    return begin_query(c, KVR_CALL_INFO, calls_back(done, ctx));
}

int64_t kvr_info_int(const struct kvr_result *info, const char *name, int64_t otherwise) {
    size_t n = strlen(name);
    for (size_t i = 0; info->fields && i < info->n; i++) {
        const struct kvr_field *f = &info->fields[i];
        int64_t v;
        if (f->name.n == n && !memcmp(f->name.p, name, n))
            return kvr_parse_int64(f->value.p, f->value.n, &v) ? v : otherwise;
    }
    return otherwise;
}
