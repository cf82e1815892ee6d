// SPDX-License-Identifier: Apache-2.0
// The engines of this router's settings: their workers, renewed three times in `ttl` whatever the engines do
// (router_checks.h finds out whether they are well), and what they say of themselves.
//
// A worker is registered at once, with what the settings say. What they leave open is asked of the engine
// (router_asked_engine.h); it is only told to the pool when the engine has said it, so a router that has just started
// takes no ranks away from an engine that doesn't answer right now. Settings go before what engines say; with `learn` 0
// none is asked.
//
// A pool that is to be created, but for whose options nobody has said how large blocks are, is created when one of
// its engines has said that, or has answered and doesn't say it.
#ifndef ROUTER_OWN_ENGINES_H
#define ROUTER_OWN_ENGINES_H

struct router;
struct router_own_engines;

// When the router has its pools and its connections to engines. NULL: no memory.
struct router_own_engines *router_own_engines_new(struct router *r);
void router_own_engines_free(struct router_own_engines *s); // before these connections go
// The router's options were replaced, and its pools are those that they name.
void router_own_engines_reload(struct router_own_engines *s);

#endif
