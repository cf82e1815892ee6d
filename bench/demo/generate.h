// SPDX-License-Identifier: Apache-2.0
// Generated chats: conversations of several turns, each under one of a few system prompts.
#ifndef DEMO_GENERATE_H
#define DEMO_GENERATE_H

#include "bench/common/bench_workload.h"
#include "options.h"

void generate_chats(struct bench_workload *w, const struct options *o);

#endif
