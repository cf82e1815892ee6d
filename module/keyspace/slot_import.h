// SPDX-License-Identifier: Apache-2.0
// Slots that another node of the cluster is handing over (Valkey 9: CLUSTER MIGRATESLOTS).
//
// Their pools are here already, and the node that hands them over still decides: it ends what is due and
// sends that like any other effect. So nothing is ended here until the slots are this node's; from then on
// their time counts as renewed, like that of anything else that a server takes over.
#ifndef MOD_SLOT_IMPORT_H
#define MOD_SLOT_IMPORT_H

#include "registry.h"

// Follows imports if the server has them. Whether it has, and the module may say that it copes with them.
bool mod_slot_import_follow(RedisModuleCtx *ctx);
// Whether the slot of this key is just being handed over to this node.
bool mod_slot_import_has(RedisModuleString *key);

#endif
