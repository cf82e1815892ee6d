// SPDX-License-Identifier: Apache-2.0
// Questions to DNS servers on the loop: c-ares, which asks again over TCP when an answer didn't fit into a
// datagram (libevent's own resolver doesn't, nor does it know SRV).
//
// A channel has the servers and search domains of resolv.conf as they were when it was made, so it is made anew for
// each round of questions: then what has changed there counts, and no socket outlives its answer.
#ifndef DNS_CHANNEL_H
#define DNS_CHANNEL_H

#include <event2/event.h>
#include <stdbool.h>
#include <stddef.h>

#include "dns_answer.h"

struct dns_channel;

// What came: n bytes of an answer; message NULL: none, as `status` of c-ares says.
typedef void dns_answered(void *ctx, int status, const unsigned char *message, size_t n);

// servers: HOST:PORT,…; "": those of resolv.conf. NULL with a reason, in `error`.
struct dns_channel *dns_channel_new(struct event_base *base, const char *servers,
                                    const char **error);
void dns_channel_free(
    struct dns_channel *c); // open questions aren't answered any more. NULL: nothing
// `done` is called once, perhaps at once; it may ask again, but not free the channel.
void dns_channel_ask(struct dns_channel *c, const char *name, enum dns_type type,
                     dns_answered *done, void *ctx);
// The i-th full name that a resolver would try for `name`, in its order; false: there are no more.
bool dns_channel_candidate(const struct dns_channel *c, const char *name, size_t i, char *out,
                           size_t size);
// Whether it is an answer, by a server that knows: there is nothing of that name, or not of that type.
bool dns_channel_is_empty(int status);
const char *dns_channel_text(int status);

#endif
