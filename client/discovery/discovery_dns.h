// SPDX-License-Identifier: Apache-2.0
// Engines as addresses of a name (A and AAAA), or as targets of its SRV records.
//
// Each round asks anew, `every` ms after the last, or when a TTL ends if that is sooner. A short name is tried with the
// search domains of resolv.conf, as resolvers do it; that is done here, because theirs takes a domain whose server
// fails for one that has no such name. The full name that once gave something is the only one asked for from then
// on, until nobody is known any more.
#ifndef DISCOVERY_DNS_H
#define DISCOVERY_DNS_H

#include "discovery_known.h"

// NULL: no memory, or a reason.
void *discovery_dns_new(struct event_base *base, struct discovery_known *k, char *error,
                        size_t error_size);
void discovery_dns_free(void *source);

#endif
