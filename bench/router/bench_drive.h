// SPDX-License-Identifier: Apache-2.0
// HTTP requests that are due at a time, each on a connection of its own, and what became of them. Clients of
// many kinds are made of it: what is asked next is up to the function that is told the answer.
#ifndef BENCH_DRIVE_H
#define BENCH_DRIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// Times in ns of the monotonic clock.
struct bench_told {
    int status;               // 0: there was no answer
    int retry_after;          // seconds; 0: it wasn't said
    int64_t sent, first, end; // first: the first byte of the body; 0: none came
    bool whole;               // 200, and a body that has ended by itself
};

struct bench_drive;
struct bench_ask {
    int64_t at; // when it is due
    int port;   // of 127.0.0.1
    char *
        text; // the whole request, with "Connection: close"; allocated, and not the caller's any more
    size_t n;
    void (*told)(struct bench_drive *d, void *ctx, const struct bench_told *t);
    void *ctx;
};

struct bench_drive *bench_drive_new(void);
void bench_drive_free(struct bench_drive *d); // whatever is under way
void bench_drive_add(struct bench_drive *d, const struct bench_ask *a);
// Goes on until nothing is due or under way any more, or it is so late.
void bench_drive_run(struct bench_drive *d, int64_t until);

// A completion of a prompt of `tokens` token ids that no other prompt has, as a stream. headers: whole lines.
char *bench_drive_completion(size_t tokens, size_t max_tokens, const char *headers, size_t *n);

#endif
