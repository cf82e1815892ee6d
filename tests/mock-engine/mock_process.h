// SPDX-License-Identifier: Apache-2.0
// Mock engines as processes, and plain HTTP to talk to them. They die with the test that started them.
#ifndef MOCK_PROCESS_H
#define MOCK_PROCESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    MOCK_PATIENCE_MS = 60000,
    MOCK_TEST_RANKS = 4
}; // how long anything may take before it counts as hanging

struct mock_process {
    pid_t pid;
    int http_port;
    char events[MOCK_TEST_RANKS][64], replay[MOCK_TEST_RANKS][64]; // "" where there is none
};

// Starts an engine with these options (words); without a --time-scale it doesn't wait.
struct mock_process mock_process_start(const char *options);
// Ends it, and fails the test if it was asked to (SIGTERM) and didn't end well, or had ended before.
void mock_process_end(struct mock_process *p, int signal);

struct mock_response {
    int status; // 0: there was no complete answer
    char *body; // with a NUL behind it; chunks are put together
    size_t len;
    bool reset; // the connection was reset, after these bytes
};

// One request on a connection of its own. body may be NULL. headers: whole lines with their ends.
struct mock_response mock_http(const struct mock_process *p, const char *method, const char *path,
                               const char *headers, const char *body);
struct mock_response mock_http_post(const struct mock_process *p, const char *path,
                                    const char *body);
struct mock_response mock_http_get(const struct mock_process *p, const char *path);
void mock_response_free(struct mock_response *r);
// Posts and forgets the answer, which must have this status.
void mock_http_expect(const struct mock_process *p, const char *path, const char *body, int status);
json_t *mock_http_json(const struct mock_process *p,
                       const char *path); // GET; fails the test if it isn't JSON
void mock_order_fault(const struct mock_process *p, const char *query); // kind=…
double mock_metric(const struct mock_process *p, const char *name);     // of rank 0

int mock_http_open(const struct mock_process *p); // a socket, or -1 and errno
void mock_http_write(int fd, const void *bytes, size_t len);
// Everything until the end, or until it has `until` in it (may be NULL); *reset may be NULL.
char *mock_http_read(int fd, const char *until, size_t *len, bool *reset);

#endif
