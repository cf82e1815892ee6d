// SPDX-License-Identifier: Apache-2.0
// Mock engines as processes, and plain HTTP to talk to them. They die with the test that started them.
#ifndef MOCK_TEST_PROCESS_H
#define MOCK_TEST_PROCESS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    PATIENCE_MS = 60000,
    TEST_RANKS = 4
}; // how long anything may take before it counts as hanging

struct process {
    pid_t pid;
    int http_port;
    char events[TEST_RANKS][64], replay[TEST_RANKS][64]; // "" where there is none
};

// Starts an engine with these options (words); without a --time-scale it doesn't wait.
struct process process_start(const char *options);
// Ends it, and fails the test if it was asked to (SIGTERM) and didn't end well, or had ended before.
void process_end(struct process *p, int signal);

struct response {
    int status; // 0: there was no complete answer
    char *body; // with a NUL behind it; chunks are put together
    size_t len;
    bool reset; // the connection was reset, after these bytes
};

// One request on a connection of its own. body may be NULL. headers: whole lines with their ends.
struct response http(const struct process *p, const char *method, const char *path,
                     const char *headers, const char *body);
struct response http_post(const struct process *p, const char *path, const char *body);
struct response http_get(const struct process *p, const char *path);
void response_free(struct response *r);
// Posts and forgets the answer, which must have this status.
void http_expect(const struct process *p, const char *path, const char *body, int status);
json_t *http_json(const struct process *p,
                  const char *path); // GET; fails the test if it isn't JSON
void order_fault(const struct process *p, const char *query); // kind=…
double metric_of(const struct process *p, const char *name);  // of rank 0

int http_open(const struct process *p); // a socket, or -1 and errno
void http_write(int fd, const void *bytes, size_t len);
// Everything until the end, or until it has `until` in it (may be NULL); *reset may be NULL.
char *http_read(int fd, const char *until, size_t *len, bool *reset);

#endif
