// SPDX-License-Identifier: Apache-2.0
// Requests that share prefixes; see mock_traffic.h.
#define _GNU_SOURCE // asprintf
#include "mock_traffic.h"

#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "mock_memory.h"
#include "mock_tokens.h"

enum { MAX_AT_ONCE = 16, N_PROMPT_FAMILIES = 5, MAX_PROMPT_WORDS = 90 };

static int begin(const struct mock_process *p, size_t rank, const char *body) {
    char *text;
    int fd = mock_http_open(p);
    cr_assert(fd >= 0);
    cr_assert(asprintf(&text,
                       "POST /v1/completions HTTP/1.1\r\nHost: x\r\nX-data-parallel-rank: %zu\r\n"
                       "Connection: close\r\nContent-Length: %zu\r\n\r\n%s",
                       rank, strlen(body), body) > 0);
    support_http_send(fd, text, strlen(text));
    free(text);
    return fd;
}

static void finish(int fd) {
    char *text = mock_http_read(fd, NULL, NULL, NULL);
    cr_assert(strstr(text, " 200 OK\r\n"), "%s", text);
    free(text);
    close(fd);
}

// A prompt of one of a few families, cut somewhere: all of a family begin alike.
static int begin_some(const struct mock_process *p, const struct mock_traffic *t,
                      unsigned *random) {
    char prompt[(MAX_PROMPT_WORDS + 2) * MOCK_WORD_SIZE], *body;
    unsigned family = rand_r(random) % N_PROMPT_FAMILIES, r = rand_r(random);
    size_t n = 1 + rand_r(random) % MAX_PROMPT_WORDS, len = (size_t)sprintf(prompt, "f%u", family);
    for (size_t i = 0; i < n; i++)
        len += mock_answer_word(t->seed * 100 + family, i, prompt + len);
    const char *salt = t->salts && r % 5 == 0 ? ",\"cache_salt\":\"pepper\"" : "";
    const char *lora = t->lora && r % 3 == 0 ? ",\"model\":\"ad\"" : "";
    cr_assert(asprintf(&body, "{\"prompt\":\"%s\",\"max_tokens\":%u%s%s}", prompt,
                       1 + rand_r(random) % 20, salt, lora) > 0);
    int fd = begin(p, t->rank, body);
    free(body);
    return fd;
}

void mock_traffic_run(const struct mock_process *p, const struct mock_traffic *t) {
    unsigned random = t->seed + 1;
    size_t at_once = t->at_once ? t->at_once : 1;
    cr_assert(at_once <= MAX_AT_ONCE);
    for (size_t i = 0; i < t->requests; i += at_once) {
        int fds[MAX_AT_ONCE];
        unsigned again = random;
        for (size_t k = 0; k < at_once; k++) {
            if (k % 2) random = again; // every other one asks the same as the one before
            again = random;
            fds[k] = begin_some(p, t, &random);
        }
        for (size_t k = 0; k < at_once; k++) {
            if ((unsigned)rand_r(&random) % 100 < t->leave)
                close(fds[k]);
            else
                finish(fds[k]);
        }
    }
}

void mock_traffic_one(const struct mock_process *p, size_t rank, const char *prompt) {
    char *body;
    cr_assert(asprintf(&body, "{\"prompt\":\"%s a b c d e f g\",\"max_tokens\":1}", prompt) > 0);
    finish(begin(p, rank, body));
    free(body);
}
