// SPDX-License-Identifier: Apache-2.0
// The names of before, until the last of their users has been converted.
#pragma once
#include <string.h>
#include <unistd.h>

#include "tests/support/support_http.h"
#define bench_answer support_response
#define bench_http support_http
static inline int bench_http_send(int port, const char *method, const char *path,
                                  const char *headers, const char *body, int ms) {
    int fd = support_http_connect(port);
    (void)ms;
    if (fd >= 0) support_http_request(fd, method, path, headers, body);
    return fd;
}
static inline struct support_response bench_http_read(int fd) {
    struct support_response r = {0};
    if (fd < 0) return r;
    r = support_http_response(fd, false, 20000);
    if (!r.complete) r.status = 0;
    close(fd);
    return r;
}
