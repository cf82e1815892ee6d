// SPDX-License-Identifier: Apache-2.0
#include "queue_round.h"

void core_queue_gained(struct kvr_pool *p, uint32_t instance) {
    struct core_queue *q = &p->queue;
    q->gained[++q->round % CORE_GAINED] = instance;
}

void core_queue_gained_all(struct kvr_pool *p) {
    p->queue.all_round = ++p->queue.round;
}

void core_queue_again(struct kvr_pool *p) {
    p->queue.scanned_round = p->queue.round - 1;
}
