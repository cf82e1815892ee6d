// SPDX-License-Identifier: Apache-2.0
// One HTTP request to a server on 127.0.0.1, on a connection of its own, waiting for the answer.
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H

#include <stddef.h>

struct bench_answer {
    int status; // 0: there was no complete answer
    char *body; // with a NUL behind it; as it came, in chunks if it was so. To be freed
    size_t n;
};

// extra: header lines with their ends, or "". body may be NULL.
struct bench_answer bench_http(int port, const char *method, const char *path, const char *extra,
                               const char *body, int ms);
// Sends the same and doesn't read: a descriptor, -1 if it can't.
int bench_http_send(int port, const char *method, const char *path, const char *extra,
                    const char *body, int ms);
struct bench_answer bench_http_read(int fd); // reads to the end and closes

#endif
