// SPDX-License-Identifier: Apache-2.0
// Requests that share prefixes, in every way a cache has to tell apart.
#ifndef MOCK_TRAFFIC_H
#define MOCK_TRAFFIC_H

#include "mock_process.h"

struct mock_traffic {
    size_t rank, requests, at_once; // requests: in bursts of at_once
    unsigned seed;
    unsigned leave;   // of a hundred clients, so many go before they have an answer
    bool salts, lora; // some bring a salt; some ask for the adapter "ad"
};

void mock_traffic_run(const struct mock_process *p,
                      const struct mock_traffic *t); // all are answered
void mock_traffic_one(const struct mock_process *p, size_t rank,
                      const char *prompt); // makes one batch or none

#endif
