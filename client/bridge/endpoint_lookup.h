// SPDX-License-Identifier: Apache-2.0
// The addresses of an endpoint's name, asked for on the loop. libzmq would ask within its own thread, which
// is one for all sockets: while a resolver is silent nothing would come of any engine.
//
// A name may have several addresses, of both families, and an engine be at one of them only (`localhost`,
// where that is ::1, too). So they take turns: whoever couldn't reach one asks for the next.
#ifndef BRIDGE_ENDPOINT_LOOKUP_H
#define BRIDGE_ENDPOINT_LOOKUP_H

#include <event2/dns.h>
#include <stdbool.h>

struct lookup_question;

struct bridge_lookup {
    void (*found)(void *ctx, const char *endpoint);
    void *ctx;
    unsigned turn;                    // which of the addresses, counted on
    struct lookup_question *question; // NULL: nothing is looked up
    char port[8];
};

// Whether an endpoint has to be looked up.
bool bridge_lookup_needed(const char *endpoint);
// Calls found once, perhaps before it returns: with the endpoint at the address whose turn it is, or NULL
// where the name has none. Without a resolver the C library is asked, and waited for.
void bridge_lookup_start(struct bridge_lookup *l, struct evdns_base *dns, const char *endpoint);
void bridge_lookup_cancel(struct bridge_lookup *l); // found isn't called any more

#endif
