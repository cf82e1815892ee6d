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

// Begins a blocking call, which needs a loop of the handle's own and nobody else in it.
static bool can_block(struct kvr_client *c, struct kvr_draft *d) {
    if (!c->own || c->context.callbacks || c->closing) {
        c->result = kvr_result_of(KVR_CODE_INVALID, "a blocking call on another's event loop");
        return false;
    }
    *d = (struct kvr_draft){.calls = &c->calls, .done = keep, .ctx = c, .blocking = true};
    c->has_result = false;
    return true;
}

static struct kvr_draft draft(struct kvr_client *c, kvr_done *done, void *ctx) {
    return (struct kvr_draft){.calls = &c->calls, .done = done, .ctx = ctx};
}

// code: what came of encoding the draft.
static enum kvr_code submit(struct kvr_client *c, const struct kvr_draft *d, enum kvr_code code) {
    return code == KVR_CODE_OK ? kvr_outcome_begin(&c->recovery, d->operation) : code;
}

static const struct kvr_result *await(struct kvr_client *c, const struct kvr_draft *d,
                                      enum kvr_code code) {
    code = submit(c, d, code);
    if (code != KVR_CODE_OK) {
        c->result = kvr_result_of(code, refusal(code));
        return &c->result;
    }
    // The handle's own results go with it when a callback closes it meanwhile.
    static const struct kvr_result closed = {
        .code = KVR_CODE_CLOSED, .message = "the handle was closed", .number = -1};
    c->turns++;
    kvr_calls_write(&c->calls); // poll() need not tell that there is room for it
    while (!c->has_result && !c->closing)
        kvr_poll_loop_turn(c->own, 60000);
    return kvr_handle_leave(c) ? &c->result : &closed;
}

// ---- The forms -----------------------------------------------------------------------------------

const struct kvr_result *kvr_client_select(struct kvr_client *c,
                                           const struct kvr_select_call *call) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_select(&d, call)) : &c->result;
}

enum kvr_code kvr_client_select_async(struct kvr_client *c, const struct kvr_select_call *call,
                                      kvr_done *done, void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_select(&d, call));
}

const struct kvr_result *kvr_client_score(struct kvr_client *c,
                                          const struct kvr_select_call *call) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_score(&d, call)) : &c->result;
}

enum kvr_code kvr_client_score_async(struct kvr_client *c, const struct kvr_select_call *call,
                                     kvr_done *done, void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_score(&d, call));
}

const struct kvr_result *kvr_client_explain(struct kvr_client *c,
                                            const struct kvr_select_call *call, size_t top) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_explain(&d, call, top)) : &c->result;
}

enum kvr_code kvr_client_explain_async(struct kvr_client *c, const struct kvr_select_call *call,
                                       size_t top, kvr_done *done, void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_explain(&d, call, top));
}

const struct kvr_result *kvr_client_update(struct kvr_client *c,
                                           const struct kvr_update_call *call) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_update(&d, call)) : &c->result;
}

enum kvr_code kvr_client_update_async(struct kvr_client *c, const struct kvr_update_call *call,
                                      kvr_done *done, void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_update(&d, call));
}

const struct kvr_result *kvr_client_release(struct kvr_client *c, const struct kvr_bytes *requests,
                                            size_t n) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_release(&d, requests, n)) : &c->result;
}

enum kvr_code kvr_client_release_async(struct kvr_client *c, const struct kvr_bytes *requests,
                                       size_t n, kvr_done *done, void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_release(&d, requests, n));
}

const struct kvr_result *kvr_client_claim(struct kvr_client *c, const struct kvr_claim_call *call) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_claim(&d, call)) : &c->result;
}

enum kvr_code kvr_client_claim_async(struct kvr_client *c, const struct kvr_claim_call *call,
                                     kvr_done *done, void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_claim(&d, call));
}

const struct kvr_result *kvr_client_worker_set(struct kvr_client *c,
                                               const struct kvr_worker_call *call) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_worker(&d, call, false)) : &c->result;
}

enum kvr_code kvr_client_worker_set_async(struct kvr_client *c, const struct kvr_worker_call *call,
                                          kvr_done *done, void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_worker(&d, call, false));
}

const struct kvr_result *kvr_client_worker_del(struct kvr_client *c, struct kvr_bytes worker) {
    struct kvr_worker_call call = {.worker = worker};
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_worker(&d, &call, true)) : &c->result;
}

enum kvr_code kvr_client_worker_del_async(struct kvr_client *c, struct kvr_bytes worker,
                                          kvr_done *done, void *ctx) {
    struct kvr_worker_call call = {.worker = worker};
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_worker(&d, &call, true));
}

bool kvr_client_create_with(struct kvr_client *c, const char *create) {
    return kvr_recovery_create_with(&c->recovery, create);
}

bool kvr_client_worker_forget(struct kvr_client *c, struct kvr_bytes worker) {
    return kvr_registration_forget(&c->recovery.memory.workers, worker);
}

const struct kvr_result *kvr_client_report(struct kvr_client *c, struct kvr_bytes worker, bool ok) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_report(&d, worker, ok)) : &c->result;
}

