// SPDX-License-Identifier: Apache-2.0
// Looking after engines while nobody asks for anything:
//   - each worker of each pool is asked for its /v1/models every `learn` ms: which models it serves
//     (router_served.h). One that doesn't answer serves what it served;
//   - of pools whose prompts engines make ids of, each is asked now and then whether it renders whole
//     requests (router_tokenize.h);
//   - engines that routers register (router_own_engines.h, router_found.h, router_shared_engines.h) are probed
//     when they have said nothing for `check` ms. A probe that fails is a failure of the engine
//     (router_circuit.h). One that is answering somebody isn't probed: it may be too busy for that.
#ifndef ROUTER_CHECKS_H
#define ROUTER_CHECKS_H

struct router;
struct router_checks;
struct router_circuits;

// NULL: no memory.
struct router_checks *router_checks_new(struct router *r, struct router_circuits *c);
void router_checks_free(struct router_checks *k);
// A model was asked for that nobody is known to serve: engines are asked soon whether they do now.
void router_checks_hurry(struct router_checks *k);

#endif
