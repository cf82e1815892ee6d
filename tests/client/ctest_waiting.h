// SPDX-License-Identifier: Apache-2.0
// Calls that wait for room, and what has become of each.
#ifndef CTEST_WAITING_H
#define CTEST_WAITING_H

#include <kvroute/client.h>

enum { CTEST_WAITERS = 400 };

// The selections of one handle, "w000" and on. Freed by nobody: it is static where it is used.
struct ctest_waiters {
    struct kvr_client *client;
    struct ctest_waiter {
        struct ctest_waiters *all;
        char id[8];
        int answers;
        enum kvr_code code; // of the first answer
        bool degraded;
        int64_t number;
        unsigned sendings;
    } each[CTEST_WAITERS];
    size_t n, answered, answered_twice;
    int codes[KVR_CODE_CLOSED + 1];
    char order[CTEST_WAITERS * 5]; // ids in the order of their answers
};

// Begins n more selections that may wait so long (ms); fails the test where one isn't begun.
void ctest_waiters_begin(struct ctest_waiters *w, struct kvr_client *c, size_t n, int64_t wait);
void ctest_waiters_await(struct ctest_waiters *w, size_t answers);
// Until so many wait in the fake's queue, and the handle knows.
void ctest_waiters_await_queue(struct kvr_client *c, size_t waiting);

#endif
