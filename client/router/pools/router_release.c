// SPDX-License-Identifier: Apache-2.0
#include "router_release.h"

#include <stdlib.h>
#include <string.h>

#include "router_pools.h"

struct owed { // a release
    struct owed *next;
    size_t n;
    char id[];
};

void owed_count(struct pool *p, enum kvr_code code) {
    p->unsent += code != KVR_CODE_OK;
}

void owed_release(struct pool *p, struct kvr_bytes id) {
    enum kvr_code code = kvr_client_release_async(p->client, &id, 1, NULL, NULL);
    owed_count(p, code);
    if (code != KVR_CODE_FULL && code != KVR_CODE_NOMEM) return;
    struct owed *o = malloc(sizeof *o + id.n);
    if (!o) return; // it ends with its lease
    memcpy(o->id, id.p, id.n);
    o->n = id.n;
    o->next = p->owed;
    p->owed = o;
}

void owed_pay(struct pool *p) {
    for (struct owed *o; (o = p->owed);) {
        struct kvr_bytes id = {o->id, o->n};
        if (kvr_client_release_async(p->client, &id, 1, NULL, NULL) != KVR_CODE_OK) return;
        p->owed = o->next;
        free(o);
    }
}

void owed_forget(struct pool *p) {
    for (struct owed *o; (o = p->owed);) {
        p->owed = o->next;
        free(o);
    }
}
