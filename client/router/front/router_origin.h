// SPDX-License-Identifier: Apache-2.0
// Requests that a web page makes its visitor's browser send. Where no token is needed, these are all that stands
// between any page on the web and a router on the machine of who looks at it, or in his network.
//
//   Origin        that isn't this router's own: a page of another place
//   Host          a name from the public DNS at a loopback address: such a name can be made to point there
//                 ("DNS rebinding"), and then page and router have one origin
//   Content-Type  a page can send others without asking first, but not application/json. Where nothing of the
//                 pool's is changed, none will do: clients that are no browsers leave it out, and these send
//                 an Origin
#ifndef ROUTER_ORIGIN_H
#define ROUTER_ORIGIN_H

#include <stdbool.h>

#include "client/http1/h1_server.h"

struct router_refusal {
    int status;
    const char *code, *message; // code NULL: nothing is refused
};

// names: that the router has, separated by spaces; *: all. known: the setting `cors` names the page's origin.
struct router_refusal router_origin_check(const struct h1_exchange *x, const char *names,
                                          bool known);
// Of a request with a body: whether that says to be JSON. lenient: it may say nothing.
struct router_refusal router_origin_check_type(const struct h1_head *head, bool lenient);

#endif
