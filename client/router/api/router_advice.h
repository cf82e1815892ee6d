// SPDX-License-Identifier: Apache-2.0
// Advice for frontends that talk to the engines themselves: the pool's commands as JSON over HTTP.
// docs/openapi.json has the forms.
#ifndef ROUTER_ADVICE_H
#define ROUTER_ADVICE_H

struct exchange;

void advise_select(struct exchange *x);
void advise_score(struct exchange *x);
void advise_update(struct exchange *x);
void advise_release(struct exchange *x);
void advise_report(struct exchange *x);

#endif
