// SPDX-License-Identifier: Apache-2.0
#include "router_tenant.h"

#include <stdlib.h>
#include <string.h>

struct router_tenant *router_tenant_new(struct kvr_bytes classes, struct kvr_bytes flow) {
    struct router_tenant *t = malloc(sizeof *t + classes.n + flow.n);
    if (!t) return NULL;
    *t = (struct router_tenant){.uses = 1, .classes_size = classes.n, .flow_size = flow.n};
    if (classes.n) memcpy(t->names, classes.p, classes.n);
    if (flow.n) memcpy(t->names + classes.n, flow.p, flow.n);
    return t;
}

struct router_tenant *router_tenant_take(struct router_tenant *t) {
    if (t) t->uses++;
    return t;
}

void router_tenant_give_back(struct router_tenant *t) {
    if (t && !--t->uses) free(t);
}

struct kvr_bytes router_tenant_class(const struct router_tenant *t, struct kvr_bytes wanted) {
    struct kvr_bytes first = {NULL, 0};
    size_t size = t ? t->classes_size : 0;
    for (size_t at = 0, n; at < size; at += n + 1) {
        const char *name = t->names + at, *comma = memchr(name, ',', size - at);
        n = comma ? (size_t)(comma - name) : size - at;
        if (!first.n) first = (struct kvr_bytes){name, n};
        if (n == wanted.n && !memcmp(name, wanted.p, n)) return (struct kvr_bytes){name, n};
    }
    return first;
}

struct kvr_bytes router_tenant_flow(const struct router_tenant *t) {
    if (!t) return (struct kvr_bytes){NULL, 0};
    return (struct kvr_bytes){t->names + t->classes_size, t->flow_size};
}
