// SPDX-License-Identifier: Apache-2.0
// Labels of workers that mean something to routers, beside those that say what a worker serves (router_served.h). They
// are the routers' own: nobody else is to give them.
//
//   by=…         registered by POST /kvroute/workers, see router_shared_engines.h
//   discovery=…  drained by a router that found it, see router_registration.h
#ifndef ROUTER_LABELS_H
#define ROUTER_LABELS_H

#include "router_worker.h"

// Any router renews it; instead of that, of a worker that is to be removed when it is idle.
extern const char router_label_http[], router_label_leaving[];

bool router_label_is_own(const char *label);
bool router_label_is_mark(const char *label); // discovery=…
// Whether the worker has this label, the whole of it.
bool router_label_is(const struct router_worker *w, const char *label);
// Whether it joined by HTTP, and is there or leaving.
bool router_label_is_shared(const struct router_worker *w);

#endif
