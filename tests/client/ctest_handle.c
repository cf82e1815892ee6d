// SPDX-License-Identifier: Apache-2.0
// See ctest_handle.h.
#include "ctest_handle.h"

#include <criterion/criterion.h>
#include <string.h>

#include "client/common/clock.h"
#include "client/lib/handle.h"
#include "tests/support/support_alloc.h"

struct fake_server *ctest_server;
struct support_alloc ctest_memory;
const uint64_t ctest_hashes[2] = {1, 2};
static struct kvr_alloc alloc;
static struct kvr_client *opened[8]; // that nobody has closed yet

void ctest_start(void) {
    ctest_server = fake_start(FAKE_TCP);
    alloc = support_alloc_use(&ctest_memory);
}

void ctest_close(struct kvr_client *c) {
    for (size_t i = 0; i < sizeof opened / sizeof *opened; i++)
        if (opened[i] == c) opened[i] = NULL;
    kvr_client_close(c);
}

void ctest_stop(void) {
    for (size_t i = 0; i < sizeof opened / sizeof *opened; i++)
        ctest_close(opened[i]);
    fake_stop(ctest_server);
    support_alloc_check_freed(&ctest_memory, "the handle");
}

struct kvr_client *ctest_open(struct kvr_client_options o, const char *settings) {
    char url[300], why[160];
    fake_url(ctest_server, settings, url, sizeof url);
    o.alloc = &alloc;
    struct kvr_client *c = kvr_client_open(url, FAKE_POOL, &o, why, sizeof why);
    cr_assert(c, "%s", why);
    size_t i = 0;
    while (opened[i])
        cr_assert(++i < sizeof opened / sizeof *opened);
    return opened[i] = c;
}

void ctest_run(struct kvr_client *c, int64_t ms) {
    for (int64_t end = kvr_clock_ms() + ms; kvr_clock_ms() < end;)
        kvr_client_run(c, 10);
}

void ctest_await_workers(struct kvr_client *c) {
    for (int64_t end = kvr_clock_ms() + 60000; kvr_list_empty(&c->recovery.memory.instances.list);
         kvr_client_run(c, 10))
        cr_assert(kvr_clock_ms() < end, "it knows no workers");
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
    for (int64_t end = kvr_clock_ms() + 60000; h->n < answers && kvr_clock_ms() < end;)
        kvr_client_run(c, 100);
    cr_assert(h->n == answers, "%d of %d answers", h->n, answers);
}
