// SPDX-License-Identifier: Apache-2.0
// The page in a real browser, headless; skipped where there is no chromium.
#include <criterion/criterion.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rtest_cluster.h"
#include "tests/support/support_home.h"
#include "tests/support/support_needs.h"
#include "tests/support/support_process.h"

enum { MOST = 1 << 20 };

// The document as it is after some seconds of the page's own time; to be freed.
static char *browse(void) {
    char url[60], profile[200];
    snprintf(url, sizeof url, "http://127.0.0.1:%d/", rtest_port());
    snprintf(profile, sizeof profile, "--user-data-dir=%s/chromium", support_home());
    const char *argv[] = {"chromium",
                          "--headless",
                          "--no-sandbox",
                          "--disable-gpu",
                          "--disable-dev-shm-usage",
                          "--virtual-time-budget=3000",
                          profile,
                          "--dump-dom",
                          url,
                          NULL};
    char *text = calloc(1, MOST);
    support_run(argv, RTEST_WAIT_MS, text, MOST);
    char *script = strstr(text, "<script>"); // not what the page could say, but what it says
    if (script) *script = 0;
    return text;
}

Test(page, shows_the_fleet, .fini = rtest_cluster_down, .timeout = 120) {
    support_needs_program("chromium", "chromium");
    rtest_redis();
    rtest_router(0, (const char *[]){"--engine", "http://10.0.0.1:8000", "--engine",
                                     "http://10.0.0.2:8000 name=<b>bold</b>", NULL});
    rtest_await_ready(0);
    json_decref(rtest_json(rtest_post(rtest_port(), "/v1/select", "{}"), 200));
    support_sleep_ms(1200); // it has looked again
    char *page = browse();
    cr_assert(strstr(page, "All is well."), "%s", page);
    cr_assert(strstr(page, "2 of 2") && strstr(page, "10.0.0.1:8000"));
    cr_assert(strstr(page, "expected hits") && strstr(page, "first token"));
    cr_assert(strstr(page, "&lt;b&gt;bold") && !strstr(page, "<b>bold"));
    free(page);
    rtest_kill_redis(SIGKILL);
    support_sleep_ms(500);
    page = browse();
    cr_assert(strstr(page, "Degraded: Redis is away."), "%s", page);
    cr_assert(strstr(page, "10.0.0.1:8000")); // what is known stays
    free(page);
}

Test(page, asks_for_a_token, .fini = rtest_cluster_down, .timeout = 120) {
    support_needs_program("chromium", "chromium");
    char file[200];
    snprintf(file, sizeof file, "%s/tokens", support_home());
    FILE *f = fopen(file, "w");
    fputs("secret\n", f);
    fclose(f);
    rtest_redis();
    rtest_router(0, (const char *[]){"--token_file", file, NULL});
    char *page = browse();
    cr_assert(strstr(page, "only to who has a token") && strstr(page, "<form id=\"ask\">"));
    free(page);
}

Test(page, needs_nothing_from_elsewhere, .fini = rtest_cluster_down) {
    rtest_redis();
    rtest_router(0, NULL);
    struct support_response r = rtest_get(rtest_port(), "/");
    cr_assert_eq(r.status, 200);
    cr_assert(strstr(r.head, "default-src 'none'"));
    cr_assert(!strstr(r.body, "http://") && !strstr(r.body, "https://") &&
              !strstr(r.body, "//cdn"));
    support_response_free(&r);
}
