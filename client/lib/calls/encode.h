// SPDX-License-Identifier: Apache-2.0
// The calls: their arguments checked and put on the wire.
#ifndef KVR_CALLS_ENCODE_H
#define KVR_CALLS_ENCODE_H

#include "operation.h"

// Who wants the result of a call.
struct kvr_caller {
    kvr_done *done;
    void *ctx;
    bool blocking;
};

// KVR_CODE_OK: *out is the operation, to be submitted or discarded. INVALID, CLOSED, FULL or NOMEM else.
enum kvr_code kvr_encode_select(struct kvr_calls *c, const struct kvr_select_call *q,
                                struct kvr_caller who, struct kvr_operation **out);
enum kvr_code kvr_encode_score(struct kvr_calls *c, const struct kvr_select_call *q,
                               struct kvr_caller who, struct kvr_operation **out);
enum kvr_code kvr_encode_claim(struct kvr_calls *c, const struct kvr_claim_call *q,
                               struct kvr_caller who, struct kvr_operation **out);
enum kvr_code kvr_encode_update(struct kvr_calls *c, const struct kvr_update_call *q,
                                struct kvr_caller who, struct kvr_operation **out);
enum kvr_code kvr_encode_release(struct kvr_calls *c, const struct kvr_bytes *ids, size_t n,
                                 struct kvr_caller who, struct kvr_operation **out);
enum kvr_code kvr_encode_worker(struct kvr_calls *c, const struct kvr_worker_call *q, bool del,
                                struct kvr_caller who, struct kvr_operation **out);
enum kvr_code kvr_encode_report(struct kvr_calls *c, struct kvr_bytes worker, bool ok,
                                struct kvr_caller who, struct kvr_operation **out);
enum kvr_code kvr_encode_event(struct kvr_calls *c, const struct kvr_event_call *q,
                               struct kvr_caller who, struct kvr_operation **out);
// KVR_CALL_WORKER_LIST, KVR_CALL_INFO: a command of the pool alone.
enum kvr_code kvr_encode_query(struct kvr_calls *c, enum kvr_operation_kind kind,
                               struct kvr_caller who, struct kvr_operation **out);

// Parts, for what is sent without a call: a command's words and the pool; the CLAIM that books again
// (false: no memory); the options of an UPDATE; WORKER SET or DEL.
void kvr_encode_begin(struct kvr_wire *w, const struct kvr_context *c, const char *words);
bool kvr_encode_booking(struct kvr_context *c, struct kvr_bytes id, struct kvr_bytes worker,
                        uint32_t rank, const struct kvr_booked_request *b, struct kvr_command *out);
void kvr_encode_progress(struct kvr_wire *w, const struct kvr_booked_request *b);
void kvr_encode_registration(struct kvr_wire *w, const char *pool, const struct kvr_worker_call *q,
                             bool del);

#endif
