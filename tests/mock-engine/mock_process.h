// SPDX-License-Identifier: Apache-2.0
// Mock engines as processes, and plain HTTP to talk to them. They die with the test that started them.
#ifndef MOCK_PROCESS_H
#define MOCK_PROCESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "tests/support/support_http.h"

enum {
    MOCK_PATIENCE_MS = 60000,
    MOCK_TEST_RANKS = 4
}; // how long anything may take before it counts as hanging

struct mock_process {
    pid_t pid;
    int http_port, side_port; // side_port: 0 without disaggregation
    char events[MOCK_TEST_RANKS][64], replay[MOCK_TEST_RANKS][64]; // "" where there is none
};

// Starts an engine with these options (words); without a --time-scale it doesn't wait.
struct mock_process mock_process_start(const char *options);
// Ends it, and fails the test if it was asked to (SIGTERM) and didn't end well, or had ended before.
void mock_process_end(struct mock_process *p, int signal);

// One request on a connection of its own, see support_http.h.
struct support_response mock_http(const struct mock_process *p, const char *method,
                                  const char *path, const char *headers, const char *body);
struct support_response mock_http_post(const struct mock_process *p, const char *path,
                                       const char *body);
struct support_response mock_http_get(const struct mock_process *p, const char *path);
// Posts and forgets the answer, which must have this status.
void mock_http_expect(const struct mock_process *p, const char *path, const char *body, int status);
void mock_http_expect_get(const struct mock_process *p, const char *path, int status);
json_t *mock_http_json(const struct mock_process *p,
                       const char *path); // GET; fails the test if it isn't JSON
void mock_order_fault(const struct mock_process *p, const char *query); // kind=…
double mock_metric(const struct mock_process *p, const char *name);     // of rank 0
// Polls until it is at least that.
void mock_wait_metric(const struct mock_process *p, const char *name, double least);

// A number within the JSON at the path, as "open.ready"; fails the test if there is none.
json_int_t mock_number(const struct mock_process *p, const char *path, const char *name);
// Polls until it is that.
void mock_wait_number(const struct mock_process *p, const char *path, const char *name,
                      json_int_t value);
// Posts without waiting for the answer: a socket. headers: NULL, or whole lines.
int mock_http_begin(const struct mock_process *p, const char *path, const char *headers,
                    const char *body);
// Waits for its answer, and closes it.
struct support_response mock_http_finish(int fd);

int mock_http_open(const struct mock_process *p); // a socket, or -1 and errno
// Everything until the end, or until it has `until` in it (may be NULL); *reset may be NULL.
char *mock_http_read(int fd, const char *until, size_t *len, bool *reset);

#endif
