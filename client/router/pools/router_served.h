// SPDX-License-Identifier: Apache-2.0
// Which models engines serve. An engine says so in its /v1/models (router_checks.h asks), or somebody in
// the worker's labels: model=NAME, adapter=NAME. Of what nobody has said anything it isn't known.
//
// An adapter is a model whose entry has a `parent`. Its blocks have hashes of their own (hash.h), so it must
// be known as one. Some engines take base:adapter as its name, too.
//
// A request may go to those that are known to serve its model; if there are none, to those of which it isn't
// known; if there are none of these either, to all: then it is the settings that say that the pool has it. Of two
// engines for one request, one may have said what it serves before the other: so those that can answer are looked at
// apart from those that can prefill.
#ifndef ROUTER_SERVED_H
#define ROUTER_SERVED_H

#include "router_pool.h"

enum router_served { ROUTER_SERVED_NOT, ROUTER_SERVED_UNKNOWN, ROUTER_SERVED_YES };

// The most that is true of any worker of the pool; UNKNOWN if it has none.
enum router_served router_served_in(const struct router_pool *p, const char *model);
// How much must be true of a worker that answers, and of one that prefills, for a request for the model to go there.
struct router_served_levels {
    enum router_served answer, prefill;
};
struct router_served_levels router_served_levels(const struct router_pool *p,
                                                 const char *model); // NULL: none is named
bool router_served_fits(const struct router_worker *w, const char *model,
                        struct router_served_levels levels);
// The names of those that it may go to; *names NULL: all. To be freed; the texts are the workers'. False: no
// memory.
bool router_served_among(const struct router_pool *p, const char *model, struct kvr_bytes **names,
                         size_t *n);
// The adapter that the model is, a part of `model`; empty: it is none.
struct kvr_bytes router_served_adapter(const struct router_pool *p, const char *model);
// Takes what the worker's /v1/models says (router_model_list.h). False: that is no list of models, or an empty
// one; nothing has changed.
bool router_served_take(const struct router_pool *p, struct router_worker *w, json_t *models);

#endif
