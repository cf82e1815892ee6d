// SPDX-License-Identifier: Apache-2.0
// In SEND, before the rest of a stream is asked for: the engine is asked for the text of the last tokens, where it isn't
// certain that they end with what was sent: several came at once, of which the last may be half a
// character, or the engine that broke held text back because of stop strings.
#ifndef ROUTER_DETOKENIZE_H
#define ROUTER_DETOKENIZE_H

#include <stdbool.h>

#include "client/http1/h1_client.h"

struct router_request;

enum router_detokenized {
    ROUTER_DETOKENIZED_WELL,   // the rest can be asked for
    ROUTER_DETOKENIZED_NOT,    // it can't
    ROUTER_DETOKENIZED_FAILED, // the engine did, as `failure` says
    ROUTER_DETOKENIZED_NO_MEMORY,
};

bool router_detokenize_is_due(const struct router_request *r);
// Calls `answered` once, later, unless r->call is cancelled.
void router_detokenize_ask(struct router_request *r,
                           void (*answered)(struct router_request *r, enum router_detokenized how,
                                            enum h1_failure failure));

#endif
