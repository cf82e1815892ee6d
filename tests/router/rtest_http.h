// SPDX-License-Identifier: Apache-2.0
// HTTP as a test wants it: every byte as given, nothing hidden.
#ifndef RTEST_HTTP_H
#define RTEST_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

struct rtest_response {
    int status; // 0: no answer
    char *head, *body;
    size_t n;      // of the body; chunks are put together
    bool complete; // as the head announced it
    bool closed;   // by the server, after it
};

int rtest_connect(int port);
void rtest_send(int fd, const void *bytes, size_t n);
void rtest_say(int fd, const char *text);
// Reads one answer; what follows it is lost. head_only: to a HEAD.
struct rtest_response rtest_read_response(int fd, bool head_only);
// Everything until the end, or until ms have passed; to be freed. *closed: the end came.
char *rtest_read_all(int fd, int ms, bool *closed);
// One request on a connection of its own. headers: whole lines, or NULL. body NULL: none.
struct rtest_response rtest_request(int port, const char *method, const char *path,
                                    const char *headers, const char *body);
struct rtest_response rtest_get(int port, const char *path);
struct rtest_response rtest_post(int port, const char *path, const char *body);
void rtest_response_free(struct rtest_response *r);
bool rtest_response_has(const struct rtest_response *r,
                        const char *header_line); // whole, without its end
// The answer's body; the test fails if the status is another or it is no JSON.
json_t *rtest_json(struct rtest_response r, int status);
// The code in an error's body; the test fails if the status is another. Static until the next call.
const char *rtest_error_code(struct rtest_response r, int status);

#endif
