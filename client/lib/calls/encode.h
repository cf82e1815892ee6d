// SPDX-License-Identifier: Apache-2.0
// The calls: their arguments checked and put on the wire.
#ifndef KVR_CALLS_ENCODE_H
#define KVR_CALLS_ENCODE_H

#include "operation.h"

// A call that is becoming an operation: who wants its result, and what has become of it.
struct kvr_draft {
    struct kvr_calls *calls;
    kvr_done *done;
    void *ctx;
    bool blocking;
    struct kvr_operation *operation;
};

// KVR_CODE_OK: d->operation is to be submitted or discarded. INVALID, CLOSED, FULL or NOMEM else.
enum kvr_code kvr_encode_select(struct kvr_draft *d, const struct kvr_select_call *q);
enum kvr_code kvr_encode_score(struct kvr_draft *d, const struct kvr_select_call *q);
enum kvr_code kvr_encode_explain(struct kvr_draft *d, const struct kvr_select_call *q, size_t top);
enum kvr_code kvr_encode_claim(struct kvr_draft *d, const struct kvr_claim_call *q);
enum kvr_code kvr_encode_update(struct kvr_draft *d, const struct kvr_update_call *q);
enum kvr_code kvr_encode_release(struct kvr_draft *d, const struct kvr_bytes *ids, size_t n);
enum kvr_code kvr_encode_worker(struct kvr_draft *d, const struct kvr_worker_call *q, bool del);
enum kvr_code kvr_encode_report(struct kvr_draft *d, struct kvr_bytes worker, bool ok);
enum kvr_code kvr_encode_queue(struct kvr_draft *d, size_t n);
enum kvr_code kvr_encode_class(struct kvr_draft *d, const struct kvr_class_call *q, bool del);
enum kvr_code kvr_encode_flow(struct kvr_draft *d, const struct kvr_flow_call *q, bool del);
enum kvr_code kvr_encode_flow_list(struct kvr_draft *d, uint64_t cursor, size_t count);
enum kvr_code kvr_encode_pools(struct kvr_draft *d, uint64_t cursor);
enum kvr_code kvr_encode_event(struct kvr_draft *d, const struct kvr_event_call *q);
// KVR_CALL_WORKER_LIST, KVR_CALL_CLASS_LIST, KVR_CALL_INFO: a command of the pool alone. KVR_CALL_SERVER,
// KVR_CALL_CONNECTIONS: one of the server.
enum kvr_code kvr_encode_query(struct kvr_draft *d, enum kvr_operation_kind kind);

// Parts, for what is sent without a call: a command's name and the pool; the CLAIM that books again
// (false: no memory); the options of an UPDATE; WORKER SET or DEL; an op of an EVENT.
void kvr_encode_begin(struct kvr_wire *w, const struct kvr_context *c, const char *command);
bool kvr_encode_booking(struct kvr_context *c, struct kvr_bytes id, struct kvr_bytes worker,
                        uint32_t rank, const struct kvr_booked_request *b, struct kvr_command *out);
void kvr_encode_progress(struct kvr_wire *w, const struct kvr_booked_request *b);
void kvr_encode_registration(struct kvr_wire *w, const char *pool, const struct kvr_worker_call *q,
                             bool del);
void kvr_encode_op(struct kvr_wire *w, const struct kvr_op *op);

#endif
