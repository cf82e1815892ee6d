// SPDX-License-Identifier: Apache-2.0
// A redis-server with the module, on a unix socket in a temporary folder, for as long as the benchmark
// runs. It dies with the benchmark, and so does the folder, however that ends.
#ifndef BENCH_SERVER_H
#define BENCH_SERVER_H

const char *server_start(void); // the socket's path; ends the program when there is none
void fail(const char *what);    // says so and ends the program

#endif
