// SPDX-License-Identifier: Apache-2.0
#include "queue_order.h"

#include <math.h>
#include <string.h>

#include "choose.h"
#include "module/core/state/fair_order.h"
#include "module/core/state/flow.h"
#include "module/core/state/room.h"
#include "module/core/state/service_class.h"
#include "module/core/state/worker.h"

enum {
    UNKNOWN_MS = 1000, // to come back after, while nothing is known
    LINES_LOOKED_AT = 64,
};
#define MAX_TOLD_MS 600000 // those who were told are expected at most so long from now

// ---- Position ------------------------------------------------------------------------------------

// Of n requests of `tokens` together, one after the other from `tag` on: how many begin before `until`, or just
// then if `first` is.
static uint64_t begin_before(double tag, double weight, uint64_t tokens, uint64_t n, double until,
                             bool first) {
    double each = (double)tokens / (double)n / weight;
    if (until < tag || (until == tag && !first)) return 0;
    double count = each > 0 ? ceil((until - tag) / each) : (double)n;
    if (count < 1) count = 1;
    return count < (double)n ? (uint64_t)count : n;
}

// How many of its class go before it: those of its line, and of the others who begin earlier. Of many lines, as
// many of each.
static uint64_t place_in_class(const struct core_line *l, size_t ahead) {
    const struct core_class *c = l->service_class;
    uint64_t others = c->waiting - l->n, place = 0;
    if (!others) return ahead;
    if (c->ready.n > LINES_LOOKED_AT) {
        place = (uint64_t)ahead * (c->lines - 1);
        return ahead + (place < others ? place : others);
    }
    double begin =
        l->tag + (double)ahead * ((double)l->tokens / (double)l->n) / core_flow_weight(l->flow);
    for (size_t i = 0; i < c->ready.n; i++) {
        const struct core_line *o = core_line_of(c->ready.heap[i]);
        if (o == l) continue;
        place += begin_before(o->tag, core_flow_weight(o->flow), o->tokens, o->n, begin,
                              o->at[o->first]->number < l->at[l->first]->number);
    }
    return ahead + place;
}

uint64_t core_queue_position(const struct kvr_pool *p, const struct core_waiting *w) {
    const struct core_queue *q = &p->queue;
    const struct core_line *l = w->line;
    const struct core_class *c = l->service_class;
    uint64_t place = place_in_class(l, core_line_index(l, w)), before = 0;
    double begin = c->tag + (double)place * ((double)c->tokens / (double)c->waiting) / c->weight;
    for (size_t i = 0; i < q->n_classes; i++) {
        const struct core_class *o = q->classes[i];
        if (o == c || !o->waiting || o->priority < c->priority) continue;
        before += o->priority > c->priority
                      ? o->waiting
                      : begin_before(o->tag, o->weight, o->tokens, o->waiting, begin,
                                     core_class_first(o) < core_class_first(c));
    }
    return place + before;
}

// ---- Time ----------------------------------------------------------------------------------------

int64_t core_queue_estimate(const struct kvr_pool *p, uint64_t position) {
    double ms = core_room_time(p, position + 1);
    return ms < 0 ? -1 : ms < (double)KVR_MAX_MS ? (int64_t)ceil(ms) : KVR_MAX_MS;
}

int64_t core_queue_retry(const struct kvr_pool *p, int64_t now) {
    const struct core_queue *q = &p->queue;
    int64_t next = core_queue_estimate(p, 0), all = core_queue_estimate(p, q->ids.count);
    if (next < 0) return UNKNOWN_MS;
    int64_t told = q->told_until > now ? q->told_until - now : 0;
    int64_t ms = told + next > all ? told + next : all;
    if (ms > MAX_TOLD_MS) ms = MAX_TOLD_MS;
    return ms < 1 ? 1 : ms;
}

int64_t core_queue_tell(struct kvr_pool *p, int64_t now) {
    int64_t ms = core_queue_retry(p, now);
    if (p->room.den > 0)
        p->queue.told_until = now + ms; // else nothing is known, and all are told the same
    return ms;
}

// Of all instances that have told one; 0: none has.
static double first_token_time(const struct kvr_pool *p) {
    double ms = 0, requests = 0;
    for (uint32_t i = 0; i < p->n_instances; i++) {
        ms += p->instances[i].learnt.first.num;
        requests += p->instances[i].learnt.first.den;
    }
    return requests > 0 ? ms / requests : 0;
}

int64_t core_queue_request_time(const struct kvr_pool *p, const struct core_flow *f, uint64_t n) {
    double ms = first_token_time(p) + p->learnt.output * core_ratio_mean(p->learnt.decode, 0);
    if (!(ms > 0)) return UNKNOWN_MS;
    ms = ms * (double)n / (double)(f->max_requests ? f->max_requests : 1);
    return ms < 1 ? 1 : ms < MAX_TOLD_MS ? (int64_t)ms : MAX_TOLD_MS;
}

// ---- The first of them ---------------------------------------------------------------------------
// Lines and classes as they would be after those that are shown.

struct shown_line {
    double tag;
    uint64_t number; // of arrival, of the next one
    const struct core_line *line;
    size_t next;
};

struct shown_class {
    double tag;
    struct shown_line *heap; // least tag first
    size_t n;
    const struct core_class *service_class;
};

static bool line_before(const struct shown_line *a, const struct shown_line *b) {
    return a->tag != b->tag ? a->tag < b->tag : a->number < b->number;
}

