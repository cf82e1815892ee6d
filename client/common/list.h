// SPDX-License-Identifier: Apache-2.0
// Rings of items: a head and whatever is in the list, each with a link as its first field.
#ifndef KVR_COMMON_LIST_H
#define KVR_COMMON_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct kvr_list_item {
    struct kvr_list_item *prev, *next;
};

static inline void kvr_list_init(struct kvr_list_item *head) {
    head->prev = head->next = head;
}

static inline bool kvr_list_empty(const struct kvr_list_item *head) {
    return head->next == head;
}

static inline void kvr_list_insert(struct kvr_list_item *before, struct kvr_list_item *i) {
    i->prev = before->prev;
    i->next = before;
    before->prev->next = i;
    before->prev = i;
}

static inline void kvr_list_push(struct kvr_list_item *head,
                                 struct kvr_list_item *i) { // at the end
    kvr_list_insert(head, i);
}

static inline void kvr_list_unshift(struct kvr_list_item *head,
                                    struct kvr_list_item *i) { // at the front
    kvr_list_insert(head->next, i);
}

static inline void kvr_list_remove(struct kvr_list_item *i) {
    i->prev->next = i->next;
    i->next->prev = i->prev;
    i->prev = i->next = i;
}

static inline struct kvr_list_item *
kvr_list_first(const struct kvr_list_item *head) { // NULL: empty
    return kvr_list_empty(head) ? NULL : head->next;
}

static inline struct kvr_list_item *kvr_list_pop(struct kvr_list_item *head) {
    struct kvr_list_item *i = kvr_list_first(head);
    if (i) kvr_list_remove(i);
    return i;
}

// Moves all of `from` in front of what `to` has.
static inline void kvr_list_splice(struct kvr_list_item *to, struct kvr_list_item *from) {
    if (kvr_list_empty(from)) return;
    from->prev->next = to->next;
    to->next->prev = from->prev;
    to->next = from->next;
    from->next->prev = to;
    kvr_list_init(from);
}

#endif
