// SPDX-License-Identifier: Apache-2.0
#include "prediction.h"

#include "instance.h"

// ---- Slots ---------------------------------------------------------------------------------------

static struct core_prediction_slot *slot_new(struct kvr_pool *p) {
    if (p->free_slot) {
        struct core_prediction_slot *s = p->slots[p->free_slot - 1];
        p->free_slot = s->next;
        return s;
    }
    size_t n = p->n_slots + 1;
    if (core_mem_grow(&p->mem, &p->slots, &p->cap_slots, n,
                      sizeof(struct core_prediction_slot *)) ||
        core_mem_grow(&p->mem, &p->slot_instance, &p->cap_slot_instance, n, sizeof(uint32_t)) ||
        core_deadlines_reserve_all(&p->predictions, n))
        return NULL;
    struct core_prediction_slot *s = core_mem_calloc(&p->mem, sizeof *s);
    if (!s) return NULL;
    s->number = (uint32_t)p->n_slots;
    p->slots[p->n_slots++] = s;
    return s;
}

static struct core_prediction_slot *slot_of(struct kvr_pool *p, uint32_t instance) {
    struct core_instance *in = &p->instances[instance];
    if (in->predictions) return in->predictions;
    struct core_prediction_slot *s = slot_new(p);
    if (!s) return NULL;
    p->slot_instance[s->number] = instance;
    in->predictions = s;
    return s;
}

static void slot_free(struct kvr_pool *p, struct core_prediction_slot *s) {
    p->slot_instance[s->number] = CORE_NO_INSTANCE;
    s->next = p->free_slot;
    p->free_slot = s->number + 1;
}

static bool is_dropped(const struct kvr_pool *p, const struct core_prediction_slot *s) {
    return p->slot_instance[s->number] == CORE_NO_INSTANCE;
}

// Among those of the same number. A pair's booking has two: that of the answer goes first.
static uint64_t turn_of(const struct core_prediction *f) {
    return (uint64_t)f->until * 2 + f->of_leg;
}

// Another one is its oldest. Room was reserved.
static void watch(struct kvr_pool *p, struct core_prediction_slot *s) {
    core_deadlines_remove(&p->predictions, &s->due);
    if (!s->oldest || is_dropped(p, s)) return;
    s->due.number = turn_of(s->oldest);
    core_deadlines_add(&p->predictions, &s->due, (int64_t)s->oldest->number);
}

// ---- Predictions ---------------------------------------------------------------------------------

// Its booking's pointer to it.
static struct core_prediction **own_of(const struct core_prediction *f) {
    return f->of_leg ? &f->request->leg->prediction : &f->request->prediction;
}

enum kvr_err core_prediction_add(struct kvr_pool *p, uint32_t instance, const uint64_t *hashes,
                                 size_t n, int64_t until, uint64_t number, struct core_request *of,
                                 bool of_leg) {
    uint64_t capacity = p->instances[instance].worker->capacity, fresh;
    if (capacity && n > capacity) n = capacity; // a head of it is still a prefix
    if (!n) return KVR_OK;
    struct core_prediction_slot *s = slot_of(p, instance);
    struct core_prediction *f = s ? core_mem_calloc(&p->mem, sizeof *f) : NULL;
    if (!f) return KVR_NOMEM;
    if (core_live_add(&p->predicted, s->number, hashes, n, &f->end, &fresh)) {
        core_mem_free(&p->mem, f, sizeof *f);
        return KVR_NOMEM;
    }
    f->slot = s;
    f->blocks = (uint32_t)n;
    f->of_leg = of_leg;
    f->request = of;
    if (of) *own_of(f) = f;
    f->number = number;
    f->until = until;
    f->prev = s->newest;
    *(f->prev ? &f->prev->next : &s->oldest) = f;
    s->newest = f;
    s->blocks += fresh;
    if (!f->prev) watch(p, s);
    return KVR_OK;
}

// At most the worker's capacity stays, the newest.
void core_predictions_cap(struct kvr_pool *p, uint32_t instance) {
    const struct core_instance *in = &p->instances[instance];
    uint64_t capacity = in->worker->capacity;
    while (capacity && in->predictions && in->predictions->blocks > capacity)
        core_prediction_end(p, in->predictions->oldest);
}

void core_prediction_end(struct kvr_pool *p, struct core_prediction *f) {
    struct core_prediction_slot *s = f->slot;
    *(f->prev ? &f->prev->next : &s->oldest) = f->next;
    *(f->next ? &f->next->prev : &s->newest) = f->prev;
    uint64_t gone = core_live_remove(&p->predicted, s->number, f->end);
    s->blocks -= gone;
    if (is_dropped(p, s))
        p->dropped_predicted -= gone;
    else
        core_instance_refresh(p, p->slot_instance[s->number]);
    if (!f->prev) watch(p, s);
    if (f->request) *own_of(f) = NULL;
    core_mem_free(&p->mem, f, sizeof *f);
}

