// SPDX-License-Identifier: Apache-2.0
// The order of those who wait: lines, their tags, and who is served next. See queue_state.h.
#ifndef CORE_FAIR_ORDER_H
#define CORE_FAIR_ORDER_H

#include "pool_state.h"

// The line of a flow (NULL: of none) in a class; NULL: there is none. core_line_take: or a new, empty one, which
// core_line_drop ends; NULL without memory.
struct core_line *core_line_find(const struct core_class *c, const struct core_flow *f);
struct core_line *core_line_take(struct kvr_pool *p, struct core_class *c, struct core_flow *f);
void core_line_drop(struct kvr_pool *p, struct core_line *l);

// 0: one more can wait in the line, and nothing that follows from it can fail.
int core_line_reserve(struct kvr_pool *p, struct core_line *l);
void core_line_add(struct kvr_pool *p, struct core_line *l, struct core_waiting *w); // behind all
// Takes w out. served: its charge in tokens, or -1: it wasn't served. The line may go, and with it its flow.
void core_line_remove(struct kvr_pool *p, struct core_waiting *w, int64_t served);
size_t core_line_index(const struct core_line *l, const struct core_waiting *w); // how many before

// Takes a line out of the order for a while, and back.
void core_line_park(struct kvr_pool *p, struct core_line *l, int64_t until);
void core_line_hold(struct kvr_pool *p, struct core_line *l);
void core_line_ready(struct kvr_pool *p, struct core_line *l);
void core_flow_ready(struct kvr_pool *p, struct core_flow *f); // all its lines
void core_parked_ready(struct kvr_pool *p, int64_t now);       // all whose time has come

// Whether the line's flow has been found over its limits.
bool core_line_stopped(const struct core_line *l);
// Whether one such is in a class of c's priority or above: who comes doesn't go before it.
bool core_flow_stopped(const struct core_flow *f, const struct core_class *c);

// A class gets another priority: who waits in it goes to the end of the other level's order.
void core_class_move(struct kvr_pool *p, struct core_class *c, int priority);
// Whether a comes before b, both waiting.
bool core_class_before(const struct core_class *a, const struct core_class *b);
uint64_t
core_class_first(const struct core_class *c); // the arrival of its oldest line's first request

// How far so many tokens take a tag.
double core_share_step(double tokens, double weight);
// The tags of a saved pool. number: of the last one that waited, for a line that only owes.
bool core_tag_good(double tag);
void core_line_load(struct kvr_pool *p, struct core_line *l, double tag, uint64_t number);
const char *core_order_validate(const struct kvr_pool *p);

#endif
