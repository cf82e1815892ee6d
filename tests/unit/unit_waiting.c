// SPDX-License-Identifier: Apache-2.0
// See unit_waiting.h.
#include "unit_waiting.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void unit_waiting_start(struct unit_pair *p, unsigned workers, uint64_t max_requests) {
    struct kvr_options o;
    kvr_options_default(&o);
    o.max_requests = max_requests;
    unit_pair_init(p, &o, "waiting");
    for (unsigned i = 0; i < workers; i++) {
        char name[2] = {(char)('a' + i), 0};
        unit_pair_add_worker(p, name, 1);
    }
    unit_pair_follow(p);
}

void unit_waiting_alter(struct unit_pair *p, const struct kvr_options *o) {
    if (unit_pair_alter(p, o) != KVR_OK) unit_pair_differs(p, "options are refused");
}

struct kvr_query unit_waiting_query(const struct unit_pair *p, int64_t isl,
                                    const char *service_class, const char *flow) {
    struct kvr_query q = {.isl = isl, .wait = 60000};
    q.rule = kvr_pool_options(p->pool)->rule;
    if (service_class) q.service_class = text(service_class);
    if (flow) q.flow = text(flow);
    return q;
}

bool unit_waiting_ask(struct unit_pair *p, const char *id, const struct kvr_query *q) {
    unit_pair_admit_all(p); // as whoever asks a pool does
    if (unit_pair_select(p, text(id), q, -1, 0) != KVR_OK)
        unit_pair_differs(p, "%s is refused", id);
    return unit_model_find_request(&p->model, text(id)) != NULL;
}

enum kvr_err unit_waiting_refused(struct unit_pair *p, const char *id, const struct kvr_query *q,
                                  int64_t *retry) {
    struct kvr_query now = *q;
    struct kvr_pool_choice choice = {0};
    struct kvr_booking booked;
    now.wait = 0;
    unit_pair_admit_all(p);
    enum kvr_err err = unit_pair_select(p, text(id), &now, -1, 0);
    if (err == KVR_OK) unit_pair_differs(p, "%s isn't refused", id);
    // Once more for the number, which the pair doesn't give away; the model counts it, too.
    uint64_t *count = err == KVR_NOROOM    ? &p->model.stats.refused
                      : err == KVR_LIMITED ? &p->model.stats.limited
                                           : NULL;
    if (kvr_select(p->pool, p->now, text(id), &now, -1, 0, &choice, &booked) != err)
        unit_pair_differs(p, "%s is refused for another reason", id);
    if (count) ++*count;
    if (err == KVR_NOROOM) unit_model_find_class(&p->model, q->service_class)->refused++;
    if (retry) *retry = choice.retry;
    return err;
}

void unit_waiting_claim(struct unit_pair *p, const char *id, const char *worker, int64_t isl) {
    struct kvr_booking b = {.isl = isl, .lease = -1, .created = p->now, .renewed = p->now};
    if (unit_pair_claim(p, text(id), text(worker), 0, &b) != KVR_OK)
        unit_pair_differs(p, "%s can't be claimed", id);
}

const char *unit_waiting_admitted(struct unit_pair *p) {
    static char id[KVR_MAX_ID + 1];
    size_t looks = SIZE_MAX;
    id[0] = 0;
    if (unit_pair_admit(p, &looks, 0)) {
        const struct unit_model_request *r = &p->model.requests[p->model.n_requests - 1];
        snprintf(id, sizeof id, "%.*s", (int)r->id_len, r->id);
    }
    unit_pair_check(p);
    return id;
}

bool unit_waiting_is(const struct unit_pair *p, const char *id) {
    return kvr_waits(p->pool, text(id));
}

void unit_waiting_class(struct unit_pair *p, const char *name, int priority, double weight) {
    struct kvr_class_info c = {.priority = priority, .weight = weight};
    if (unit_pair_class_set(p, text(name), KVR_CLASS_PRIORITY | KVR_CLASS_WEIGHT, &c) != KVR_OK)
        unit_pair_differs(p, "class %s is refused", name);
}

void unit_waiting_flow(struct unit_pair *p, const char *name, uint64_t max_requests, int64_t rate,
                       int64_t burst) {
    struct kvr_flow_info f = {.max_requests = max_requests, .rate = rate, .burst = burst};
    unsigned set = KVR_FLOW_REQUESTS | KVR_FLOW_RATE | (burst ? KVR_FLOW_BURST : 0u);
    if (unit_pair_flow_set(p, text(name), set, &f) != KVR_OK)
        unit_pair_differs(p, "flow %s is refused", name);
}

void unit_waiting_end(struct unit_pair *p) {
    unit_pair_check_all(p);
    unit_pair_check_rebuilt(p, 5);
    unit_pair_reload(p);
    unit_pair_renew_all(p);
    unit_pair_check_all(p);
    unit_pair_free(p);
}
