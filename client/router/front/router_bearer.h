// SPDX-License-Identifier: Apache-2.0
// Who may use the router: whoever has one of the bearer tokens of token_file. Without that file,
// everybody may.
#ifndef ROUTER_BEARER_H
#define ROUTER_BEARER_H

#include <stdbool.h>
#include <stddef.h>

struct router_bearer;

// NULL with a reason: the file can't be read, or what is in it can't be used. path "": everybody may.
struct router_bearer *router_bearer_read(const char *path, char *error, size_t error_size);
void router_bearer_free(struct router_bearer *b);
// authorization: the header's value, NULL if there is none.
bool router_bearer_admits(const struct router_bearer *b, const char *authorization);

#endif
