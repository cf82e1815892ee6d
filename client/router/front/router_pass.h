// SPDX-License-Identifier: Apache-2.0
// The setting `pass`: paths that go to an engine as they come, though the router knows nothing of them.
#ifndef ROUTER_PASS_H
#define ROUTER_PASS_H

#include <stdbool.h>

// pass: paths separated by spaces, each with all below it; *: all, but for the router's own and those by which engines
// are managed. What an engine may read as another path than the router (.. and the like) never passes.
bool router_pass_admits(const char *pass, const char *path);

// Whether an engine, or a proxy before it, may read it as another path: .., empty parts, a backslash, a fragment, and %XX
// for letters, digits, dots, slashes and the like. Such a path goes to no engine.
bool router_pass_is_ambiguous(const char *path);

#endif
