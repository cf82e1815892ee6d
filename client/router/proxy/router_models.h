// SPDX-License-Identifier: Apache-2.0
// GET /v1/models, and of one of them /v1/models/NAME: what engines say that they serve. One engine of each pool is asked, and all is put
// together, with what its neighbours have said before (router_checks.h). When one can't say, the next is
// asked, those with open circuits last. Of a pool whose engines are all silent the models that the settings
// name are listed. When nobody says anything but that the client's key isn't good, the client gets that.
#ifndef ROUTER_MODELS_H
#define ROUTER_MODELS_H

struct router_exchange;

void router_models_list(struct router_exchange *x);

#endif
