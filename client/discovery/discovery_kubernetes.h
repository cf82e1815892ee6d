// SPDX-License-Identifier: Apache-2.0
// Engines as endpoints of a Kubernetes service, from the API: a list of its EndpointSlices, then a watch from the
// list's version on, begun again each time it ends.
//
//     list ──200──> watch ──its end──> watch …
//      ^              └──410: its version is too old──┐
//      └──────────────────────────────────────────────┘        anything else: the same again, after a pause
//
// The service account's token is read anew for each request, since it is replaced within the hour; so a watch lasts
// a minute. Its certificate authority must have signed the API's certificate. It takes the rights to get, list and
// watch endpointslices in the namespace.
#ifndef DISCOVERY_KUBERNETES_H
#define DISCOVERY_KUBERNETES_H

#include "discovery_known.h"

// NULL: no memory, or not in a pod, with the reason.
void *discovery_kubernetes_new(struct event_base *base, struct discovery_known *k, char *error,
                               size_t error_size);
void discovery_kubernetes_free(void *source);

#endif
