// SPDX-License-Identifier: Apache-2.0
// The registration of an engine that was found, from its coming to its going. The pool is where routers that find
// the same engine meet; none knows of another.
//
//     present ──> leaving              has to end: drained at once
//        │           │
//        └────┬──────┘
//            lost ──> draining ──> gone
//
// - Who sees an engine renews its worker when nobody has for a third of its TTL. So it costs one renewal,
//   however many see it, and it stays while any of them does.
// - Who loses it is silent at first. If it is renewed by then, somebody still sees it, and it is his: then it is
//   forgotten here. If nobody renews it for a third of its TTL, nobody sees it: it is drained, and deleted when it
//   has nothing to do any more, or when its time is over. Should whoever is to drain it die, too, it expires.
// - Whom this has drained has a label `discovery=gone`; so whoever does see it makes it ready again. Those that an
//   operator has drained don't have it, and stay as they are.
// - One that is leaving, as its source says, has the label `discovery=leaving`: only its coming back takes
//   that away, not that somebody else hasn't heard of it yet.
#ifndef ROUTER_REGISTRATION_H
#define ROUTER_REGISTRATION_H

#include "client/common/list.h"
#include "client/discovery/discovery.h"
#include "router_pool.h"

enum router_registration_stage {
    ROUTER_REGISTRATION_PRESENT,
    ROUTER_REGISTRATION_LEAVING,
    ROUTER_REGISTRATION_LOST,
    ROUTER_REGISTRATION_DRAINING,
};

struct router_registration {
    struct kvr_list_item link; // of all (router_found.h)
    char name[KVR_MAX_NAME + 1], url[KVR_MAX_ADDR + 1], pool[129];
    enum kvr_role role;
    uint32_t ranks; // 0: not known yet
    int64_t capacity;
    json_t *labels; // array of texts; NULL: none
    enum router_registration_stage stage;
    bool returned;    // it is back, or new: not yet told
    bool drained;     // by this router, and it isn't ready again
    bool labels_said; // as they are
    int64_t said_us;  // when this router last renewed it; 0: never, or it has changed since
    int64_t own_us;   // when this router last said anything of it
    int64_t since_us; // of the stage
    int64_t drain;    // ms
    double share;     // of a third of the TTL after which it is renewed, so that routers take turns
};

// Of an engine that is new here. False: no memory.
bool router_registration_init(struct router_registration *g, const struct discovery_engine *e,
                              int64_t drain);
void router_registration_close(struct router_registration *g); // the pool isn't told
// Its source sees it, as it is now. False: no memory, nothing has changed.
bool router_registration_see(struct router_registration *g, const struct discovery_engine *e);
void router_registration_lose(struct router_registration *g);
// Tells the pool (NULL: there is none of that name now) what is to be told now. ttl: ms. False: it has gone, or is
// somebody else's, and is to be forgotten.
bool router_registration_tick(struct router_registration *g, struct router_pool *p, int64_t ttl);

#endif
