// SPDX-License-Identifier: Apache-2.0
#include "router_workers.h"

#include "client/common/clock.h"
#include "client/router/pools/router_pools.h"
#include "client/router/prompt/router_json.h"
#include "client/router/router.h"
#include "client/router/router_exchange.h"

const char *router_workers_circuit(enum kvr_circuit c) {
    static const char *const names[] = {"closed", "open", "half-open"};
    return names[c];
}

// −1: never.
static json_int_t ms_ago(int64_t us) {
    return us ? (kvr_clock_us() - us) / 1000 : -1;
}

json_t *router_workers_one(const struct router_worker *w) {
    static const char *const states[] = {"ready", "draining", "expired"};
    static const char *const roles[] = {
        [KVR_ROLE_BOTH] = "both", [KVR_ROLE_PREFILL] = "prefill", [KVR_ROLE_DECODE] = "decode"};
    json_t *labels = w->labels ? json_incref(w->labels) : json_array();
    return json_pack(
        "{s:o,s:o,s:s,s:s,s:s,s:i,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:f,s:f,s:f,s:o,s:I,s:I,s:I}",
        "worker", router_json_text(kvr_text(w->name)), "address",
        router_json_text(kvr_text(w->addr)), "state", states[w->state], "role", roles[w->role],
        "circuit", router_workers_circuit(w->circuit), "ranks", (int)w->ranks, "capacity",
        (json_int_t)w->capacity, "ttl_left", (json_int_t)w->ttl_left, "device_blocks",
        (json_int_t)w->held[KVR_DEVICE], "host_blocks", (json_int_t)w->held[KVR_HOST],
        "disk_blocks", (json_int_t)w->held[KVR_DISK], "requests", (json_int_t)w->requests,
        "prefill_tokens", (json_int_t)w->prefill_tokens, "decode_blocks",
        (json_int_t)w->decode_blocks, "ttft", w->ttft, "tpot", w->tpot, "speed", w->speed, "labels",
        labels, "failures", (json_int_t)w->failures, "changed_ms", ms_ago(w->here.changed_us),
        "heard_ms", ms_ago(w->here.heard_us));
}

json_t *router_workers_pool(const struct router_pool *p) {
    json_t *workers = json_array();
    for (size_t i = 0; i < p->n_workers; i++)
        json_array_append_new(workers, router_workers_one(&p->workers[i]));
    return json_pack(
        "{s:s,s:s,s:i,s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o}", "pool", p->options.name, "models",
        p->options.models, "block_size", (int)p->block_size, "degraded", router_pool_degraded(p),
        "age_ms", (json_int_t)(p->seen_us ? (kvr_clock_us() - p->seen_us) / 1000 : -1), "requests",
        (json_int_t)p->requests, "blocks", (json_int_t)p->blocks, "selects", (json_int_t)p->selects,
        "select_blocks", (json_int_t)p->select_blocks, "overlap_blocks",
        (json_int_t)p->overlap_blocks, "expected_blocks", (json_int_t)p->expected_blocks, "version",
        (json_int_t)p->version, "workers", workers);
}

// Of all pools, as last seen: at most `refresh` old while Redis is there.
void router_workers_list(struct router_exchange *x) {
    json_t *pools = json_array();
    for (const struct router_pool *p = router_pools_first(x->router->pools); p; p = p->next)
        json_array_append_new(pools, router_workers_pool(p));
    router_json(x, 200, json_pack("{s:o}", "pools", pools));
}
