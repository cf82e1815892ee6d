// SPDX-License-Identifier: Apache-2.0
// A policy that logged decisions are made again by: one of the module's rules, with weights of its own or those that
// were logged; or one of two that know nothing of caches.
#ifndef SIM_JUDGED_POLICY_H
#define SIM_JUDGED_POLICY_H

#include "bench/sim/loads/decision_file.h"

enum sim_judged_kind {
    SIM_JUDGED_RULE,     // kvr_policies[policy]
    SIM_JUDGED_REQUESTS, // the fewest live requests
    SIM_JUDGED_RANDOM,   // any: figures are the means over all that might be chosen
    SIM_JUDGED_LOGGED,   // what was chosen
};

struct sim_judged_policy {
    char name[80];
    enum sim_judged_kind kind;
    int policy;
    double overlap, prefill, requests; // below 0: as logged
    unsigned without;                  // enum kvr_term
    bool exact;
};

enum { SIM_MAX_JUDGED = 16 };
// A list of NAME[:overlap=X][:prefill=X][:requests=X][:without=TERM]…, parted by commas; NAME is a policy of the module,
// `requests` or `random`. False, with a message: it is wrong.
bool sim_judged_parse(const char *text, struct sim_judged_policy out[SIM_MAX_JUDGED], size_t *n);

// Room for the candidates of one decision at a time.
struct sim_judged_room {
    double *columns, *cost; // the rule's arrays, one behind the other; what it says
    size_t n;
};
void sim_judged_room_open(struct sim_judged_room *room, size_t candidates);
void sim_judged_room_close(struct sim_judged_room *room);

// What each candidate costs by a rule at the state that was logged, in room->cost; of those that may not be chosen, too.
void sim_judged_costs(const struct sim_judged_policy *p, const struct sim_decisions *d,
                      const struct sim_decision *x, struct sim_judged_room *room);
// Whom it chooses as SELECT does, without TEMPERATURE: the place among the candidates; -1: nobody may be chosen. Not of
// SIM_JUDGED_RANDOM.
long sim_judged_choice(const struct sim_judged_policy *p, const struct sim_decisions *d,
                       const struct sim_decision *x, struct sim_judged_room *room);

#endif
