// SPDX-License-Identifier: Apache-2.0
// The EndpointSlices of a service: a service has several, and its engines are what is in any of them.
//
// An endpoint that terminates, or isn't ready, is leaving: it gets nothing new. One of which the API doesn't
// say whether it is ready counts as ready.
#ifndef KUBERNETES_SLICES_H
#define KUBERNETES_SLICES_H

#include <jansson.h>

#include "discovery_known.h"

struct kubernetes_slices {
    struct kvr_list_item all;
    size_t n;
    unsigned listing; // which list they were last in
};

void kubernetes_slices_init(struct kubernetes_slices *s);
void kubernetes_slices_free(struct kubernetes_slices *s);

// A list comes in parts: what isn't put between these two isn't there any more.
void kubernetes_slices_begin(struct kubernetes_slices *s);
void kubernetes_slices_end(struct kubernetes_slices *s);
// Takes a slice as the API tells it, in place of the one of that name. port: number or name; "": the first that
// the slice has. False: it is none, there are too many, or no memory.
bool kubernetes_slices_put(struct kubernetes_slices *s, const json_t *slice, const char *port);
void kubernetes_slices_remove(struct kubernetes_slices *s, const json_t *slice);
// Tells what is in all of them as one answer.
void kubernetes_slices_tell(const struct kubernetes_slices *s, struct discovery_known *k);

#endif
