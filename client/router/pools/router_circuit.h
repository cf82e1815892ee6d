// SPDX-License-Identifier: Apache-2.0
// Which engines have failed.
//
// The circuit itself is the pool's, so that it holds for all routers (KVROUTE.REPORT): here is what this
// process has seen. A worker is a suspect from its first failure on until it has answered again; so good
// answers of all the others cost nothing. With so many failures in a row as the setting says the router itself
// doesn't choose it any more: that also holds while Redis is away.
//
// A suspect that couldn't be reached is probed with GET and the path of the setting `health`. A good answer
// counts as one; so does one that says it has no such path. One that answers 5xx isn't probed: that path says
// nothing about it, only a request can. One that says nothing is doubted: it is probed, and probes without an
// answer are failures. A check is a probe of an engine that nobody doubts; that it goes well tells nobody
// anything.
#ifndef ROUTER_CIRCUIT_H
#define ROUTER_CIRCUIT_H

#include <kvroute/types.h>
#include <stdbool.h>
#include <stddef.h>

struct router;
struct router_pool;
struct router_circuits;

// NULL: no memory.
struct router_circuits *router_circuits_new(struct router *r);
void router_circuits_free(struct router_circuits *c);

// reached: it has answered, and that was the failure.
void router_circuit_failed(struct router_circuits *c, struct router_pool *p,
                           struct kvr_bytes worker, const char *address, bool reached);
// It may be dead: it is probed, and a probe that fails is a failure of the engine.
void router_circuit_probe(struct router_circuits *c, struct router_pool *p, struct kvr_bytes worker,
                          const char *address);
// Nobody doubts it, but nobody has heard of it for long.
void router_circuit_check(struct router_circuits *c, struct router_pool *p, struct kvr_bytes worker,
                          const char *address);
void router_circuit_succeeded(struct router_circuits *c, struct router_pool *p,
                              struct kvr_bytes worker);
// Whether this process has seen so many failures of it that it isn't to be chosen.
bool router_circuit_is_open(const struct router_circuits *c, const struct router_pool *p,
                            struct kvr_bytes worker);
// Whether it has failed, as far as this process knows, and hasn't answered since.
bool router_circuit_is_suspect(const struct router_circuits *c, const struct router_pool *p,
                               struct kvr_bytes worker);
// Writes up to n names of workers of the pool that aren't to be chosen; returns how many.
size_t router_circuit_suspects(const struct router_circuits *c, const struct router_pool *p,
                               struct kvr_bytes *out, size_t n);

#endif
