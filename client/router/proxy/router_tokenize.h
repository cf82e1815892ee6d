// SPDX-License-Identifier: Apache-2.0
// Asking engines for the token ids of a prompt, for pools whose engines report blocks of ids.
//
// A request goes on whatever comes of this, without blocks if it must, so it never waits for long: an
// engine has TOKENS_MS, then another is asked, and that is all. Only engines with closed circuits are
// asked, in turn; one that didn't answer is left out for a while, and so is one that has no such path. A
// 404 that is about the model is no such answer: it is one client's mistake.
#ifndef ROUTER_TOKENS_H
#define ROUTER_TOKENS_H

#include <stdbool.h>

struct forwarded;

enum { TOKENS_MS = 300 };

// Whether anybody can be asked now.
bool tokens_can(const struct forwarded *f);
// Takes f->json; proxy_blocks_known comes in the end, perhaps at once.
void tokens_ask(struct forwarded *f);

#endif
