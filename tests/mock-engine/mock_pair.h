// SPDX-License-Identifier: Apache-2.0
// Two mock engines, one to compute prompts and one to answer, for tests.
#ifndef MOCK_PAIR_H
#define MOCK_PAIR_H

#include "mock_process.h"

struct mock_pair {
    struct mock_process prefill, decode;
};

// options: of both; the roles are added.
struct mock_pair mock_pair_start(const char *options);
void mock_pair_end(struct mock_pair *p);

// A body with a prompt of about 60 tokens that begins with `first`, and more fields, as ",\"a\":1". To be
// freed.
char *mock_pair_body(const char *first, const char *more, ...)
    __attribute__((format(printf, 2, 3)));
// Posts to /v1/completions and frees the body; *answer: what came, or NULL if nobody wants it.
int mock_pair_ask(const struct mock_process *p, char *body, json_t **answer);
int mock_pair_begin(const struct mock_process *p, char *body); // the same without waiting: a socket
int mock_pair_finish(int fd, json_t **answer);                 // its status
json_int_t mock_pair_cached(const json_t *answer);
// Waits until neither has anything half open, nor blocks in use.
void mock_pair_settle(const struct mock_pair *p);
void mock_process_settle(const struct mock_process *p);

#endif
