// SPDX-License-Identifier: Apache-2.0
// Choosing without a primary: of the instances that were last known to be ready, the one with the
// fewest requests of this handle, and one whose circuit was open only if all were; of equals, the one
// that such a choice fell on longest ago.
//
// Overlap plays no part: a handle remembers only its own share of the truth, and all requests of an outage
// would go where that points.
#ifndef KVR_RECOVERY_DEGRADE_H
#define KVR_RECOVERY_DEGRADE_H

#include "recovery.h"

// A SELECT. false: there is none that it may have.
bool kvr_degrade_choose(struct kvr_recovery *r, const struct kvr_operation *o,
                        struct kvr_result *result);
// Asks for the workers, from the tick.
void kvr_degrade_refresh(struct kvr_recovery *r, int64_t now);

#endif
