// SPDX-License-Identifier: Apache-2.0
#include "fair_order.h"

#include <string.h>

#include "flow.h"
#include "queue_round.h"
#include "service_class.h"

// Tags are never negative, and the bits of such doubles are in their order.
static int64_t bits_of(double tag) {
    int64_t bits;
    memcpy(&bits, &tag, sizeof bits);
    return bits;
}

#define MAX_TAG 1e300
// A weight may be next to nothing. One request of such a class would take the time of all so far that the steps of
// the others were lost in rounding; and a step as this is for none of them less than an age.
#define MAX_STEP 0x1p44

double core_share_step(double tokens, double weight) {
    double step = tokens / weight;
    return step < MAX_STEP ? step : MAX_STEP;
}

bool core_tag_good(double tag) {
    return tag >= 0 && tag <= MAX_TAG;
}

static struct core_waiting *first_of(const struct core_line *l) {
    return l->at[l->first];
}

// ---- Lines ---------------------------------------------------------------------------------------

struct core_line *core_line_find(const struct core_class *c, const struct core_flow *f) {
    if (!f) return c->default_line;
    struct core_line *l = f->lines;
    while (l && l->service_class != c)
        l = l->next;
    return l;
}

struct core_line *core_line_take(struct kvr_pool *p, struct core_class *c, struct core_flow *f) {
    struct core_line *l = core_line_find(c, f);
    if (l) return l;
    // Idle lines stay in the heap of those that owe, and one more comes for a moment.
    if (core_deadlines_reserve_all(&c->owing, CORE_MAX_OWING + 1)) return NULL;
    l = core_mem_calloc(&p->mem, sizeof *l);
    if (!l) return NULL;
    l->service_class = c;
    l->flow = f;
    if (!f) {
        c->default_line = l;
        return l;
    }
    l->next = f->lines;
    if (l->next) l->next->prev = l;
    f->lines = l;
    return l;
}

void core_line_drop(struct kvr_pool *p, struct core_line *l) {
    if (l->n || l->order.place) return;
    struct core_flow *f = l->flow;
    if (f) {
        *(l->prev ? &l->prev->next : &f->lines) = l->next;
        if (l->next) l->next->prev = l->prev;
    } else {
        l->service_class->default_line = NULL;
    }
    core_mem_free(&p->mem, l->at, l->cap * sizeof *l->at);
    core_mem_free(&p->mem, l, sizeof *l);
    if (f) core_flow_drop(p, f);
}

int core_line_reserve(struct kvr_pool *p, struct core_line *l) {
    struct core_queue *q = &p->queue;
    if (core_deadlines_reserve_all(&l->service_class->ready, l->service_class->lines + 1) ||
        core_deadlines_reserve_all(&q->parked, q->n_lines + 1))
        return -1;
    if (l->first + l->n < l->cap) return 0;
    if (l->first > l->n) { // at least half of it is free
        memmove(l->at, l->at + l->first, l->n * sizeof *l->at);
        l->first = 0;
        return 0;
    }
    return core_mem_grow(&p->mem, &l->at, &l->cap, l->first + l->n + 1, sizeof *l->at);
}

