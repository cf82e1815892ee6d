// SPDX-License-Identifier: Apache-2.0
// Which engine a failure is blamed on, and whether one is thought dead. What comes of it is the circuits'
// business (router_circuit.h).
//
// An engine that can't be reached has failed. One that has read the request may have failed because of it:
// whose fault it was is only known when another engine has had the request, too.
#ifndef ROUTER_BLAME_H
#define ROUTER_BLAME_H

#include <stdbool.h>
#include <stdint.h>

#include "router_retry.h"

struct router_request;

void router_blame_failure(struct router_request *r, enum router_failure what);
// This engine answers what another one failed with.
void router_blame_accused(struct router_request *r);
// Its queue is full: for a while it isn't chosen if another can be.
void router_blame_full(struct router_request *r);

// The probes or the pool say that the engine that was chosen is dead.
bool router_blame_is_dead(const struct router_request *r);
// An engine that says nothing for long is probed.
void router_blame_silence(struct router_request *r, int64_t now);
void router_blame_heard(const struct router_request *r, int64_t now); // it has said something

#endif
