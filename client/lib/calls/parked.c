// SPDX-License-Identifier: Apache-2.0
#include "parked.h"

#include <string.h>

enum {
    ACCEPT = 5000,        // ms, of a pool that doesn't say
    MAX_ASK_PAUSE = 2000, // ms between two askings of one call
    MIN_ASK_PAUSE = 40,   //
    UNTOLD = 5            // calls a ms, of those that aren't told, that ask
};

int kvr_parked_init(struct kvr_parked *p, const struct kvr_alloc *a, uint64_t secret) {
    *p = (struct kvr_parked){.alloc = a, .accept = ACCEPT};
    kvr_list_init(&p->line);
    return kvr_table_init(&p->table, a, secret);
}

void kvr_parked_free(struct kvr_parked *p) {
    if (!p->alloc) return; // it was never made
    kvr_table_free(&p->table);
    kvr_alloc_free(p->alloc, p->heap);
}

// ---- The line ------------------------------------------------------------------------------------

bool kvr_parked_reserve(struct kvr_parked *p) {
    return !kvr_alloc_grow(p->alloc, &p->heap, &p->heap_cap, p->n_line + 1, sizeof *p->heap);
}

void kvr_parked_join(struct kvr_parked *p, struct kvr_parked_call *w, struct kvr_bytes id) {
    w->in_line = true;
    w->twin = kvr_table_find(&p->table, id) != NULL;
    if (w->twin)
        w->item.key = id;
    else
        kvr_table_add(&p->table, &w->item, id);
    p->n_twins += w->twin;
    p->n_line++;
    kvr_list_push(&p->line, &w->line);
}

void kvr_parked_leave(struct kvr_parked *p, struct kvr_parked_call *w) {
    if (!w->in_line) return;
    w->in_line = false;
    if (!w->twin) kvr_table_remove(&p->table, &w->item);
    p->n_twins -= w->twin;
    p->waiting -= w->waits;
    p->n_line--;
    kvr_list_remove(&w->line);
}

static struct kvr_parked_call *call_of(const void *field, size_t offset) {
    return (struct kvr_parked_call *)(void *)((char *)(uintptr_t)field - offset);
}

struct kvr_parked_call *kvr_parked_find(const struct kvr_parked *p, struct kvr_bytes id,
                                        const struct kvr_parked_call *after) {
    if (!p->n_twins) {
        struct kvr_table_item *i = after ? NULL : kvr_table_find(&p->table, id);
        return i ? call_of(i, offsetof(struct kvr_parked_call, item)) : NULL;
    }
    for (const struct kvr_list_item *i = after ? after->line.next : p->line.next; i != &p->line;
         i = i->next) {
        struct kvr_parked_call *w = call_of(i, offsetof(struct kvr_parked_call, line));
        if (w->item.key.n == id.n && !memcmp(w->item.key.p, id.p, id.n)) return w;
    }
    return NULL;
}

// ---- The parked ones, a binary heap --------------------------------------------------------------

static void put(struct kvr_parked *p, size_t at, struct kvr_parked_call *w) {
    p->heap[at] = w;
    w->place = at;
}

static void rise(struct kvr_parked *p, size_t at, struct kvr_parked_call *w) {
    for (; at && p->heap[(at - 1) / 2]->until > w->until; at = (at - 1) / 2)
        put(p, at, p->heap[(at - 1) / 2]);
    put(p, at, w);
}

static void sink(struct kvr_parked *p, size_t at, struct kvr_parked_call *w) {
    for (size_t child; (child = 2 * at + 1) < p->n_heap; at = child) {
        if (child + 1 < p->n_heap && p->heap[child + 1]->until < p->heap[child]->until) child++;
        if (p->heap[child]->until >= w->until) break;
        put(p, at, p->heap[child]);
    }
    put(p, at, w);
}

void kvr_parked_add(struct kvr_parked *p, struct kvr_parked_call *w) {
    rise(p, p->n_heap++, w);
}

