// SPDX-License-Identifier: Apache-2.0
// Choosing without a primary: of the instances that were last known to be ready, the one with the
// fewest requests of this handle, and one whose circuit was open only if all were; of equals, the one
// that such a choice fell on longest ago.
//
// Overlap plays no part: what we remember of it is one handle's share of the truth, and an outage is
// no time for herding onto it.
#ifndef KVR_RECOVERY_DEGRADE_H
#define KVR_RECOVERY_DEGRADE_H

#include "recovery.h"

// A SELECT. false: there is none that it may have.
bool kvr_degrade_choose(struct kvr_recovery *r, const struct kvr_operation *o,
                        struct kvr_result *result);
void kvr_degrade_refresh(struct kvr_recovery *r,
                         int64_t now); // asks for the workers, from the tick

#endif
