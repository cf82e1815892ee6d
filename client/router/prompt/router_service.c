// SPDX-License-Identifier: Apache-2.0
#include "router_service.h"

#include <stdlib.h>
#include <string.h>

static bool is_named(const char *name, size_t n, struct kvr_bytes b) {
    return n == b.n && !memcmp(name, b.p, n);
}

int64_t router_service_wait(const struct router_config *o, struct kvr_bytes class_name) {
    const char *at = o->class_wait, *name;
    size_t n;
    int64_t ms;
    if (!class_name.n) class_name = (struct kvr_bytes){"default", 7};
    while (router_config_pair(&at, &name, &n, &ms))
        if (n && is_named(name, n, class_name)) return ms;
    return o->wait;
}

bool router_service_may_wait(const struct router_config *o) {
    const char *at = o->class_wait, *name;
    size_t n;
    int64_t ms;
    while (router_config_pair(&at, &name, &n, &ms))
        if (n && ms) return true;
    return o->wait > 0;
}

// The one with the largest number that isn't above the priority; below all, the one with the smallest.
static struct kvr_bytes class_of_priority(const struct router_config *o, int64_t priority) {
    const char *at = o->priorities, *name;
    struct kvr_bytes least = {NULL, 0}, found = {NULL, 0};
    size_t n;
    int64_t number, lowest = 0, best = 0;
    while (router_config_pair(&at, &name, &n, &number)) {
        if (!n) continue;
        if (!least.n || number < lowest) {
            least = (struct kvr_bytes){name, n};
            lowest = number;
        }
        if (number <= priority && (!found.n || number > best)) {
            found = (struct kvr_bytes){name, n};
            best = number;
        }
    }
    return found.n ? found : least;
}

// What is too long can't be a name in a pool.
static struct kvr_bytes header_of(const struct h1_head *head, const char *name) {
    const char *value = *name ? h1_find_header(head, name) : NULL;
    size_t n = value ? strlen(value) : 0;
    if (n > KVR_MAX_ID) n = 0;
    return (struct kvr_bytes){value, n};
}

struct router_service_said router_service_read(const struct router_config *o,
                                               const struct h1_head *head, const json_t *body) {
    const json_t *priority = json_object_get(body, "priority");
    return (struct router_service_said){.class_name = header_of(head, o->class_header),
                                        .flow = header_of(head, o->flow_header),
                                        .has_priority = json_is_integer(priority),
                                        .priority = json_integer_value(priority),
                                        .trusted = o->trust_headers};
}

static struct kvr_bytes choose_class(const struct router_config *o, const struct router_tenant *t,
                                     const struct router_service_said *said) {
    struct kvr_bytes wanted = said->class_name;
    if (wanted.n && said->trusted) return wanted;
    if (!wanted.n && said->has_priority) wanted = class_of_priority(o, said->priority);
    struct kvr_bytes own = router_tenant_class(t, wanted);
    return own.n ? own : wanted;
}

static struct kvr_bytes choose_flow(const struct router_tenant *t,
                                    const struct router_service_said *said) {
    struct kvr_bytes own = router_tenant_flow(t);
    return said->flow.n && (said->trusted || !own.n) ? said->flow : own;
}

bool router_service_find(const struct router_config *o, const struct router_tenant *t,
                         const struct router_service_said *said, struct router_service **out) {
    struct kvr_bytes name = choose_class(o, t, said), flow = choose_flow(t, said);
    int64_t wait = router_service_wait(o, name);
    *out = NULL;
    if (!name.n && !flow.n && !wait) return true;
    struct router_service *s = malloc(sizeof *s + name.n + flow.n);
    if (!s) return false;
    *s = (struct router_service){.wait = wait, .class_size = name.n, .flow_size = flow.n};
    if (name.n) memcpy(s->names, name.p, name.n);
    if (flow.n) memcpy(s->names + name.n, flow.p, flow.n);
    *out = s;
    return true;
}

struct kvr_bytes router_service_class(const struct router_service *s) {
    return (struct kvr_bytes){s ? s->names : NULL, s ? s->class_size : 0};
}

struct kvr_bytes router_service_flow(const struct router_service *s) {
    return (struct kvr_bytes){s ? s->names + s->class_size : NULL, s ? s->flow_size : 0};
}