void kvr_parked_remove(struct kvr_parked *p, struct kvr_parked_call *w) {
    struct kvr_parked_call *last = p->heap[--p->n_heap];
    if (last == w) return;
    size_t at = w->place;
    if (at && p->heap[(at - 1) / 2]->until > last->until)
        rise(p, at, last);
    else
        sink(p, at, last);
}

struct kvr_parked_call *kvr_parked_first(const struct kvr_parked *p) {
    return p->n_heap ? p->heap[0] : NULL;
}

// ---- Turns ---------------------------------------------------------------------------------------

static int64_t within(int64_t v, int64_t low, int64_t high) {
    return v < low ? low : v > high ? high : v;
}

// A notification that is lost must not cost the booking, which lives for ACCEPT: twice in that time is
// early enough. Whoever is told nothing asks more often, as far as their number lets them.
static void bounds(const struct kvr_parked *p, bool subscribed, int64_t *low, int64_t *high) {
    int64_t most = within(p->accept * 2 / 5, MIN_ASK_PAUSE, MAX_ASK_PAUSE);
    *high = subscribed ? most : within((int64_t)p->n_heap / UNTOLD, most / 4, most);
    *low = *high / 2;
}

int64_t kvr_parked_turn_at(const struct kvr_parked *p, bool subscribed, int64_t asked_at) {
    int64_t low, high;
    bounds(p, subscribed, &low, &high);
    int64_t n = p->n_heap ? (int64_t)p->n_heap : 1, step = (high - low + n - 1) / n;
    return within(p->turn_at + step, asked_at + low, asked_at + high);
}

struct kvr_parked_turns kvr_parked_turns(struct kvr_parked *p, bool subscribed, int64_t now) {
    struct kvr_parked_turns t = {0};
    bounds(p, subscribed, &t.low, &t.high);
    int64_t since = within(now - p->turn_at, 0, t.high);
    t.allowed = (size_t)since * p->n_heap / (size_t)(t.high - t.low);
    if (t.allowed) p->turn_at = now;
    return t;
}

// ---- Commands ------------------------------------------------------------------------------------

void kvr_parked_put(struct kvr_wire *w, int64_t ms, const char *channel) {
    if (!ms) return;
    kvr_wire_word(w, "WAIT");
    kvr_wire_int(w, ms);
    if (!channel) return;
    kvr_wire_word(w, "NOTIFY");
    kvr_wire_word(w, channel);
}

void kvr_parked_prepare(const struct kvr_parked *p, struct kvr_parked_call *w,
                        struct kvr_command *command, const char *channel, int64_t now) {
    struct kvr_wire wire;
    int64_t left = w->until - now;
    if (left <= 0 && w->stage == KVR_WAIT_ON) w->stage = KVR_WAIT_LAST;
    w->notify = w->stage == KVR_WAIT_ON && !p->mute;
    w->asked_at = now;
    w->told = false; // what it was told before, it is about to see
    kvr_wire_reopen(&wire, p->alloc, command, w->tail, w->tail_argc, w->tail_most);
    kvr_parked_put(&wire, w->stage == KVR_WAIT_ON ? left : 0, w->notify ? channel : NULL);
    kvr_wire_reclose(&wire, command);
}

bool kvr_parked_withdraw(const struct kvr_parked *p, const char *pool,
                         const struct kvr_list_item *from, struct kvr_command *out, size_t most) {
    struct kvr_wire wire;
    kvr_wire_begin(&wire, p->alloc);
    kvr_wire_word(&wire, "KVROUTE.RELEASE");
    kvr_wire_word(&wire, pool);
    for (; most && from != &p->line; most--, from = from->next)
        kvr_wire_bytes(&wire, call_of(from, offsetof(struct kvr_parked_call, line))->item.key);
    return kvr_wire_end(&wire, out);
}
