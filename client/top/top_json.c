// SPDX-License-Identifier: Apache-2.0
// The view as JSON. jansson takes a NULL member for a failure, so what runs out of memory makes all of it NULL.
#include <jansson.h>
#include <string.h>

#include "top_report.h"

// Not known: null.
static json_t *integer(int64_t n) {
    return n < 0 ? json_null() : json_integer(n);
}

static json_t *real(double d) {
    return d < 0 || d != d ? json_null() : json_real(d);
}

static json_t *rank_json(const struct kvr_rank *k) {
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:o, s:o}", "rank",
                     (json_int_t)k->rank, "epoch", (json_int_t)k->epoch, "seq", (json_int_t)k->seq,
                     "device_blocks", (json_int_t)k->held[KVR_DEVICE], "host_blocks",
                     (json_int_t)k->held[KVR_HOST], "disk_blocks", (json_int_t)k->held[KVR_DISK],
                     "requests", (json_int_t)k->requests, "prefill_tokens",
                     (json_int_t)k->prefill_tokens, "decode_blocks", (json_int_t)k->decode_blocks,
                     "ttft", real(k->ttft), "tpot", real(k->tpot));
}

static json_t *ranks_json(const struct kvr_worker *w) {
    json_t *all = json_array();
    for (size_t i = 0; i < w->n_ranks; i++)
        json_array_append_new(all, rank_json(&w->ranks[i]));
    return all;
}

static json_t *worker_json(const struct top_worker *w) {
    const struct kvr_worker *k = &w->said;
    return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:I, s:I, s:o, s:I, s:I, s:I, s:I, s:o, s:o, "
                     "s:I, s:o, s:o, s:o}",
                     "worker", w->name, "addr", w->addr, "labels", w->tags, "state",
                     top_state_name(k->state), "circuit", top_circuit_name(k->circuit), "role",
                     top_role_name(k->role), "requests", (json_int_t)w->requests, "failures",
                     (json_int_t)k->failures, "limit",
                     w->limit ? json_integer(w->limit) : json_null(), "prefill_tokens",
                     (json_int_t)w->prefill_tokens, "decode_blocks", (json_int_t)w->decode_blocks,
                     "device_blocks", (json_int_t)w->held[KVR_DEVICE], "host_blocks",
                     (json_int_t)w->held[KVR_HOST], "capacity",
                     w->capacity ? json_integer(w->capacity) : json_null(), "ttft", real(w->ttft),
                     "disk_blocks", (json_int_t)w->held[KVR_DISK], "tpot", real(w->tpot),
                     "ttl_left", integer(k->ttl_left), "ranks", ranks_json(k));
}

static json_t *workers_json(const struct top_rows *rows) {
    json_t *all = json_array();
    for (size_t i = 0; i < rows->n; i++)
        json_array_append_new(all, worker_json(rows->items[i].worker));
    return all;
}

static json_t *classes_json(const struct top_list *l) {
    const struct top_class *c = l->items;
    json_t *all = json_array();
    for (size_t i = 0; i < l->n; i++)
        json_array_append_new(
            all,
            json_pack("{s:s, s:I, s:f, s:I, s:I, s:I, s:I, s:I}", "class", c[i].name, "priority",
                      (json_int_t)c[i].said.priority, "weight", c[i].said.weight, "waiting",
                      (json_int_t)c[i].said.waiting, "tokens", (json_int_t)c[i].said.tokens,
                      "oldest", (json_int_t)c[i].said.oldest, "admitted",
                      (json_int_t)c[i].said.admitted, "refused", (json_int_t)c[i].said.refused));
    return all;
}

static json_t *flows_json(const struct top_list *l) {
    const struct top_flow *f = l->items;
    json_t *all = json_array();
    for (size_t i = 0; i < l->n; i++)
        json_array_append_new(
            all, json_pack("{s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:I}", "flow", f[i].name, "weight",
                           f[i].said.weight, "max_requests", (json_int_t)f[i].said.max_requests,
                           "rate", (json_int_t)f[i].said.rate, "burst", (json_int_t)f[i].said.burst,
                           "requests", (json_int_t)f[i].said.requests, "waiting",
                           (json_int_t)f[i].said.waiting, "left", (json_int_t)f[i].said.left));
    return all;
}

static json_t *counts_json(const struct top_pool *p) {
    json_t *all = json_object();
    for (size_t i = 0; i < TOP_COUNTS; i++)
        json_object_set_new(all, top_count_names[i], integer(p->known ? p->counts[i] : -1));
    return all;
}

static json_t *rates_json(const struct top_pool *p) {
    return json_pack("{s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "hit_rate",
                     real(top_view_share(p, TOP_OVERLAP_BLOCKS, false)), "hit_rate_of_all",
                     real(top_view_share(p, TOP_OVERLAP_BLOCKS, true)), "expected_hit_rate",
                     real(top_view_share(p, TOP_EXPECTED_BLOCKS, false)), "selects",
                     real(top_view_rate(p, TOP_SELECTS)), "admitted",
                     real(top_view_rate(p, TOP_ADMITTED)), "refused",
                     real(top_view_rate(p, TOP_REFUSED)), "limited",
                     real(top_view_rate(p, TOP_LIMITED)));
}

static json_t *server_json(const struct top_pool *p) {
    const struct top_server *s = &p->server;
    return json_pack(
        "{s:b, s:s, s:s, s:o, s:o, s:o, s:o, s:I, s:I}", "connected", p->link.connected, "primary",
        p->link.primary, "version", s->version, "uptime", integer(s->known ? s->uptime : -1),
        "replicas", integer(s->known ? s->replicas : -1), "lag", integer(s->replicas ? s->lag : -1),
        "behind", integer(s->replicas ? s->behind : -1), "failovers", (json_int_t)p->link.failovers,
        "losses", (json_int_t)p->link.losses);
}

static json_t *pool_json(const struct top_pool *p, const struct top_rows *rows) {
    return json_pack("{s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "pool", p->name,
                     "code", kvr_code_name(p->code), "message", p->message, "policy", p->policy,
                     "server", server_json(p), "info", counts_json(p), "rates", rates_json(p),
                     "wait_estimate", integer(p->queue.estimate), "workers", workers_json(rows),
                     "classes", classes_json(&p->classes), "flows", flows_json(&p->flows));
}

bool top_report_json(const struct top_view *v, const struct top_config *c, FILE *out) {
    json_t *pools = json_array();
    bool good = pools != NULL;
    for (size_t i = 0; good && i < v->n_pools; i++) {
        struct top_ui u;
        top_ui_init(&u, c);
        u.pool = i;
        good = top_ui_update(&u, v) &&
               json_array_append_new(pools, pool_json(v->pools[i], &u.rows)) == 0;
        top_ui_free(&u);
    }
    json_t *all = json_pack("{s:o}", "pools", pools);
    good = good && all && json_dumpf(all, out, JSON_INDENT(1) | JSON_REAL_PRECISION(6)) == 0;
    json_decref(all);
    return good && fputc('\n', out) != EOF && fflush(out) == 0;
}
