// SPDX-License-Identifier: Apache-2.0
// Between the fake's two halves: fake_server.c listens and misbehaves, fake_pool.c knows the right answers.
#ifndef FAKE_POOL_H
#define FAKE_POOL_H

#include "fake_parts.h"

// What node `node` says to a command. argc may be more than FAKE_WORDS, of which no more are given.
// asking: the connection's ASKING, which holds for the next command.
void fake_pool_answer(struct fake_pool *p, int node, bool *asking, const struct fake_word *argv,
                      size_t argc, struct fake_buf *out);
void fake_pool_forget(struct fake_pool *p);

#endif