static void sink_line(struct shown_class *c, size_t i) {
    for (size_t child; (child = 2 * i + 1) < c->n; i = child) {
        if (child + 1 < c->n && line_before(&c->heap[child + 1], &c->heap[child])) child++;
        if (!line_before(&c->heap[child], &c->heap[i])) return;
        struct shown_line t = c->heap[i];
        c->heap[i] = c->heap[child];
        c->heap[child] = t;
    }
}

static bool class_before(const struct shown_class *a, const struct shown_class *b) {
    const struct core_class *x = a->service_class, *y = b->service_class;
    if (x->priority != y->priority) return x->priority > y->priority;
    return a->tag != b->tag ? a->tag < b->tag : a->heap[0].number < b->heap[0].number;
}

static void sink_class(struct shown_class *heap, size_t n, size_t i) {
    for (size_t child; (child = 2 * i + 1) < n; i = child) {
        if (child + 1 < n && class_before(&heap[child + 1], &heap[child])) child++;
        if (!class_before(&heap[child], &heap[i])) return;
        struct shown_class t = heap[i];
        heap[i] = heap[child];
        heap[child] = t;
    }
}

static void add_line(struct shown_class *c, const struct core_line *l) {
    c->heap[c->n++] =
        (struct shown_line){.tag = l->tag, .number = l->at[l->first]->number, .line = l};
}

// All classes where somebody waits, the first on top, with their lines; how many.
static size_t collect(struct kvr_pool *p, struct shown_class *classes, struct shown_line *lines) {
    struct core_queue *q = &p->queue;
    size_t n = 0;
    for (size_t i = 0; i < q->n_classes; i++) {
        struct core_class *c = q->classes[i];
        if (!c->lines) continue;
        c->listed = n;
        classes[n++] = (struct shown_class){.tag = c->tag, .heap = lines, .service_class = c};
        lines += c->lines;
    }
    // By those who wait, as a line may be out of its heap.
    for (size_t i = 0; i < q->ends.n; i++) {
        const struct core_waiting *w = core_waiting_of(q->ends.heap[i]);
        const struct core_line *l = w->line;
        if (l->at[l->first] == w) add_line(&classes[l->service_class->listed], l);
    }
    for (size_t k = 0; k < n; k++)
        for (size_t i = classes[k].n / 2; i-- > 0;)
            sink_line(&classes[k], i);
    for (size_t k = n / 2; k-- > 0;)
        sink_class(classes, n, k);
    return n;
}

// The next one of the n classes, which become fewer as they are used up.
static const struct core_waiting *take_next(struct shown_class *classes, size_t *n) {
    struct shown_class *c = &classes[0];
    struct shown_line *l = &c->heap[0];
    const struct core_waiting *w = l->line->at[l->line->first + l->next++];
    double tokens = (double)(w->query.isl + w->query.osl);
    if (tokens < 1) tokens = 1;
    c->tag += core_share_step(tokens, c->service_class->weight);
    l->tag += core_share_step(tokens, core_flow_weight(l->line->flow));
    if (l->next == l->line->n)
        *l = c->heap[--c->n];
    else
        l->number = l->line->at[l->line->first + l->next]->number;
    sink_line(c, 0);
    if (!c->n) *c = classes[--*n];
    sink_class(classes, *n, 0);
    return w;
}

// Whether a request of the class `default` would be booked at once, on some instance.
static bool has_room(const struct kvr_pool *p, int64_t now) {
    const struct core_class *c = p->queue.default_class;
    for (size_t i = 0; i < p->n_workers; i++) {
        const struct core_worker *w = p->workers[i];
        if (w->state != KVR_READY || core_worker_expired(p, w, now)) continue;
        for (uint32_t r = 0; r < w->ranks; r++)
            if (core_room_counted(p, w->instances[r], core_class_room(c)) &&
                !p->instances[w->instances[r]].held_for)
                return true;
    }
    return false;
}

static int64_t estimate_now(const struct kvr_pool *p, int64_t now) {
    uint64_t ahead = 0;
    for (size_t i = 0; i < p->queue.n_classes; i++)
        if (p->queue.classes[i]->priority >= p->queue.default_class->priority)
            ahead += p->queue.classes[i]->waiting;
    return has_room(p, now) && !kvr_admit_left(p, now) ? 0 : core_queue_estimate(p, ahead);
}

enum kvr_err kvr_queue(struct kvr_pool *p, int64_t now, size_t n,
                       void (*f)(void *ctx, const struct kvr_waiting_info *w), void *ctx,
                       int64_t *estimate) {
    struct core_queue *q = &p->queue;
    *estimate = estimate_now(p, now);
    if (n > q->ids.count) n = q->ids.count;
    if (!n) return KVR_OK;
    size_t class_bytes = q->n_classes * sizeof(struct shown_class),
           line_bytes = q->n_lines * sizeof(struct shown_line);
    struct shown_class *classes = core_mem_alloc(&p->mem, class_bytes);
    struct shown_line *lines = core_mem_alloc(&p->mem, line_bytes);
    if (classes && lines) {
        size_t n_classes = collect(p, classes, lines);
        for (size_t i = 0; i < n; i++) {
            const struct core_waiting *w = take_next(classes, &n_classes);
            int64_t waited = now - w->since;
            const struct kvr_waiting_info shown = {
                .id = {w->id, w->id_len},
                .service_class = w->query.service_class,
                .flow = w->query.flow,
                .position = i,
                .blocks = w->query.n,
                .waited = waited > 0 ? waited : 0,
            };
            f(ctx, &shown);
        }
    }
    enum kvr_err err = classes && lines ? KVR_OK : KVR_NOMEM;
    core_mem_free(&p->mem, lines, lines ? line_bytes : 0);
    core_mem_free(&p->mem, classes, classes ? class_bytes : 0);
    return err;
}
