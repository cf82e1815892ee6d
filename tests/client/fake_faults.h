// SPDX-License-Identifier: Apache-2.0
// Every way in which a server is let misbehave, and what a handle may say about it.
#ifndef FAKE_FAULTS_H
#define FAKE_FAULTS_H

#include "fake_server.h"

struct fake_misdeed {
    unsigned codes; // 1 << code, besides OK, that calls may be answered when it happens once
    struct fake_fault fault; // FAKE_FAULT_DIE makes sense only until it is healed
};

extern const struct fake_misdeed *const fake_misdeeds;
extern const size_t fake_n_misdeeds;

// One of them by chance, and whether it stays, for handles that go through many: none that refuses (a RELEASE that is
// refused isn't carried out), shifts the answers, or lies: a number may be a right answer and yet not the truth.
const struct fake_fault *fake_draw_fault(uint64_t *random, bool *stays);

#endif
