// SPDX-License-Identifier: Apache-2.0
// Three lists for each kind of remembered thing, by what is known of it in the present history.
//
// *confirmed*: the history of the primary that answers now has it; *waiting*: it may not, and somebody
// should look; *checking*: a look is under way. Another history moves everything from confirmed to
// waiting, which is a splice; a connection that breaks moves what was being checked back.
#ifndef KVR_RECOVERY_CERTAINTY_H
#define KVR_RECOVERY_CERTAINTY_H

#include "client/common/list.h"

struct kvr_confirmation {
    struct kvr_list_item
        confirmed; // of live requests: by when their owner last spoke, the oldest first
    struct kvr_list_item waiting, checking;
};

static inline void kvr_confirmation_init(struct kvr_confirmation *c) {
    kvr_list_init(&c->confirmed);
    kvr_list_init(&c->waiting);
    kvr_list_init(&c->checking);
}

static inline bool
kvr_confirmation_settled(const struct kvr_confirmation *c) { // nothing is left to look at
    return kvr_list_empty(&c->waiting) && kvr_list_empty(&c->checking);
}

static inline void kvr_confirmation_withdraw(struct kvr_confirmation *c) {
    kvr_list_splice(&c->waiting, &c->confirmed);
}

static inline struct kvr_list_item *kvr_confirmation_first(const struct kvr_confirmation *c) {
    struct kvr_list_item *i = kvr_list_first(&c->confirmed);
    if (!i) i = kvr_list_first(&c->waiting);
    return i ? i : kvr_list_first(&c->checking);
}

#endif
