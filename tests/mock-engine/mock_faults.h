// SPDX-License-Identifier: Apache-2.0
// Faults on request: POST /mock/fault?kind=…, see docs/mock-engine.md for what there is.
#ifndef MOCK_FAULTS_H
#define MOCK_FAULTS_H

#include "mock_engine.h"

void mock_faults_init(struct mock_engine *m);
void mock_faults_free(struct mock_engine *m);

#endif