enum kvr_code kvr_client_report_async(struct kvr_client *c, struct kvr_bytes worker, bool ok,
                                      kvr_done *done, void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_report(&d, worker, ok));
}

static const struct kvr_result *query(struct kvr_client *c, enum kvr_operation_kind kind) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_query(&d, kind)) : &c->result;
}

static enum kvr_code query_async(struct kvr_client *c, enum kvr_operation_kind kind, kvr_done *done,
                                 void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_query(&d, kind));
}

const struct kvr_result *kvr_client_worker_list(struct kvr_client *c) {
    return query(c, KVR_CALL_WORKER_LIST);
}

enum kvr_code kvr_client_worker_list_async(struct kvr_client *c, kvr_done *done, void *ctx) {
    return query_async(c, KVR_CALL_WORKER_LIST, done, ctx);
}

const struct kvr_result *kvr_client_event(struct kvr_client *c, const struct kvr_event_call *call) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_event(&d, call)) : &c->result;
}

enum kvr_code kvr_client_event_async(struct kvr_client *c, const struct kvr_event_call *call,
                                     kvr_done *done, void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_event(&d, call));
}

const struct kvr_result *kvr_client_info(struct kvr_client *c) {
    return query(c, KVR_CALL_INFO);
}

enum kvr_code kvr_client_info_async(struct kvr_client *c, kvr_done *done, void *ctx) {
    return query_async(c, KVR_CALL_INFO, done, ctx);
}

const struct kvr_result *kvr_client_server(struct kvr_client *c) {
    return query(c, KVR_CALL_SERVER);
}

enum kvr_code kvr_client_server_async(struct kvr_client *c, kvr_done *done, void *ctx) {
    return query_async(c, KVR_CALL_SERVER, done, ctx);
}

const struct kvr_result *kvr_client_connections(struct kvr_client *c) {
    return query(c, KVR_CALL_CONNECTIONS);
}

enum kvr_code kvr_client_connections_async(struct kvr_client *c, kvr_done *done, void *ctx) {
    return query_async(c, KVR_CALL_CONNECTIONS, done, ctx);
}

const struct kvr_result *kvr_client_pools(struct kvr_client *c, uint64_t cursor) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_pools(&d, cursor)) : &c->result;
}

enum kvr_code kvr_client_pools_async(struct kvr_client *c, uint64_t cursor, kvr_done *done,
                                     void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_pools(&d, cursor));
}

// ---- The queue -----------------------------------------------------------------------------------

const struct kvr_result *kvr_client_queue(struct kvr_client *c, size_t n) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_queue(&d, n)) : &c->result;
}

enum kvr_code kvr_client_queue_async(struct kvr_client *c, size_t n, kvr_done *done, void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_queue(&d, n));
}

const struct kvr_result *kvr_client_class_set(struct kvr_client *c,
                                              const struct kvr_class_call *call) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_class(&d, call, false)) : &c->result;
}

enum kvr_code kvr_client_class_set_async(struct kvr_client *c, const struct kvr_class_call *call,
                                         kvr_done *done, void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_class(&d, call, false));
}

const struct kvr_result *kvr_client_class_del(struct kvr_client *c, struct kvr_bytes name) {
    struct kvr_class_call call = {.name = name};
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_class(&d, &call, true)) : &c->result;
}

enum kvr_code kvr_client_class_del_async(struct kvr_client *c, struct kvr_bytes name,
                                         kvr_done *done, void *ctx) {
    struct kvr_class_call call = {.name = name};
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_class(&d, &call, true));
}

const struct kvr_result *kvr_client_class_list(struct kvr_client *c) {
    return query(c, KVR_CALL_CLASS_LIST);
}

enum kvr_code kvr_client_class_list_async(struct kvr_client *c, kvr_done *done, void *ctx) {
    return query_async(c, KVR_CALL_CLASS_LIST, done, ctx);
}

const struct kvr_result *kvr_client_flow_set(struct kvr_client *c,
                                             const struct kvr_flow_call *call) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_flow(&d, call, false)) : &c->result;
}

enum kvr_code kvr_client_flow_set_async(struct kvr_client *c, const struct kvr_flow_call *call,
                                        kvr_done *done, void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_flow(&d, call, false));
}

const struct kvr_result *kvr_client_flow_del(struct kvr_client *c, struct kvr_bytes name) {
    struct kvr_flow_call call = {.name = name};
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_flow(&d, &call, true)) : &c->result;
}

enum kvr_code kvr_client_flow_del_async(struct kvr_client *c, struct kvr_bytes name, kvr_done *done,
                                        void *ctx) {
    struct kvr_flow_call call = {.name = name};
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_flow(&d, &call, true));
}

const struct kvr_result *kvr_client_flow_list(struct kvr_client *c, uint64_t cursor, size_t count) {
    struct kvr_draft d;
    return can_block(c, &d) ? await(c, &d, kvr_encode_flow_list(&d, cursor, count)) : &c->result;
}

enum kvr_code kvr_client_flow_list_async(struct kvr_client *c, uint64_t cursor, size_t count,
                                         kvr_done *done, void *ctx) {
    struct kvr_draft d = draft(c, done, ctx);
    return submit(c, &d, kvr_encode_flow_list(&d, cursor, count));
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
