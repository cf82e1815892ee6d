// SPDX-License-Identifier: Apache-2.0
// What the demo was asked to do.
#ifndef DEMO_OPTIONS_H
#define DEMO_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { MAX_ROUTERS = 64, MAX_WORKERS = 256, MAX_MOCKS = 16 };

struct options {
    unsigned routers, workers;
    size_t capacity;     // blocks a worker; 0: what suits the workload
    const char *trace;   // a file in Mooncake's form; NULL: a generated workload
    unsigned block_size; // tokens
    size_t requests;     // at most; 0: the whole trace, or what suits a generated workload
    uint64_t seed;
    const char *pool; // options of the pool, as KVROUTE.CREATE takes them; "" none
    size_t tear;      // bytes cut off the end of the append-only file after the first SIGKILL
    bool quick, keep;
    bool mock;    // mock engines and bridges, processes, instead of simulated workers
    double scale; // then so many times faster than real time
    const char *module, *server; // paths
};

// Parses the arguments. Returns -1 to go on, or the exit status after --help or a mistake.
int options_parse(struct options *o, int argc, char **argv);

#endif
