// SPDX-License-Identifier: Apache-2.0
// Rings of items: a head and whatever is in the list, each with a link as its first field.
#ifndef KVR_LIB_LIST_H
#define KVR_LIB_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct item {
    struct item *prev, *next;
};

static inline void list_init(struct item *head) {
    head->prev = head->next = head;
}

static inline bool list_empty(const struct item *head) {
    return head->next == head;
}

static inline void list_insert(struct item *before, struct item *i) {
    i->prev = before->prev;
    i->next = before;
    before->prev->next = i;
    before->prev = i;
}

static inline void list_push(struct item *head, struct item *i) { // at the end
    list_insert(head, i);
}

static inline void list_unshift(struct item *head, struct item *i) { // at the front
    list_insert(head->next, i);
}

static inline void list_remove(struct item *i) {
    i->prev->next = i->next;
    i->next->prev = i->prev;
    i->prev = i->next = i;
}

static inline struct item *list_first(const struct item *head) { // NULL: empty
    return list_empty(head) ? NULL : head->next;
}

static inline struct item *list_pop(struct item *head) {
    struct item *i = list_first(head);
    if (i) list_remove(i);
    return i;
}

// Moves all of `from` in front of what `to` has.
static inline void list_splice(struct item *to, struct item *from) {
    if (list_empty(from)) return;
    from->prev->next = to->next;
    to->next->prev = from->prev;
    to->next = from->next;
    from->next->prev = to;
    list_init(from);
}

#endif
