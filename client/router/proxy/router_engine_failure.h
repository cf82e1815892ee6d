// SPDX-License-Identifier: Apache-2.0
// Which engine a failure is blamed on, and whether one is thought dead. What comes of it is the circuits'
// business (router_circuit.h).
//
// An engine that can't be reached has failed. An engine that failed after it had read the request may have
// failed because of the request. It is blamed only after another engine has answered the same request.
#ifndef ROUTER_ENGINE_FAILURE_H
#define ROUTER_ENGINE_FAILURE_H

#include <stdbool.h>
#include <stdint.h>

#include "router_retry.h"

struct router_request;

void router_failure_seen(struct router_request *r, enum router_failure what);
// This engine answers what another one failed with.
void router_failure_accused(struct router_request *r);
// Its queue is full: for a while it isn't chosen if another can be.
void router_failure_overloaded(struct router_request *r);

// The probes or the pool say that the engine that was chosen is dead.
bool router_failure_is_dead(const struct router_request *r);
// An engine that says nothing for long is probed.
void router_failure_silence(struct router_request *r, int64_t now);
void router_failure_heard(const struct router_request *r, int64_t now); // it has said something

#endif
