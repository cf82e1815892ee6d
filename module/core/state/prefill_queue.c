// SPDX-License-Identifier: Apache-2.0
#include "prefill_queue.h"

uint32_t core_prefill_instance(const struct core_request *r) {
    if (r->prefilled) return CORE_NO_INSTANCE;
    return !r->leg ? r->instance : r->leg->at_work ? r->leg->instance : CORE_NO_INSTANCE;
}

int64_t core_prefill_tokens(const struct core_request *r) {
    return r->leg ? r->leg->tokens : r->isl - r->cached;
}

void core_prefill_enqueue(struct core_instance *in, struct core_request *r) {
    in->prefill_tokens += (uint64_t)core_prefill_tokens(r);
    r->sooner = in->queue_last;
    *(r->sooner ? &r->sooner->later : &in->queue_first) = r;
    in->queue_last = r;
    in->queued++;
}

void core_prefill_dequeue(struct core_instance *in, struct core_request *r) {
    in->prefill_tokens -= (uint64_t)core_prefill_tokens(r);
    *(r->sooner ? &r->sooner->later : &in->queue_first) = r->later;
    *(r->later ? &r->later->sooner : &in->queue_last) = r->sooner;
    r->sooner = r->later = NULL;
    in->queued--;
}
