// SPDX-License-Identifier: Apache-2.0
#include "router_queue.h"

#include <stdlib.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/router/prompt/router_json.h"
#include "client/router/router.h"
#include "router_pool.h"

enum { QUEUE_DENIED_S = 60 };

static void copy_name(char out[KVR_MAX_ID + 1], struct kvr_bytes name) {
    size_t n = name.n < KVR_MAX_ID ? name.n : KVR_MAX_ID;
    memcpy(out, name.p, n);
    out[n] = 0;
}

// ---- What the pool says --------------------------------------------------------------------------

void router_queue_info(struct router_pool *p, const struct kvr_result *info) {
    struct router_queue *q = &p->queue;
    int64_t waiting = kvr_info_int(info, "waiting", -1);
    p->has_queue = waiting >= 0;
    p->instances = kvr_info_int(info, "eligible", 0);
    q->waiting = waiting > 0 ? waiting : 0;
    q->tokens = kvr_info_int(info, "waiting_tokens", 0);
    q->admitted = kvr_info_int(info, "admitted", 0);
    q->refused = kvr_info_int(info, "refused", 0);
    q->limited = kvr_info_int(info, "limited", 0);
    p->max_requests = kvr_info_int(info, "maxrequests", 0);
    p->max_prefill = kvr_info_int(info, "maxprefill", 0);
    p->max_blocks = kvr_info_int(info, "maxblocks", 0);
    if (!q->waiting)
        q->since_us = 0;
    else if (!q->since_us)
        q->since_us = kvr_clock_us();
}

static void take_class(struct router_queue_class *out, const struct kvr_class *c) {
    *out = (struct router_queue_class){.priority = c->priority,
                                       .weight = c->weight,
                                       .waiting = c->waiting,
                                       .tokens = c->tokens,
                                       .oldest = c->oldest,
                                       .admitted = c->admitted,
                                       .refused = c->refused,
                                       .max_waiting = c->max_waiting,
                                       .room = c->room};
    copy_name(out->name, c->name);
}

static void take_classes(struct router_queue *q, const struct kvr_result *r) {
    struct router_queue_class *all = malloc((r->n ? r->n : 1) * sizeof *all);
    size_t n = 0;
    if (!all) return;
    for (size_t i = 0; i < r->n; i++) // a name that is no text can't be told from others here
        if (!memchr(r->classes[i].name.p, 0, r->classes[i].name.n))
            take_class(&all[n++], &r->classes[i]);
    free(q->classes);
    q->classes = all;
    q->n_classes = n;
}

static json_t *entry_json(const struct kvr_queued *e) {
    return json_pack("{s:o,s:o,s:o,s:I,s:I,s:I}", "request", router_json_text(e->request), "class",
                     router_json_text(e->service_class), "flow", router_json_text(e->flow),
                     "position", (json_int_t)e->position, "waited_ms", (json_int_t)e->waited,
                     "blocks", (json_int_t)e->blocks);
}

// Those who go before a request of the default class: the ones of its priority count, too.
static int64_t count_ahead(const struct router_queue *q, int64_t *oldest) {
    const struct router_queue_class *usual = router_queue_class(q, (struct kvr_bytes){NULL, 0});
    int64_t ahead = 0;
    *oldest = 0;
    for (size_t i = 0; i < q->n_classes; i++) {
        const struct router_queue_class *c = &q->classes[i];
        if (!usual || c->priority >= usual->priority) ahead += c->waiting;
        if (c->oldest > *oldest) *oldest = c->oldest;
    }
    return ahead;
}

static void take_queue(struct router_pool *p, const struct kvr_result *r) {
    struct router_queue *q = &p->queue;
    json_t *first = json_array();
    for (size_t i = 0; i < r->n; i++)
        json_array_append_new(first, entry_json(&r->queued[i]));
    json_decref(q->first);
    q->first = first;
    q->waiting = r->queue.waiting;
    q->tokens = r->queue.tokens;
    q->estimate = r->queue.estimate;
    struct router_scale_seen seen = {.waiting = q->waiting,
                                     .estimate = q->estimate,
                                     .instances = p->instances,
                                     .target = p->scale_target};
    seen.ahead = count_ahead(q, &seen.oldest);
    q->wanted = router_scale_wanted(&q->scale, &seen);
}

