// SPDX-License-Identifier: Apache-2.0
// /v1/score, which two APIs have: advice, which had it first here, and what engines make of pairs of texts. It goes to
// an engine if its body has one of their fields, and is advice otherwise, or where no engines are to be had.
#ifndef ROUTER_SCORE_H
#define ROUTER_SCORE_H

struct router_exchange;

void router_score(struct router_exchange *x);

#endif
