// SPDX-License-Identifier: Apache-2.0
// Classes of service: the registry. Who is served next is in fair_order.h.
#ifndef CORE_SERVICE_CLASS_H
#define CORE_SERVICE_CLASS_H

#include "pool_state.h"

// Of that name, empty: `default`; NULL: there is none, or it was deleted and only live requests still name it.
struct core_class *core_class_find(const struct kvr_pool *p, struct kvr_bytes name);
// The same, but one that was deleted too, or a new one that isn't registered. KVR_LIMIT, KVR_NOMEM.
enum kvr_err core_class_take(struct kvr_pool *p, struct kvr_bytes name, struct core_class **out);
void core_class_register(struct kvr_pool *p, struct core_class *c);
void core_class_unregister(struct kvr_pool *p,
                           struct core_class *c);               // frees it unless it is needed
void core_class_drop(struct kvr_pool *p, struct core_class *c); // likewise
struct core_level *core_class_level(struct kvr_pool *p, const struct core_class *c);
double core_class_room(const struct core_class *c); // percent of an instance's limits
struct kvr_bytes core_class_name(const struct core_class *c);
void core_classes_free(struct kvr_pool *p); // their lines have gone

#endif
