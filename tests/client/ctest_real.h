// SPDX-License-Identifier: Apache-2.0
// A real redis-server with the module, or a real Sentinel, and programs that talk to it. All of them
// die with the test process.
#ifndef CTEST_REAL_H
#define CTEST_REAL_H

#include <stddef.h>
#include <sys/types.h>

struct ctest_real {
    pid_t pid;
    int port;
};

// REDIS_SERVER and KVROUTE_MODULE go before what the build was told.
struct ctest_real ctest_real_server(void);
struct ctest_real ctest_real_sentinel(const struct ctest_real *primary, const char *master);
void ctest_real_stop(struct ctest_real *r);
void ctest_real_again(struct ctest_real *r); // a server that was stopped: empty, on the same port

// Runs a program to its end and returns its exit code; what it writes, to either stream, goes to out,
// cut to fit. Fails the test when it takes a minute.
int ctest_real_run(const char *const *argv, char *out, size_t size);

#endif
