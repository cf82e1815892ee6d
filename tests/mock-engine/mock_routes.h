// SPDX-License-Identifier: Apache-2.0
// Which function serves which path.
#ifndef MOCK_ROUTES_H
#define MOCK_ROUTES_H

#include "client/http1/h1_server.h"

void mock_routes_serve(struct h1_exchange *x);
void mock_routes_serve_side(struct h1_exchange *x); // at the port for other engines

#endif
