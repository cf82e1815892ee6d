// SPDX-License-Identifier: Apache-2.0
#include "recovery.h"

#include <string.h>

#include "client/common/clock.h"

int kvr_recovery_init(struct kvr_recovery *r, const struct kvr_client_options *o) {
    struct kvr_context *c = r->context;
    r->degrade = o->degrade;
    r->refresh = o->refresh > 0 ? o->refresh : 1000;
    r->version = -1;
    r->lease = 300000; // what CREATE takes unless told otherwise
    r->repair_at = KVR_NEVER;
    if (o->create) r->create = kvr_alloc_copy(&c->alloc, o->create, strlen(o->create) + 1);
    int failed = kvr_remembered_init(&r->memory, &c->alloc, r, o, c->random);
    return o->create && !r->create ? -1 : failed;
}

bool kvr_recovery_create_with(struct kvr_recovery *r, const char *create) {
    char *copy = kvr_alloc_copy(&r->context->alloc, create, strlen(create) + 1);
    if (!copy) return false;
    kvr_alloc_free(&r->context->alloc, r->create);
    r->create = copy;
    return true;
}

void kvr_recovery_free(struct kvr_recovery *r) {
    if (!r->memory.alloc) return; // it was never made
    kvr_remembered_free(&r->memory);
    kvr_alloc_free(&r->context->alloc, r->create);
}

void kvr_recovery_soon(struct kvr_recovery *r) {
    r->repair_at = 0;
    kvr_context_wake(r->context, 0);
}

void kvr_recovery_history_lost(struct kvr_recovery *r) {
    kvr_remembered_unconfirm(&r->memory);
    r->context->stats.losses++;
    r->lost_at = kvr_clock_ms();
    r->new_history = true;
    kvr_recovery_soon(r);
}

bool kvr_recovery_coming_back(const struct kvr_recovery *r, int64_t now) {
    return r->lost_at && now - r->lost_at < KVR_COMING_BACK;
}