// ---- Asking --------------------------------------------------------------------------------------

// A user who may not ask is logged by Redis each time.
static void note_refusal(struct router_pool *p, const struct kvr_result *r) {
    if (r->code == KVR_CODE_DENIED)
        p->queue.ask_again_us = kvr_clock_us() + (int64_t)QUEUE_DENIED_S * 1000000;
}

static void on_classes(void *ctx, const struct kvr_result *r) {
    struct router_pool *p = ctx;
    if (r->code == KVR_CODE_OK) take_classes(&p->queue, r);
    note_refusal(p, r);
    p->queue_asked(p);
}

static void on_queue(void *ctx, const struct kvr_result *r) {
    struct router_pool *p = ctx;
    if (r->code == KVR_CODE_OK) take_queue(p, r);
    note_refusal(p, r);
    p->queue_asked(p);
}

// The classes first: they say who goes before whom.
unsigned router_queue_ask(struct router_pool *p, void (*done)(struct router_pool *p)) {
    if (!p->has_queue || kvr_clock_us() < p->queue.ask_again_us) return 0;
    p->queue_asked = done;
    enum kvr_code classes = kvr_client_class_list_async(p->client, on_classes, p);
    enum kvr_code queue = kvr_client_queue_async(p->client, ROUTER_QUEUE_FIRST, on_queue, p);
    unsigned asked = (unsigned)(classes == KVR_CODE_OK) + (queue == KVR_CODE_OK);
    p->unsent += 2 - asked;
    return asked;
}

void router_queue_free(struct router_queue *q) {
    free(q->classes);
    json_decref(q->first);
}

// ---- Telling -------------------------------------------------------------------------------------

const struct router_queue_class *router_queue_class(const struct router_queue *q,
                                                    struct kvr_bytes name) {
    if (!name.n) name = kvr_text("default");
    for (size_t i = 0; i < q->n_classes; i++)
        if (strlen(q->classes[i].name) == name.n && !memcmp(q->classes[i].name, name.p, name.n))
            return &q->classes[i];
    return NULL;
}

static json_t *class_json(const struct router_queue_class *c) {
    return json_pack("{s:o,s:I,s:f,s:I,s:I,s:I,s:I,s:I,s:I,s:I}", "class",
                     router_json_text(kvr_text(c->name)), "priority", (json_int_t)c->priority,
                     "weight", c->weight, "waiting", (json_int_t)c->waiting, "tokens",
                     (json_int_t)c->tokens, "oldest_ms", (json_int_t)c->oldest, "admitted",
                     (json_int_t)c->admitted, "refused", (json_int_t)c->refused, "max_waiting",
                     (json_int_t)c->max_waiting, "room", (json_int_t)c->room);
}

json_t *router_queue_json(const struct router_pool *p, size_t max) {
    const struct router_queue *q = &p->queue;
    json_t *classes = json_array(), *first = json_array();
    for (size_t i = 0; i < q->n_classes; i++)
        json_array_append_new(classes, class_json(&q->classes[i]));
    for (size_t i = 0; i < max && i < json_array_size(q->first); i++)
        json_array_append(first, json_array_get(q->first, i));
    return json_pack("{s:b,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:I,s:o,s:o}", "known", p->has_queue,
                     "waiting", (json_int_t)q->waiting, "tokens", (json_int_t)q->tokens,
                     "estimate_ms", (json_int_t)q->estimate, "admitted", (json_int_t)q->admitted,
                     "refused", (json_int_t)q->refused, "limited", (json_int_t)q->limited,
                     "instances", (json_int_t)p->instances, "instances_wanted",
                     (json_int_t)q->wanted, "classes", classes, "first", first);
}
