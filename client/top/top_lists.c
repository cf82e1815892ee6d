// SPDX-License-Identifier: Apache-2.0
// The lists of a pool. Each is copied out of its reply into memory of its own, and takes the old one's place when all of it
// is there: without memory for that the old one stays.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "top_saturate.h"
#include "top_text.h"
#include "top_view.h"

static bool answered(struct top_pool *p, const struct kvr_result *r) {
    if (r->code == KVR_CODE_OK) return true;
    p->code = r->code;
    snprintf(p->message, sizeof p->message, "%s %s", kvr_code_name(r->code),
             r->message ? r->message : "");
    return false;
}

static struct top_list new_list(void) {
    struct top_list l = {.known = true};
    kvr_arena_init(&l.arena, &kvr_alloc_default);
    return l;
}

// false: the new list isn't whole, and the old one stays.
static bool replace(struct top_pool *p, struct top_list *old, struct top_list *l, bool whole) {
    struct kvr_arena *gone = whole ? &old->arena : &l->arena;
    kvr_arena_free(gone);
    if (whole)
        *old = *l;
    else
        snprintf(p->message, sizeof p->message, "no memory");
    return whole;
}

static void *take_items(struct top_list *l, size_t n, size_t size) {
    l->items = kvr_arena_take(&l->arena, (n ? n : 1) * size);
    if (l->items) memset(l->items, 0, (n ? n : 1) * size);
    return l->items;
}

// ---- Workers -------------------------------------------------------------------------------------

static double mean(double sum, size_t n) {
    return n ? sum / (double)n : -1;
}

static void add_up(struct top_worker *w, int64_t pool_limit) {
    size_t n_ttft = 0, n_tpot = 0;
    double ttft = 0, tpot = 0;
    for (size_t i = 0; i < w->said.n_ranks; i++) {
        const struct kvr_rank *k = &w->said.ranks[i];
        w->requests = top_sum(w->requests, k->requests);
        w->prefill_tokens = top_sum(w->prefill_tokens, k->prefill_tokens);
        w->decode_blocks = top_sum(w->decode_blocks, k->decode_blocks);
        for (int t = 0; t < KVR_TIERS; t++)
            w->held[t] = top_sum(w->held[t], k->held[t]);
        if (k->ttft >= 0) ttft += k->ttft, n_ttft++;
        if (k->tpot >= 0) tpot += k->tpot, n_tpot++;
    }
    int64_t limit = w->said.max_requests ? w->said.max_requests : pool_limit;
    w->limit = limit > 0 ? top_product(limit, (int64_t)w->said.n_ranks) : 0;
    w->capacity = top_product(w->said.capacity, (int64_t)w->said.n_ranks);
    w->ttft = mean(ttft, n_ttft);
    w->tpot = mean(tpot, n_tpot);
}

static const char *joined(struct kvr_arena *a, const struct kvr_worker *w) {
    char text[KVR_MAX_LABELS * (KVR_MAX_LABEL + 1)];
    size_t n = 0;
    for (size_t i = 0; i < w->n_labels && i < KVR_MAX_LABELS; i++) {
        if (w->labels[i].n > KVR_MAX_LABEL) continue;
        if (n) text[n++] = ' ';
        memcpy(text + n, w->labels[i].p, w->labels[i].n);
        n += w->labels[i].n;
    }
    return top_text_printable(a, (struct kvr_bytes){text, n});
}

static bool copy_worker(struct kvr_arena *a, const struct kvr_worker *from, struct top_worker *w) {
    size_t size = from->n_ranks * sizeof *from->ranks;
    struct kvr_rank *ranks = kvr_arena_take(a, size ? size : 1);
    w->said = *from;
    w->name = top_text_printable(a, from->name);
    w->addr = top_text_printable(a, from->addr);
    w->tags = joined(a, from);
    if (!ranks || !w->name || !w->addr || !w->tags) return false;
    if (size) memcpy(ranks, from->ranks, size);
    w->said.ranks = ranks;
    w->said.name = kvr_text(w->name);
    w->said.addr = kvr_text(w->addr);
    w->said.labels = NULL;
    w->said.n_labels = 0;
    return true;
}

void top_view_workers(struct top_pool *p, const struct kvr_result *r) {
    if (!answered(p, r)) return;
    struct top_list l = new_list();
    struct top_worker *items = take_items(&l, r->n, sizeof *items);
    bool whole = items != NULL;
    for (size_t i = 0; whole && i < r->n; i++) {
        whole = copy_worker(&l.arena, &r->workers[i], &items[i]);
        if (whole) add_up(&items[i], p->counts[TOP_MAXREQUESTS]);
    }
    l.n = r->n;
    replace(p, &p->workers, &l, whole);
}

// ---- The queue -----------------------------------------------------------------------------------

// Both lists are in the names' order.
static int64_t admitted_before(const struct top_list *old, size_t *at, const char *name) {
    const struct top_class *c = old->items;
    while (*at < old->n && strcmp(c[*at].name, name) < 0)
        ++*at;
    return *at < old->n && strcmp(c[*at].name, name) == 0 ? c[*at].said.admitted : -1;
}

