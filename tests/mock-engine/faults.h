// SPDX-License-Identifier: Apache-2.0
// Faults on request: POST /mock/fault?kind=…, see docs/mock-engine.md for what there is.
#ifndef MOCK_FAULTS_H
#define MOCK_FAULTS_H

#include "mock.h"

void faults_init(struct mock *m);
void faults_free(struct mock *m);

#endif
