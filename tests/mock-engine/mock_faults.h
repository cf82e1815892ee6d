// SPDX-License-Identifier: Apache-2.0
// Faults on request: POST /mock/fault?kind=…, see docs/mock-engine.md for what there is.
#ifndef MOCK_FAULTS_H
#define MOCK_FAULTS_H

#include "mock_engine.h"

void mock_faults_init(struct mock_engine *m);
void mock_faults_free(struct mock_engine *m);

void mock_serve_fault(struct mock_engine *m, struct h1_exchange *x);
void mock_serve_batch(struct mock_engine *m,
                      struct h1_exchange *x); // publishes the body as a batch

#endif
