// SPDX-License-Identifier: Apache-2.0
#include "router_shares.h"

#include <stdbool.h>
#include <string.h>

static const char *const outcomes[ROUTER_SHARE_OUTCOMES] = {"booked", "waited", "refused",
                                                            "limited", "left"};

static void set_name(struct router_share *s, const char *name, size_t n) {
    if (n >= sizeof s->name) n = sizeof s->name - 1;
    memcpy(s->name, name, n);
    s->name[n] = 0;
}

// Its place; that of all others when there is none left. Few have names, and the same ones come again and again.
static size_t place_of(struct router_share *all, size_t *n, size_t max, struct kvr_bytes name) {
    size_t i = 0;
    bool other = name.n == 5 && !memcmp(name.p, "other", 5); // a name can be that, too
    while (i < *n && (strlen(all[i].name) != name.n || memcmp(all[i].name, name.p, name.n) != 0))
        i++;
    if (i < *n) return i;
    if (other || i == max) {
        set_name(&all[max], "other", 5);
        return max;
    }
    set_name(&all[(*n)++], name.p, name.n);
    return i;
}

void router_shares_count(struct router_shares *s, struct kvr_bytes class_name,
                         struct kvr_bytes flow, enum router_share_outcome how, int64_t waited_ms) {
    if (!class_name.n) class_name = (struct kvr_bytes){"default", 7};
    size_t i = place_of(s->classes, &s->n_classes, ROUTER_SHARES_CLASSES, class_name);
    s->classes[i].n[how]++;
    if (how == ROUTER_SHARE_WAITED) kvr_prom_observe(&s->waited[i], waited_ms * 1000);
    if (flow.n) s->flows[place_of(s->flows, &s->n_flows, ROUTER_SHARES_FLOWS, flow)].n[how]++;
}

static void show(struct kvr_prom *p, const char *label, const struct router_share *all,
                 size_t max) {
    for (size_t i = 0; i <= max; i++)
        for (size_t k = 0; k < ROUTER_SHARE_OUTCOMES; k++)
            if (all[i].n[k])
                kvr_prom_sample(
                    p, KVR_PROM_COUNTER,
                    (struct kvr_prom_label[]){{label, all[i].name}, {"outcome", outcomes[k]}}, 2,
                    (int64_t)all[i].n[k]);
}

void router_shares_show(struct kvr_prom *p, const struct router_shares *s) {
    kvr_prom_family(p, "class_requests", KVR_PROM_COUNTER,
                    "requests by class and what became of them");
    show(p, "class", s->classes, ROUTER_SHARES_CLASSES);
    kvr_prom_family(p, "flow_requests", KVR_PROM_COUNTER,
                    "requests by flow and what became of them");
    show(p, "flow", s->flows, ROUTER_SHARES_FLOWS);
    kvr_prom_family(p, "waited_seconds", KVR_PROM_HISTOGRAM,
                    "that requests waited for room which were booked then");
    for (size_t i = 0; i <= ROUTER_SHARES_CLASSES; i++)
        if (s->waited[i].n)
            kvr_prom_sample_histogram(p, (struct kvr_prom_label[]){{"class", s->classes[i].name}},
                                      1, &s->waited[i]);
}
