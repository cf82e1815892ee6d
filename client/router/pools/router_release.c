// SPDX-License-Identifier: Apache-2.0
// See router_release.h.
#include "router_release.h"

#include <stdlib.h>
#include <string.h>

struct router_refused_release {
    struct router_refused_release *next;
    size_t n;
    char id[];
};

enum kvr_code router_release_send(struct router_releases *r, struct kvr_client *client,
                                  struct kvr_bytes id) {
    enum kvr_code code = kvr_client_release_async(client, &id, 1, NULL, NULL);
    if (code != KVR_CODE_FULL && code != KVR_CODE_NOMEM) return code;
    struct router_refused_release *kept = malloc(sizeof *kept + id.n);
    if (!kept) return code; // the booking ends with its lease
    memcpy(kept->id, id.p, id.n);
    kept->n = id.n;
    kept->next = r->first;
    r->first = kept;
    return code;
}

static void remove_first(struct router_releases *r) {
    struct router_refused_release *first = r->first;
    r->first = first->next;
    free(first);
}

void router_release_retry(struct router_releases *r, struct kvr_client *client) {
    while (r->first) {
        struct kvr_bytes id = {r->first->id, r->first->n};
        if (kvr_client_release_async(client, &id, 1, NULL, NULL) != KVR_CODE_OK) return;
        remove_first(r);
    }
}

void router_release_drop(struct router_releases *r) {
    while (r->first)
        remove_first(r);
}
