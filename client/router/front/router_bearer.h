// SPDX-License-Identifier: Apache-2.0
// Who may do what: a bearer token of token_file is of one or more classes, and each route is for some. Without
// that file, everybody is of all classes.
//
//     # CLASS … [class=NAME,…] [flow=NAME] TOKEN
//     user s3cret-1
//     frontend operator s3cret-2
//     s3cret-3                      a user's
//     user class=batch flow=acme s3cret-4
//
// class and flow are those of the pool's queue (router_tenant.h).
#ifndef ROUTER_BEARER_H
#define ROUTER_BEARER_H

#include <stdbool.h>
#include <stddef.h>

#include "client/router/router_exchange.h"
#include "client/router/router_tenant.h"

struct router_bearer;

// NULL with a reason: the file can't be read, or what is in it can't be used. path "": everybody may.
struct router_bearer *router_bearer_read(const char *path, char *error, size_t error_size);
void router_bearer_free(struct router_bearer *b);
bool router_bearer_is_open(const struct router_bearer *b); // to everybody
// The classes that this header's value (NULL: there is none) makes its sender; 0: none. *tenant: whom it stands
// for, the list's own; NULL: nobody. tenant may be NULL.
unsigned router_bearer_classes(const struct router_bearer *b, const char *authorization,
                               struct router_tenant **tenant);
// The same for a token alone, as Anthropic's clients send it in X-Api-Key.
unsigned router_bearer_key_classes(const struct router_bearer *b, const char *value,
                                   struct router_tenant **tenant);
// What a token that is of none of these classes is told.
const char *router_bearer_lacks(unsigned classes);

#endif
