// SPDX-License-Identifier: Apache-2.0
// The engines that this router finds (client/discovery), as workers of its pools: router_registration.h has the rules.
#ifndef ROUTER_FOUND_H
#define ROUTER_FOUND_H

#include "client/common/prometheus.h"
#include "router_registration.h"

struct router;
struct router_found;

// Begins to look, as the options say. NULL with a reason.
struct router_found *router_found_new(struct router *r, char *error, size_t error_size);
// After the options were replaced: sources that are new are looked at, what was found by those that are gone is lost.
// False with a reason: all is as it was.
bool router_found_reload(struct router_found *f, char *error, size_t error_size);
void router_found_free(struct router_found *f);

// The engines that are there, in no order: NULL for the first, then the last one; NULL: there are no more.
const struct router_registration *router_found_next(const struct router_found *f,
                                                    const struct router_registration *after);
struct router_found_trouble {
    const char *source, *text;
    size_t engines; // that are known
    int64_t since_us;
};
// The i-th of the sources that can't be read now. False: there are no more.
bool router_found_trouble(const struct router_found *f, size_t i, struct router_found_trouble *out);
void router_found_show(struct kvr_prom *p, const struct router_found *f);

#endif
