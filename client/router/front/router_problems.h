// SPDX-License-Identifier: Apache-2.0
// What is wrong, in sentences, the worst first; and what was looked at when nothing is. Made here and not
// in the page, so that whoever reads /v1/status gets the same, and so that tests can.
//
// Three levels. bad: requests fail, or would if one thing more did. warning: it needs looking after. note: it
// is as somebody wants it, but worth knowing. "All is well" is: nothing bad, no warning.
#ifndef ROUTER_PROBLEMS_H
#define ROUTER_PROBLEMS_H

#include <jansson.h>

struct router;

// Of each worker that has one, up to a number; the rest of a kind is one sentence.
enum { ROUTER_PROBLEMS_MAX_WORKERS = 12 };

// [{"level", "what", "pool", "worker", "since_ms", "text"}]: no times in the text, so that it stays the same
// while nothing changes. since_ms: −1, not known.
json_t *router_problems(const struct router *r);
// [text]: what was looked at, in a sentence for each thing.
json_t *router_problems_checked(const struct router *r);

#endif
