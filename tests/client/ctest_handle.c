// SPDX-License-Identifier: Apache-2.0
// See ctest_handle.h.
#include "ctest_handle.h"

#include <criterion/criterion.h>
#include <string.h>

#include "tests/support/home.h"

struct fake_server *ctest_server;
struct testmem ctest_memory;
const uint64_t ctest_hashes[2] = {1, 2};
static struct kvr_alloc alloc;

void ctest_start(void) {
    ctest_server = fake_start(FAKE_TCP);
    alloc = testmem_alloc(&ctest_memory);
}

void ctest_stop(void) {
    fake_stop(ctest_server);
    testmem_all_free(&ctest_memory, "the handle");
}

struct kvr_client *ctest_open(struct kvr_client_options o, const char *settings) {
    char url[300], why[160];
    fake_url(ctest_server, settings, url, sizeof url);
    o.alloc = &alloc;
    struct kvr_client *c = kvr_client_open(url, FAKE_POOL, &o, why, sizeof why);
    cr_assert(c, "%s", why);
    return c;
}

void ctest_run(struct kvr_client *c, int64_t ms) {
    for (int64_t end = now_ms() + ms; now_ms() < end;)
        kvr_client_run(c, 10);
}

void ctest_without_server(struct kvr_client *c) {
    static const struct fake_fault dies = {"dies", FAKE_FAULT_DIE, "", 0};
    fake_set_fault(ctest_server, &dies, 1, true);
    (void)kvr_client_info(c);
}

void ctest_expect(const struct kvr_result *r, enum kvr_code want) {
    cr_expect(r->code == want, "%s instead of %s: %s", kvr_code_name(r->code), kvr_code_name(want),
              r->message);
}

void ctest_expect_said(const char *command, const char *want) {
    char all[1000];
    fake_said(ctest_server, command, all, sizeof all);
    cr_expect(!strcmp(all, want), "\"%s\" instead of \"%s\"", all, want);
}

struct kvr_select_call ctest_selection(const char *id) {
    return (struct kvr_select_call){.request = kvr_text(id),
                                    .blocks = {.hashes = ctest_hashes, .n = 2}};
}

void ctest_count(void *ctx, const struct kvr_result *r) {
    struct ctest_answers *h = ctx;
    h->n++;
    h->codes[r->code]++;
}

void ctest_await(struct kvr_client *c, const struct ctest_answers *h, int answers) {
    for (int64_t end = now_ms() + 60000; h->n < answers && now_ms() < end;)
        kvr_client_run(c, 100);
    cr_assert(h->n == answers, "%d of %d answers", h->n, answers);
}
