// SPDX-License-Identifier: Apache-2.0
// What SELECT decides, before anything is booked: also for who only wants to know.
#ifndef CORE_SELECT_H
#define CORE_SELECT_H

#include "module/core/state/pool_state.h"

struct core_decision {
    uint32_t instance;    // CORE_NO_INSTANCE: refused
    enum kvr_err refusal; // KVR_OK, KVR_NOWORKER, KVR_NOROOM, KVR_LIMITED
    int64_t retry;        // ms, of KVR_LIMITED
    bool
        looked; // nobody has room for it, nor for those before it, and nothing is kept for one who may go behind it
};
// c: the query's class. Fills the columns, and changes nothing else. random: as for kvr_select.
struct core_decision core_select_decide(struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                                        const struct core_class *c, double random);

// Its parts. Whether room counts at all.
bool core_select_limits(const struct kvr_pool *p);
// Whether the instance is kept for one who waits, and who goes before this class: who waits for his limits keeps up
// nobody.
bool core_select_kept(const struct kvr_pool *p, int64_t now, const struct core_class *c,
                      uint32_t instance);
// After core_choose_mask: makes the cost infinite of all that are kept, or have no room for q.
void core_select_room(struct kvr_pool *p, int64_t now, const struct kvr_query *q,
                      const struct core_class *c);

#endif