void top_view_classes(struct top_pool *p, const struct kvr_result *r) {
    if (!answered(p, r)) return;
    struct top_list l = new_list();
    size_t n = r->n < TOP_MAX_CLASSES ? r->n : TOP_MAX_CLASSES, at = 0;
    struct top_class *items = take_items(&l, n, sizeof *items);
    bool whole = items != NULL;
    for (size_t i = 0; whole && i < n; i++) {
        items[i].said = r->classes[i];
        items[i].name = top_text_printable(&l.arena, r->classes[i].name);
        whole = items[i].name != NULL;
        if (!whole) break;
        items[i].said.name = kvr_text(items[i].name);
        int64_t before = admitted_before(&p->classes, &at, items[i].name);
        int64_t since = top_difference(items[i].said.admitted, before);
        items[i].admitted = before < 0 || since < 0 ? -1 : since;
    }
    l.n = n;
    replace(p, &p->classes, &l, whole);
}

void top_view_queue(struct top_pool *p, const struct kvr_result *r) {
    if (!answered(p, r)) return;
    struct top_list l = new_list();
    size_t n = r->n < TOP_MAX_QUEUED ? r->n : TOP_MAX_QUEUED;
    struct top_queued *items = take_items(&l, n, sizeof *items);
    bool whole = items != NULL;
    for (size_t i = 0; whole && i < n; i++) {
        const struct kvr_queued *q = &r->queued[i];
        items[i].said = *q;
        items[i].request = top_text_printable(&l.arena, q->request);
        items[i].service_class = top_text_printable(&l.arena, q->service_class);
        items[i].flow = top_text_printable(&l.arena, q->flow);
        whole = items[i].request && items[i].service_class && items[i].flow;
        items[i].said.request = items[i].said.service_class = items[i].said.flow = kvr_text("");
    }
    l.n = n;
    if (replace(p, &p->queued, &l, whole)) p->queue = r->queue;
}

// The answer, what decided, and the rule; all of them words of the module's own.
static void note_verdict(struct top_pool *p, const struct kvr_explanation *e) {
    snprintf(p->verdict, sizeof p->verdict, "%s by %.*s, policy %.*s, %lld of %lld instances",
             e->answer == KVR_CODE_OK ? "chosen" : kvr_code_name(e->answer),
             (int)(e->by.n < 16 ? e->by.n : 16), e->by.p,
             (int)(e->policy.n < 16 ? e->policy.n : 16), e->policy.p, (long long)e->places,
             (long long)e->instances);
}

void top_view_explanation(struct top_pool *p, const struct kvr_result *r) {
    if (!answered(p, r) || !r->explanation) return;
    struct top_list l = new_list();
    const struct kvr_explanation *e = r->explanation;
    size_t n = r->n < TOP_MAX_CANDIDATES ? r->n : TOP_MAX_CANDIDATES;
    struct top_candidate *items = take_items(&l, n, sizeof *items);
    bool whole = items != NULL;
    for (size_t i = 0; whole && i < n; i++) {
        items[i].said = e->candidates[i];
        items[i].said.terms = NULL;
        items[i].said.n_terms = 0;
        items[i].name = top_text_printable(&l.arena, e->candidates[i].worker);
        items[i].reason = top_text_printable(&l.arena, e->candidates[i].reason);
        whole = items[i].name && items[i].reason;
        items[i].said.worker = items[i].said.reason = kvr_text("");
        items[i].said.prefill_worker = items[i].said.prompt_reason = kvr_text("");
    }
    l.n = n;
    if (replace(p, &p->candidates, &l, whole)) note_verdict(p, e);
}

static bool begin_flows(struct top_pool *p) {
    kvr_arena_empty(&p->more_flows.arena);
    p->more_flows.n = 0;
    p->more_flows.known = true;
    return take_items(&p->more_flows, TOP_MAX_FLOWS, sizeof(struct top_flow)) != NULL;
}

// The busiest first: the pool says them in no order.
static int by_load(const void *a, const void *b) {
    const struct top_flow *x = a, *y = b;
    int64_t n = top_sum(x->said.requests, x->said.waiting);
    int64_t m = top_sum(y->said.requests, y->said.waiting);
    return n != m ? (n > m ? -1 : 1) : strcmp(x->name, y->name);
}

// The list's memory goes to those who show it, and theirs to the next list.
static void end_flows(struct top_pool *p, bool cut) {
    struct top_list l = p->flows;
    p->flows = p->more_flows;
    if (p->flows.n) qsort(p->flows.items, p->flows.n, sizeof(struct top_flow), by_load);
    p->more_flows = l;
    p->flows_cut = cut;
}

bool top_view_flows(struct top_pool *p, const struct kvr_result *r, bool first) {
    struct top_list *l = &p->more_flows;
    if (!answered(p, r)) return false;
    bool whole = !first || begin_flows(p);
    size_t i = 0;
    for (; whole && i < r->n && l->n < TOP_MAX_FLOWS; i++) {
        struct top_flow *f = (struct top_flow *)l->items + l->n;
        f->said = r->flows[i];
        f->name = top_text_printable(&l->arena, r->flows[i].name);
        whole = f->name != NULL;
        if (!whole) break;
        f->said.name = kvr_text(f->name);
        l->n++;
    }
    if (!whole) {
        snprintf(p->message, sizeof p->message, "no memory");
        return false;
    }
    bool cut = i < r->n || (r->cursor && l->n == TOP_MAX_FLOWS);
    if (r->cursor && !cut) return true;
    end_flows(p, cut);
    return false;
}