void core_predictions_drop(struct kvr_pool *p, uint32_t instance) {
    struct core_prediction_slot *s = p->instances[instance].predictions;
    if (!s) return;
    p->instances[instance].predictions = NULL;
    if (!s->oldest) {
        slot_free(p, s);
        return;
    }
    p->slot_instance[s->number] = CORE_NO_INSTANCE;
    p->dropped_predicted += s->blocks;
    watch(p, s);
    s->next = p->dropped_slots;
    p->dropped_slots = s->number + 1;
}

bool core_predictions_sweep(struct kvr_pool *p, size_t max) {
    size_t done = 0;
    while (p->dropped_slots && done < max) {
        struct core_prediction_slot *s = p->slots[p->dropped_slots - 1];
        for (; s->oldest && done < max; done++) {
            done += s->oldest->blocks / CORE_BLOCKS_A_UNIT;
            core_prediction_end(p, s->oldest);
        }
        if (s->oldest) break;
        p->dropped_slots = s->next;
        slot_free(p, s);
    }
    return p->dropped_slots != 0;
}

void core_predictions_free(struct kvr_pool *p) {
    for (size_t i = 0; i < p->n_slots; i++) {
        for (struct core_prediction *f = p->slots[i]->oldest, *next; f; f = next) {
            next = f->next;
            core_mem_free(&p->mem, f, sizeof *f);
        }
        core_mem_free(&p->mem, p->slots[i], sizeof *p->slots[i]);
    }
    core_mem_free(&p->mem, p->slots, p->cap_slots * sizeof(struct core_prediction_slot *));
    core_mem_free(&p->mem, p->slot_instance, p->cap_slot_instance * sizeof *p->slot_instance);
    core_live_free(&p->predicted);
    core_deadlines_free(&p->predictions);
}

// ---- Time ----------------------------------------------------------------------------------------

// Those of dropped slots aren't in the heap.
static struct core_prediction *first_prediction(const struct kvr_pool *p) {
    const char *due = (const char *)core_deadlines_first(&p->predictions);
    if (!due) return NULL;
    return ((const struct core_prediction_slot *)(due - offsetof(struct core_prediction_slot, due)))
        ->oldest;
}

static bool is_over(const struct kvr_pool *p, const struct core_prediction *f, int64_t now) {
    bool renewed = p->renewed && f->number <= p->renewed_bookings;
    return (renewed ? p->renewed + p->options.predict : f->until) <= now;
}

bool kvr_due_prediction(const struct kvr_pool *p, int64_t now) {
    const struct core_prediction *first = first_prediction(p);
    return first && is_over(p, first, now);
}

size_t kvr_forget(struct kvr_pool *p, int64_t at, size_t max) {
    size_t n = 0;
    for (struct core_prediction *f; n < max && (f = first_prediction(p)) && is_over(p, f, at); n++)
        core_prediction_end(p, f);
    if (n) p->version++;
    return n;
}

// ---- Invariants ----------------------------------------------------------------------------------

static const char *check_slot(const struct kvr_pool *p, const struct core_prediction_slot *s) {
    const struct core_prediction *before = NULL;
    for (const struct core_prediction *f = s->oldest; f; before = f, f = f->next) {
        if (f->prev != before || f->slot != s) return "prediction: a slot's links are wrong";
        if (f->request && *own_of(f) != f) return "prediction: of another request";
    }
    if (s->newest != before) return "prediction: the end of a slot is wrong";
    if (!s->oldest && s->blocks) return "prediction: blocks without a booking";
    bool watched = s->oldest && !is_dropped(p, s);
    if (watched != !!s->due.place) return "prediction: a slot that nobody watches";
    if (watched && (s->due.at != (int64_t)s->oldest->number || s->due.number != turn_of(s->oldest)))
        return "prediction: another's turn";
    if (!is_dropped(p, s) && p->instances[p->slot_instance[s->number]].predictions != s)
        return "prediction: a slot isn't its instance's";
    return NULL;
}

const char *core_predictions_validate(const struct kvr_pool *p) {
    const char *wrong = core_live_validate(&p->predicted);
    if (!wrong) wrong = core_deadlines_validate(&p->predictions);
    uint64_t blocks = 0, dropped = 0, listed = 0;
    for (size_t i = 0; i < p->n_slots && !wrong; i++) {
        const struct core_prediction_slot *s = p->slots[i];
        if (s->number != i) return "prediction: a slot has another's number";
        wrong = check_slot(p, s);
        blocks += s->blocks;
        if (is_dropped(p, s)) dropped += s->blocks;
    }
    if (wrong) return wrong;
    for (uint32_t next = p->dropped_slots; next; next = p->slots[next - 1]->next)
        listed += p->slots[next - 1]->blocks;
    if (blocks != p->predicted.blocks || dropped != p->dropped_predicted || listed != dropped)
        return "prediction: the number of blocks is wrong";
    return NULL;
}
