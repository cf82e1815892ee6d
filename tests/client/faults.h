// SPDX-License-Identifier: Apache-2.0
// Every way in which a server is let misbehave, and what a handle may say about it.
#ifndef CLIENT_FAULTS_H
#define CLIENT_FAULTS_H

#include "fake.h"

struct misdeed {
    struct fault fault;
    unsigned codes; // 1 << code, besides OK, that calls may be answered when it happens once
    bool stays;     // makes sense only until it is healed
};

extern const struct misdeed *const misdeeds;
extern const size_t n_misdeeds;

#endif