size_t core_line_index(const struct core_line *l, const struct core_waiting *w) {
    size_t low = 0, high = l->n;
    // Nearly always it is who has just come, or goes next.
    if (l->at[l->first] == w) return 0;
    if (l->at[l->first + l->n - 1] == w) return l->n - 1;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (l->at[l->first + middle]->number < w->number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

// ---- Where a line stands -------------------------------------------------------------------------

static void leave_heap(struct kvr_pool *p, struct core_line *l) {
    struct core_class *c = l->service_class;
    core_deadlines_remove(l->place == CORE_LINE_READY    ? &c->ready
                          : l->place == CORE_LINE_PARKED ? &p->queue.parked
                                                         : &c->owing,
                          &l->order);
}

void core_line_ready(struct kvr_pool *p, struct core_line *l) {
    leave_heap(p, l);
    l->place = CORE_LINE_READY;
    l->order.number = first_of(l)->number;
    core_deadlines_add(&l->service_class->ready, &l->order, bits_of(l->tag));
}

void core_line_park(struct kvr_pool *p, struct core_line *l, int64_t until) {
    leave_heap(p, l);
    l->place = CORE_LINE_PARKED;
    l->order.number = first_of(l)->number;
    core_deadlines_add(&p->queue.parked, &l->order, until);
}

void core_line_hold(struct kvr_pool *p, struct core_line *l) {
    leave_heap(p, l);
    l->place = CORE_LINE_HELD;
}

bool core_line_stopped(const struct core_line *l) {
    return l->n && (l->stopped || l->place == CORE_LINE_PARKED || l->place == CORE_LINE_HELD);
}

bool core_flow_stopped(const struct core_flow *f, const struct core_class *c) {
    for (const struct core_line *l = f->lines; l; l = l->next)
        if (core_line_stopped(l) && l->service_class->priority >= c->priority) return true;
    return false;
}

void core_flow_ready(struct kvr_pool *p, struct core_flow *f) {
    for (struct core_line *l = f->lines; l; l = l->next) {
        if (!l->n) continue;
        core_line_ready(p, l);
        core_queue_again(p);
    }
}

void core_parked_ready(struct kvr_pool *p, int64_t now) {
    struct core_deadline *first;
    while ((first = core_deadlines_first(&p->queue.parked)) && first->at <= now)
        core_line_ready(p, core_line_of(first));
}

// ---- Tags ----------------------------------------------------------------------------------------

static void class_wakes(struct kvr_pool *p, struct core_class *c) {
    struct core_level *level = core_class_level(p, c);
    if (level->v > c->tag) c->tag = level->v;
    level->waiting++;
}

// Nobody waits in it any more: its lines owe nothing, and if nobody waits in its level, the classes don't.
static void class_sleeps(struct kvr_pool *p, struct core_class *c) {
    struct core_level *level = core_class_level(p, c);
    struct core_deadline *owing;
    while ((owing = core_deadlines_first(&c->owing))) {
        core_deadlines_remove(&c->owing, owing);
        core_line_drop(p, core_line_of(owing));
    }
    c->v = 0;
    if (--level->waiting) return;
    level->v = 0;
    for (size_t i = 0; i < p->queue.n_classes; i++)
        if (p->queue.classes[i]->priority == c->priority) p->queue.classes[i]->tag = 0;
}

// Those that owe nothing any more, and the least that is too many.
static void forget_owing(struct kvr_pool *p, struct core_class *c) {
    struct core_deadline *least;
    while ((least = core_deadlines_first(&c->owing)) &&
           (c->owing.n > CORE_MAX_OWING || core_line_of(least)->tag <= c->v)) {
        core_deadlines_remove(&c->owing, least);
        core_line_drop(p, core_line_of(least));
    }
}

void core_line_add(struct kvr_pool *p, struct core_line *l, struct core_waiting *w) {
    struct core_class *c = l->service_class;
    int64_t tokens = w->query.isl + w->query.osl;
    w->line = l;
    l->at[l->first + l->n] = w;
    if (!l->n++) {
        if (!c->lines++) class_wakes(p, c);
        p->queue.n_lines++;
        if (c->v > l->tag) l->tag = c->v;
        core_line_ready(p, l);
    }
    l->tokens += (uint64_t)tokens;
    c->tokens += (uint64_t)tokens;
    c->waiting++;
    p->queue.tokens += (uint64_t)tokens;
    if (!l->flow) return;
    l->flow->waiting++;
    l->flow->tokens += (uint64_t)tokens;
}

static double after(double tag, int64_t tokens, double weight) {
    double finish = tag + core_share_step((double)tokens, weight);
    return finish < MAX_TAG ? finish : MAX_TAG;
}

static void charge(struct kvr_pool *p, struct core_line *l, int64_t tokens) {
    struct core_class *c = l->service_class;
    struct core_level *level = core_class_level(p, c);
    if (c->tag > level->v) level->v = c->tag;
    c->tag = after(c->tag, tokens, c->weight);
    if (l->tag > c->v) c->v = l->tag; // those before it may have been passed over
    l->tag = after(l->tag, tokens, core_flow_weight(l->flow));
}

void core_line_remove(struct kvr_pool *p, struct core_waiting *w, int64_t served) {
    struct core_line *l = w->line;
    struct core_class *c = l->service_class;
    uint64_t tokens = (uint64_t)(w->query.isl + w->query.osl);
    size_t at = core_line_index(l, w);
    if (core_line_stopped(l)) core_queue_again(p); // perhaps because of him
    if (at < l->looked) l->looked--;
    if (at)
        memmove(&l->at[l->first + at], &l->at[l->first + at + 1], (l->n - at - 1) * sizeof *l->at);
    else
        l->first++;
    l->n--;
    l->tokens -= tokens;
    c->tokens -= tokens;
    c->waiting--;
    p->queue.tokens -= tokens;
    if (l->flow) {
        l->flow->waiting--;
        l->flow->tokens -= tokens;
    }
    if (served >= 0) charge(p, l, served);
    w->line = NULL;
    if (l->n) {
        if (served >= 0 || !at) core_line_ready(p, l); // another first one may be let through
        if (served >= 0) forget_owing(p, c);
        return;
    }
    leave_heap(p, l);
    l->place = CORE_LINE_OWING;
    l->first = 0;
    p->queue.n_lines--;
    l->order.number = w->number;
    core_deadlines_add(&c->owing, &l->order, bits_of(l->tag));
    if (--c->lines)
        forget_owing(p, c);
    else
        class_sleeps(p, c);
}

void core_line_load(struct kvr_pool *p, struct core_line *l, double tag, uint64_t number) {
    l->tag = tag;
    if (l->n) {
        core_line_ready(p, l);
        return;
    }
    l->order.number = number;
    core_deadlines_add(&l->service_class->owing, &l->order, bits_of(tag));
}

void core_class_move(struct kvr_pool *p, struct core_class *c, int priority) {
    if (c->priority == priority) return;
    if (c->lines && !--core_class_level(p, c)->waiting) {
        core_class_level(p, c)->v = 0;
        for (size_t i = 0; i < p->queue.n_classes; i++)
            if (p->queue.classes[i]->priority == c->priority) p->queue.classes[i]->tag = 0;
    }
    c->priority = priority;
    c->tag = 0;
    if (c->lines) class_wakes(p, c);
}

uint64_t core_class_first(const struct core_class *c) {
    const struct core_deadline *first = core_deadlines_first(&c->ready);
    return first ? first->number : UINT64_MAX;
}

bool core_class_before(const struct core_class *a, const struct core_class *b) {
    if (a->priority != b->priority) return a->priority > b->priority;
    if (a->tag != b->tag) return a->tag < b->tag;
    return core_class_first(a) < core_class_first(b);
}

// ---- Invariants ----------------------------------------------------------------------------------

static const char *check_line(const struct kvr_pool *p, const struct core_line *l) {
    const struct core_class *c = l->service_class;
    const struct core_deadlines *heap = l->place == CORE_LINE_READY    ? &c->ready
                                        : l->place == CORE_LINE_PARKED ? &p->queue.parked
                                        : l->place == CORE_LINE_OWING  ? &c->owing
                                                                       : NULL;
    if (core_line_find(c, l->flow) != l) return "order: a line isn't found";
    if ((l->place == CORE_LINE_OWING) != !l->n) return "order: a line stands in a wrong place";
    if (l->looked > l->n) return "order: more looked at than there are";
    if (!heap != !l->order.place || (heap && heap->heap[l->order.place - 1] != &l->order))
        return "order: a line isn't in its heap";
    if (!core_tag_good(l->tag) || (!l->n && l->tag <= c->v)) return "order: a wrong tag";
    if (heap && l->place != CORE_LINE_PARKED && l->order.at != bits_of(l->tag))
        return "order: a line under another tag";
    if (heap && l->n && l->order.number != first_of(l)->number) return "order: a line is late";
    uint64_t tokens = 0;
    for (size_t i = 0; i < l->n; i++) {
        const struct core_waiting *w = l->at[l->first + i];
        if (w->line != l || core_line_index(l, w) != i) return "order: a line out of order";
        tokens += (uint64_t)(w->query.isl + w->query.osl);
    }
    return tokens == l->tokens ? NULL : "order: a line's tokens are wrong";
}

static const char *check_heap(const struct kvr_pool *p, const struct core_deadlines *d,
                              enum core_line_place place) {
    const char *wrong = core_deadlines_validate(d);
    for (size_t i = 0; i < d->n && !wrong; i++) {
        const struct core_line *l = core_line_of(d->heap[i]);
        wrong = l->place == place ? check_line(p, l) : "order: a line in a wrong heap";
    }
    return wrong;
}

const char *core_order_validate(const struct kvr_pool *p) {
    const struct core_queue *q = &p->queue;
    struct core_level levels[CORE_LEVELS] = {{0}};
    uint64_t waiting = 0, tokens = 0, lines = 0, registered = 0;
    const char *wrong = check_heap(p, &q->parked, CORE_LINE_PARKED);
    for (size_t i = 0; i < q->n_classes && !wrong; i++) {
        const struct core_class *c = q->classes[i];
        wrong = check_heap(p, &c->ready, CORE_LINE_READY);
        if (!wrong) wrong = check_heap(p, &c->owing, CORE_LINE_OWING);
        if (!wrong && c->default_line) wrong = check_line(p, c->default_line);
        if (!wrong && (c->owing.n > CORE_MAX_OWING || (!c->lines && (c->owing.n || c->v != 0))))
            wrong = "order: a class remembers too much";
        if (!c->registered && (!c->live || c->waiting)) wrong = "class: one that nobody needs";
        if (!core_tag_good(c->tag) || !core_tag_good(c->v)) wrong = "order: a wrong tag";
        levels[c->priority + KVR_MAX_PRIORITY].waiting += c->lines > 0;
        waiting += c->waiting;
        tokens += c->tokens;
        lines += c->lines;
        registered += c->registered;
    }
    for (size_t i = 0; i < CORE_LEVELS && !wrong; i++) {
        if (levels[i].waiting != q->levels[i].waiting) wrong = "order: a level's number is wrong";
        if (!q->levels[i].waiting && q->levels[i].v != 0) wrong = "order: an idle level's time";
    }
    for (size_t i = 0; i < q->n_classes && !wrong; i++)
        if (!q->levels[q->classes[i]->priority + KVR_MAX_PRIORITY].waiting &&
            q->classes[i]->tag != 0)
            wrong = "order: a class owes to nobody";
    if (wrong) return wrong;
    if (waiting != q->ids.count || tokens != q->tokens || lines != q->n_lines ||
        registered != q->n_registered)
        return "order: the numbers are wrong";
    return NULL;
}
