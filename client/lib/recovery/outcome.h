// SPDX-License-Identifier: Apache-2.0
// What the beginning and the end of a call mean for what the handle remembers.
//
// The rule: whatever a caller has been told must be what the pool has, or what repair.c will make it
// have. So an answer of the primary confirms what is remembered, and a call without one leaves behind
// what is to be done about it: a choice that may have been booked is released, a progress or release
// that may not have arrived is said again.
#ifndef KVR_RECOVERY_OUTCOME_H
#define KVR_RECOVERY_OUTCOME_H

#include "recovery.h"

// Remembers what a call says and submits it, or discards it: KVR_CODE_NOMEM.
enum kvr_code kvr_outcome_begin(struct kvr_recovery *r, struct kvr_operation *o);

// What calls and the transport are to be opened with; ctx: the recovery.
struct kvr_calls_events kvr_outcome_calls_events(struct kvr_recovery *r);
struct kvr_transport_events kvr_outcome_transport_events(struct kvr_recovery *r);

#endif
