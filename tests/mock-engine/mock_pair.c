// SPDX-License-Identifier: Apache-2.0
// Two mock engines for tests; see mock_pair.h.
#define _GNU_SOURCE // asprintf, vasprintf
#include "mock_pair.h"

#include <criterion/criterion.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "mock_stream.h"
#include "mock_tokens.h"
#include "tests/support/support_home.h"

enum { PROMPT_WORDS = 60 };

struct mock_pair mock_pair_start(const char *options) {
    char prefill[400], decode[400];
    snprintf(prefill, sizeof prefill, "--role=prefill %s", options);
    snprintf(decode, sizeof decode, "--role=decode %s", options);
    return (struct mock_pair){mock_process_start(prefill), mock_process_start(decode)};
}

void mock_pair_end(struct mock_pair *p) {
    mock_process_end(&p->prefill, SIGTERM);
    mock_process_end(&p->decode, SIGTERM);
}

char *mock_pair_body(const char *first, const char *more, ...) {
    char prompt[(PROMPT_WORDS + 2) * MOCK_WORD_SIZE], *fields, *body;
    size_t len = (size_t)snprintf(prompt, MOCK_WORD_SIZE, "%s", first);
    for (uint64_t i = 0; i < PROMPT_WORDS; i++)
        len += mock_answer_word(9, i, prompt + len);
    va_list args;
    va_start(args, more);
    cr_assert(vasprintf(&fields, more, args) >= 0);
    va_end(args);
    cr_assert(asprintf(&body, "{\"prompt\":\"%s\"%s}", prompt, fields) > 0);
    free(fields);
    return body;
}

int mock_pair_begin(const struct mock_process *p, char *body) {
    int fd = mock_http_begin(p, "/v1/completions", NULL, body);
    free(body);
    return fd;
}

int mock_pair_finish(int fd, json_t **answer) {
    struct support_response r = mock_http_finish(fd);
    cr_assert(r.complete, "%d %s", r.status, r.body);
    int status = r.status;
    if (answer) *answer = json_loads(r.body, 0, NULL);
    support_response_free(&r);
    return status;
}

int mock_pair_ask(const struct mock_process *p, char *body, json_t **answer) {
    return mock_pair_finish(mock_pair_begin(p, body), answer);
}

json_int_t mock_pair_cached(const json_t *answer) {
    json_int_t n = -1;
    json_unpack((json_t *)answer, "{s:{s:{s:I}}}", "usage", "prompt_tokens_details",
                "cached_tokens", &n);
    return n;
}

void mock_process_settle(const struct mock_process *p) {
    mock_wait_number(p, "/mock/transfers", "half_open", 0);
    int64_t rounds = MOCK_PATIENCE_MS / 2;
    while (mock_rank_number(p, 0, "used")) {
        cr_assert(rounds-- > 0, "blocks stay in use");
        support_sleep_ms(2);
    }
}

void mock_pair_settle(const struct mock_pair *p) {
    mock_process_settle(&p->prefill);
    mock_process_settle(&p->decode);
}
