// SPDX-License-Identifier: Apache-2.0
// The access log: one line of JSON for each request. What a request asks and what is answered isn't in
// it, only sizes, times and where it went.
#ifndef ROUTER_ACCESS_H
#define ROUTER_ACCESS_H

#include <stdbool.h>
#include <stddef.h>

struct router;
struct router_exchange;
struct router_access_log;

// path as in the option; NULL with a reason.
struct router_access_log *router_access_new(struct router *r, char *error, size_t error_size);
// Opens the file again, under the name that the options have now.
bool router_access_reload(struct router_access_log *a, char *error, size_t error_size);
void router_access_free(struct router_access_log *a);
void router_access_done(struct router *r, const struct router_exchange *x);

#endif
