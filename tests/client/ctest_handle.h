// SPDX-License-Identifier: Apache-2.0
// One server that is played, and handles on it that count their memory: for suites of many small tests.
#ifndef CTEST_HANDLE_H
#define CTEST_HANDLE_H

#include <kvroute/client.h>

#include "fake_server.h"
#include "tests/support/support_alloc.h"

extern struct fake_server *ctest_server;
extern struct support_alloc ctest_memory;

// A suite's .init and .fini. The latter closes what is open, and fails the test where a handle has left
// memory behind.
void ctest_start(void);
void ctest_stop(void);

// A handle on that server with these settings in its URL; uses ctest_memory.
struct kvr_client *ctest_open(struct kvr_client_options o, const char *settings);
// Settings of one that gives up soon, but not on a server that stood still for a moment.
#define CTEST_HASTY "deadline=1500&timeout=1000&connect_timeout=1000"
enum { CTEST_HASTY_MS = 1500 };
// Until one that degrades knows the workers.
void ctest_await_workers(struct kvr_client *c);
void ctest_close(struct kvr_client *c); // before the test's end

void ctest_run(struct kvr_client *c, int64_t ms);
// Has the server gone, as far as this handle knows. fake_heal() brings it back.
void ctest_without_server(struct kvr_client *c);
void ctest_expect(const struct kvr_result *r, enum kvr_code want);
void ctest_expect_said(const char *command,
                       const char *want); // the last one heard that has this name

// Two blocks, which the server's first worker holds.
extern const uint64_t ctest_hashes[2];
struct kvr_select_call ctest_selection(const char *id);

// Callbacks that count answers, by code.
struct ctest_answers {
    struct kvr_client *client;
    int n, codes[KVR_CODE_CLOSED + 1];
};
void ctest_count(void *ctx, const struct kvr_result *r);
void ctest_await(struct kvr_client *c, const struct ctest_answers *h, int answers);

#endif
