// SPDX-License-Identifier: Apache-2.0
// HTTP as tests and benchmarks want it: every byte as given, nothing hidden, waiting for the answer.
#ifndef SUPPORT_HTTP_H
#define SUPPORT_HTTP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct support_response {
    int status;        // 0: there was no head
    char *head, *body; // with a NUL behind them; chunks are put together. To be freed
    size_t n;          // of the body
    bool complete;     // as the head announced it
    bool closed;       // by the server, after it
    bool reset;        // the same, with an RST
};
void support_response_free(struct support_response *r);
bool support_response_has(const struct support_response *r,
                          const char *header_line); // without its end

// One request to a server on 127.0.0.1, on a connection of its own, which is closed after it.
// headers: whole lines with their ends. Both they and the body may be NULL. Status 0: there was no
// complete answer in so long.
struct support_response support_http(int port, const char *method, const char *path,
                                     const char *headers, const char *body, int64_t ms);

// The parts of it. A socket, or -1 and errno.
int support_http_connect(int port);
void support_http_send(int fd, const void *bytes, size_t n); // as far as it goes: the answer tells
void support_http_request(int fd, const char *method, const char *path, const char *headers,
                          const char *body);
// Reads one answer; what follows it is lost. head_only: to a HEAD. Doesn't close.
struct support_response support_http_response(int fd, bool head_only, int64_t ms);
// All that comes until the end, until `until` (may be NULL) is in it or so long has passed; to be freed,
// with a NUL behind it. *closed and *reset as above; they and n may be NULL.
char *support_http_read(int fd, const char *until, int64_t ms, size_t *n, bool *closed,
                        bool *reset);

#endif
